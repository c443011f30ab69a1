package kafka

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/lsm/fiso/common/config"
)

// SourceConfig is what a Source reads, and how.
type SourceConfig struct {
	ClientConfig `yaml:",inline"`

	Topic         string         `yaml:"topic" doc:"Topic to read. One of topic, topics and topicsPattern."`
	Topics        config.Strings `yaml:"topics" doc:"Topics to read."`
	TopicsPattern string         `yaml:"topicsPattern" doc:"Regular expression of the topics to read, including topics that appear later."`

	ConsumerGroup      string      `yaml:"consumerGroup" required:"true" doc:"Group whose members share the partitions, and whose commits say where to continue."`
	StartOffset        StartOffset `yaml:"startOffset" default:"latest" doc:"Where to begin when the group has no commit: earliest, latest, an offset, or an RFC 3339 time."`
	OnOffsetOutOfRange string      `yaml:"onOffsetOutOfRange" default:"earliest" enum:"earliest|hold" doc:"When the broker no longer has the committed offset: resume at the earliest record left, or hold the partition."`
	InstanceID         string      `yaml:"instanceId" doc:"Name of this member that stays the same across restarts (static membership): a restart within sessionTimeout moves no partition."`
	Isolation          string      `yaml:"isolation" default:"read_committed" enum:"read_committed|read_uncommitted" doc:"Whether to leave out records of open and aborted transactions (read_committed)."`

	CommitInterval    time.Duration `yaml:"commitInterval" default:"1s" doc:"How often to commit what was settled."`
	SessionTimeout    time.Duration `yaml:"sessionTimeout" default:"45s" doc:"How long a member may be silent before its partitions are given to others."`
	HeartbeatInterval time.Duration `yaml:"heartbeatInterval" default:"3s" doc:"How often this member sends a heartbeat to the group."`
	RebalanceTimeout  time.Duration `yaml:"rebalanceTimeout" default:"1m" doc:"How long a rebalance waits for a member to give up its partitions."`

	FetchMinBytes          config.Bytes  `yaml:"fetchMinBytes" default:"1" doc:"Least bytes that the broker collects before it answers, within fetchMaxWait."`
	FetchMaxBytes          config.Bytes  `yaml:"fetchMaxBytes" default:"16MiB" doc:"Most bytes that one broker sends in one fetch."`
	FetchMaxPartitionBytes config.Bytes  `yaml:"fetchMaxPartitionBytes" default:"1MiB" doc:"Most bytes that one partition sends in one fetch; a larger single batch is sent whole."`
	FetchMaxWait           time.Duration `yaml:"fetchMaxWait" default:"500ms" doc:"How long the broker waits for fetchMinBytes."`
	MaxBufferedBytes       config.Bytes  `yaml:"maxBufferedBytes" default:"32MiB" doc:"Bytes fetched and waiting to be handed over, beyond which fetching pauses."`
	MaxBatchBytes          config.Bytes  `yaml:"maxBatchBytes" default:"48MiB" doc:"Most memory that one compressed batch may unpack to; a larger batch holds its partition."`
}

// StartOffset is earliest, latest, an offset or an RFC 3339 time. In a file an offset
// may be written as a number.
type StartOffset string

// UnmarshalText accepts any text; SourceConfig.Validate checks it.
func (s *StartOffset) UnmarshalText(text []byte) error {
	*s = StartOffset(text)
	return nil
}

// start is a parsed StartOffset.
type start struct {
	kind   startKind
	offset int64
	time   time.Time
}

type startKind int

const (
	startEarliest startKind = iota
	startLatest
	startAt   // offset
	startTime // time
)

func parseStart(from StartOffset) (start, bool) {
	s := string(from)
	switch s {
	case "earliest":
		return start{kind: startEarliest}, true
	case "latest":
		return start{kind: startLatest}, true
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return start{kind: startAt, offset: n}, n >= 0
	}
	t, err := time.Parse(time.RFC3339, s)
	return start{kind: startTime, time: t}, err == nil
}

// Validate reports everything that is wrong with c.
func (c *SourceConfig) Validate() error {
	faults := []error{
		c.ClientConfig.Validate(),
		c.validateTopics(),
		checkGroup(c.ConsumerGroup),
		oneOf("onOffsetOutOfRange", c.OnOffsetOutOfRange, "earliest", "hold"),
		oneOf("isolation", c.Isolation, "read_committed", "read_uncommitted"),
		atLeast("commitInterval", c.CommitInterval, time.Millisecond),
		atLeast("heartbeatInterval", c.HeartbeatInterval, time.Millisecond),
		atLeast("rebalanceTimeout", c.RebalanceTimeout, time.Second),
		atLeast("fetchMinBytes", c.FetchMinBytes, 1),
		atLeast("fetchMaxBytes", c.FetchMaxBytes, 1),
		atLeast("fetchMaxPartitionBytes", c.FetchMaxPartitionBytes, 1),
		atLeast("fetchMaxWait", c.FetchMaxWait, 0),
		atLeast("maxBufferedBytes", c.MaxBufferedBytes, 1),
		atLeast("maxBatchBytes", c.MaxBatchBytes, 1<<10),
	}
	if c.InstanceID != "" && !validName(c.InstanceID) {
		faults = append(faults, config.Fault("instanceId", "%q is not a name of a member; %s", c.InstanceID, topicRule))
	}
	if _, ok := parseStart(c.StartOffset); !ok {
		faults = append(faults, config.Fault("startOffset",
			"%q is not a position; write earliest, latest, an offset such as 42, or a time such as 2026-01-02T15:04:05Z", c.StartOffset))
	}
	if c.HeartbeatInterval >= c.SessionTimeout {
		faults = append(faults, config.Fault("sessionTimeout", "%v must be longer than heartbeatInterval, %v", c.SessionTimeout, c.HeartbeatInterval))
	}
	faults = append(faults, fits("fetchMaxBytes", c.FetchMaxBytes), fits("fetchMaxPartitionBytes", c.FetchMaxPartitionBytes),
		fits("fetchMinBytes", c.FetchMinBytes), fits("maxBatchBytes", c.MaxBatchBytes))
	return errors.Join(faults...)
}

// maxFetch is the largest size of a fetch; it is well within Kafka's protocol.
const maxFetch = config.Bytes(1 << 30)

func fits(key string, v config.Bytes) error {
	if v <= maxFetch {
		return nil
	}
	return config.Fault(key, "%v is too large; the most is %v", v, maxFetch)
}

func (c *SourceConfig) validateTopics() error {
	named := 0
	for _, set := range []bool{c.Topic != "", len(c.Topics) > 0, c.TopicsPattern != ""} {
		if set {
			named++
		}
	}
	if named != 1 {
		return config.Fault("topic", "write exactly one of topic, topics and topicsPattern")
	}
	var faults []error
	if c.Topic != "" {
		faults = append(faults, checkTopic("topic", c.Topic))
	}
	for i, t := range c.Topics {
		faults = append(faults, checkTopic(fmt.Sprintf("topics[%d]", i), t))
	}
	if _, err := regexp.Compile(c.TopicsPattern); err != nil {
		faults = append(faults, config.Fault("topicsPattern",
			"is not a regular expression: %v; a pattern such as ^orders-.* takes all topics that begin with orders-", err))
	}
	return errors.Join(faults...)
}

// topics returns the topics that are named one by one.
func (c *SourceConfig) topics() []string {
	if c.Topic != "" {
		return []string{c.Topic}
	}
	return c.Topics
}
