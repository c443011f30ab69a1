package connectortest

import (
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// Features says what a connector guarantees. A field that is set is a promise to
// users, and selects the scenarios that test it.
type Features struct {
	// Of a source:

	// Guarantees is what the source declares. With Orders, messages with the same key
	// are handed over in the order in which they were produced. With Redelivers, a
	// message that was not settled with nil is handed over again, at the latest to
	// the next source of the harness, and a message that was is not.
	connector.Guarantees
	// Keys: a message carries the key it was produced with.
	Keys bool
	// Partitions: messages are in numbered partitions, at growing offsets. All
	// messages of a key are in one partition, and many keys use more than one.
	Partitions bool
	// Concurrent: a handler that blocks one partition does not hold up another.
	Concurrent bool
	// Answers: the sender of a message is told its result, once it is settled.
	Answers bool
	// Reports: the source is a connector.Reporter.
	Reports bool

	// Of a sink:

	// Batch: the sink is a connector.BatchSink with a result for each event.
	Batch bool
	// Temporary, Permanent, Unavailable and Blocked: the destination can fail in that
	// way, and the error has that class.
	Temporary, Permanent, Unavailable, Blocked bool
	// RetryAfter: the error holds the delay that the destination asks for.
	RetryAfter bool

	// Of both:

	// Reconnects: a broken connection is opened again, and nothing is lost.
	Reconnects bool
}

// Timing bounds how long a scenario waits. Zero fields have the defaults.
type Timing struct {
	// Timeout is how long to wait for what must happen; default 30s.
	Timeout time.Duration
	// Window is how long to watch for what must not happen; default 200ms.
	Window time.Duration
}

func (t Timing) withDefaults() Timing {
	if t.Timeout <= 0 {
		t.Timeout = 30 * time.Second
	}
	if t.Window <= 0 {
		t.Window = 200 * time.Millisecond
	}
	return t
}

// Input is a message to produce. All values of a scenario are different.
type Input struct {
	Key, Value string
}

// Partition identifies a partition.
type Partition struct {
	Topic  string
	Number int32
}

// partitionOf returns the partition of a message.
func partitionOf(m *connector.Message) Partition {
	return Partition{m.Position.Stream, m.Position.Partition}
}

// SourceHarness is one empty place to read from, such as a topic, with functions to
// use and inspect it. It stops what it starts by t.Cleanup.
type SourceHarness struct {
	Timing
	// New makes a source that reads this place, as a second process would: it starts
	// where the sources before it stopped. When it stops, it waits less than Timeout
	// for messages that are never settled.
	New func(t testing.TB) connector.Source
	// Produce adds messages to the place, in order, and returns before they are
	// settled. It may be called before a source runs, unless the source Answers: then
	// it is called only while a source runs.
	Produce func(t testing.TB, inputs ...Input)
	// Committed returns, for each partition, the offset at which a new source would
	// start. Partitions without a commit may be left out. Optional.
	Committed func(t testing.TB) map[Partition]int64
	// Taken returns how many messages the sources have taken from the place so far,
	// handed over or not. ReadAhead is how many may be taken at most while the first
	// one is being handled. Optional; without them the scenario watches only which
	// messages are handed over.
	Taken     func(t testing.TB) int
	ReadAhead int
	// Disconnect breaks the connections of the source. Needed for Reconnects.
	Disconnect func(t testing.TB)
	// Answer reports whether the sender of a value was answered, and with ok that
	// the answer was that the message is done. Needed for Answers.
	Answer func(t testing.TB, value string) (ok, answered bool)
}

// SinkHarness is one empty destination, with functions to inspect it and to make it
// fail. It stops what it starts by t.Cleanup.
type SinkHarness struct {
	Timing
	// New makes a sink of this destination.
	New func(t testing.TB) connector.Sink
	// Received returns the events that the destination has so far, in any order.
	Received func(t testing.TB) []*cloudevent.Event
	// Fail makes the next n calls fail with an error of that class. With
	// retryAfter > 0 the destination asks for that delay. Needed for Temporary,
	// Permanent, Unavailable, Blocked and RetryAfter.
	Fail func(t testing.TB, class connector.Class, n int, retryAfter time.Duration)
	// Reject makes the destination refuse the event with that id permanently, also
	// within a batch. Needed for Batch with Permanent.
	Reject func(t testing.TB, id string)
	// Block makes the destination hold calls until release, which may be called
	// twice. Without Block, scenarios about calls under way are skipped.
	Block func(t testing.TB) (release func())
	// Disconnect breaks the connections of the sink. Needed for Reconnects.
	Disconnect func(t testing.TB)
}

// NewSource makes the harness of a scenario.
type NewSource func(t testing.TB) SourceHarness

// NewSink makes the harness of a scenario.
type NewSink func(t testing.TB) SinkHarness
