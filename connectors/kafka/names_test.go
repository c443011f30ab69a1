package kafka

import (
	"slices"
	"strings"
	"testing"

	"github.com/lsm/fiso/connectors/kafka/kafkatest"
)

// U11: blanks around a broker's address are not part of it.
func TestSource_readsFromABrokerWrittenWithBlanks(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 1)
	m := begin(t, testSource(c, func(cfg *SourceConfig) { cfg.Brokers = []string{" " + c.Brokers()[0] + " "} }), nil)
	eventually(t, "the record is handed over", func() bool { return slices.Contains(m.values(), "p0-v0000") })
	m.stop()
	steps := checkSource(t, testSource(c, func(cfg *SourceConfig) { cfg.Brokers = []string{c.Brokers()[0] + " "} }))
	if last := steps[len(steps)-1]; last.Err != nil || !strings.Contains(names(steps), "connect to "+c.Brokers()[0]+",") {
		t.Errorf("check: %+v", steps)
	}
}
