package kafka

import (
	"errors"
	"time"

	"github.com/lsm/fiso/common/config"
)

// ProducerConfig is how a Producer writes. Records are always written idempotently, and
// are stored once all in-sync replicas have them.
type ProducerConfig struct {
	ClientConfig `yaml:",inline"`

	Compression     string        `yaml:"compression" default:"zstd" enum:"none|gzip|snappy|lz4|zstd" doc:"Compression of batches; zstd at its fastest level."`
	Linger          time.Duration `yaml:"linger" default:"0s" doc:"How long a batch waits for more records; with 0, only while other batches are in flight."`
	DeliveryTimeout time.Duration `yaml:"deliveryTimeout" default:"30s" doc:"How long a record may be tried before its error is reported. A record that may be stored waits longer, for the broker's answer."`
	MaxBuffered     int           `yaml:"maxBuffered" default:"10000" doc:"Records in flight at once; more wait."`
	MaxBufferedSize config.Bytes  `yaml:"maxBufferedBytes" default:"64MiB" doc:"Bytes in flight at once; more wait."`
	MaxMessageBytes config.Bytes  `yaml:"maxMessageBytes" default:"0" doc:"Largest batch to send; 0: the topic's max.message.bytes."`
}

// Validate reports everything that is wrong with c.
func (c *ProducerConfig) Validate() error {
	faults := []error{
		c.ClientConfig.Validate(),
		oneOf("compression", c.Compression, "none", "gzip", "snappy", "lz4", "zstd"),
		atLeast("linger", c.Linger, 0),
		atLeast("deliveryTimeout", c.DeliveryTimeout, time.Second),
		atLeast("maxBuffered", int64(c.MaxBuffered), 1),
		atLeast("maxBufferedBytes", c.MaxBufferedSize, 1<<10),
	}
	if c.MaxMessageBytes != 0 && (c.MaxMessageBytes < 512 || c.MaxMessageBytes > maxRecord) {
		faults = append(faults, config.Fault("maxMessageBytes", "%v is out of range; write 0, or a size from 512 to %v", c.MaxMessageBytes, config.Bytes(maxRecord)))
	}
	return errors.Join(faults...)
}

// Modes of a Sink.
const (
	ModeBinary     = "binary"
	ModeStructured = "structured"
)

// Values of SinkConfig.Timestamp.
const (
	TimestampNow   = "now"
	TimestampEvent = "event"
)

// SinkConfig is where and how a Sink writes CloudEvents.
type SinkConfig struct {
	ProducerConfig `yaml:",inline"`

	Topic string `yaml:"topic" required:"true" doc:"Topic to write to. It must exist."`
	Mode  string `yaml:"mode" default:"binary" enum:"binary|structured" doc:"CloudEvents mode: attributes as ce_ headers and data as the value, or the whole event as one JSON value."`
	// With the event's time, retention may delete an old event as soon as it is
	// written, and a broker may refuse one of the future.
	Timestamp string `yaml:"timestamp" default:"now" enum:"now|event" doc:"Timestamp of the record, from which retention counts: when it is written, or the event's time (now where it has none, or one before 1970)."`
}

// Validate reports everything that is wrong with c.
func (c *SinkConfig) Validate() error {
	faults := []error{
		c.ProducerConfig.Validate(),
		oneOf("mode", c.Mode, ModeBinary, ModeStructured),
		oneOf("timestamp", c.Timestamp, TimestampNow, TimestampEvent),
	}
	if c.Topic == "" {
		faults = append(faults, config.Fault("topic", "is required"))
	} else {
		faults = append(faults, checkTopic("topic", c.Topic))
	}
	return errors.Join(faults...)
}
