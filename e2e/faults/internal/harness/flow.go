package harness

import (
	"fmt"
	"strings"
	"time"
)

// Flow is the settings of a flow file that scenarios change.
type Flow struct {
	Name, Group string
	// SessionTimeout is how long the group waits for a silent member.
	SessionTimeout time.Duration
	// CommitInterval is how often a member commits; 0: the default.
	CommitInterval time.Duration
	MaxInFlight    int
	// Plain omits everything optional: filter, transform, and settings of source, delivery and
	// retries.
	Plain bool
	// SinkTimeout is how long a request may take; 0: the default.
	SinkTimeout time.Duration
}

// defaultCommitInterval is the default commitInterval of the source.
const defaultCommitInterval = time.Second

func defaultFlow(name string) Flow {
	return Flow{Name: name, Group: "group-" + name, SessionTimeout: 3 * time.Second, MaxInFlight: 128}
}

func (f Flow) commitInterval() time.Duration {
	if f.CommitInterval > 0 {
		return f.CommitInterval
	}
	return defaultCommitInterval
}

// file returns the flow file of one member.
func (f Flow) file(s *Env, m *Member) string {
	var b strings.Builder
	fmt.Fprintf(&b, "name: %s\nsource:\n  type: kafka\n  config:\n    brokers: [%s]\n    topic: %s\n    consumerGroup: %s\n    startOffset: earliest\n",
		f.Name, strings.Join(s.Kafka.Brokers(), ", "), s.Topic, f.Group)
	if !f.Plain {
		fmt.Fprintf(&b, "    sessionTimeout: %v\n    heartbeatInterval: %v\n", f.SessionTimeout, f.SessionTimeout/15)
	}
	if f.CommitInterval > 0 {
		fmt.Fprintf(&b, "    commitInterval: %v\n", f.CommitInterval)
	}
	if m.version > 0 { // every fifth version changes the source
		fmt.Fprintf(&b, "    fetchMaxWait: %dms\n", 500+m.version/5)
	}
	if m.Static {
		fmt.Fprintf(&b, "    instanceId: %s\n", m.Name)
	}
	if !f.Plain {
		fmt.Fprintf(&b, "filter: 'data.kind != \"filtered\"'\ntransform:\n  cel: '{\"n\": data.n, \"kind\": data.kind, \"version\": %d}'\n", m.version)
	}
	fmt.Fprintf(&b, "sink:\n  type: http\n  config:\n    url: %s/%d\n", s.Service.URL, m.id)
	if f.SinkTimeout > 0 {
		fmt.Fprintf(&b, "    timeout: %v\n", f.SinkTimeout)
	}
	if f.Plain {
		return b.String()
	}
	fmt.Fprintf(&b, "delivery: {maxInFlight: %d, drainTimeout: 5s}\n", f.MaxInFlight)
	fmt.Fprintf(&b, "errorHandling: {deadLetterTopic: %s, maxRetries: 1000, initialInterval: 20ms, maxInterval: 500ms}\n", s.DeadLetterTopic)
	return b.String()
}
