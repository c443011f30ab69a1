package blueprint

import (
	"cmp"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/connectors/kafka"
)

// Validate reports everything that is wrong with c. No topic is the default
// one, whose name the flow's own settings have been checked for.
func (c *kafkaLetters) Validate() error {
	s := kafka.SinkConfig{ProducerConfig: c.ProducerConfig, Topic: cmp.Or(c.Topic, "default")}
	config.Defaults(&s)
	return s.Validate() //nolint:wrapcheck // faults of keys, whose places config finds
}
