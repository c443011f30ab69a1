package connectortest

import (
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// Features says what a connector guarantees. A field that is set is a promise
// to its users, and runs the scenarios that prove it.
type Features struct {
	// Of a source.

	// Guarantees is what the source declares. With Orders, messages of one key
	// are handed over in the order in which they were produced; with Redelivers,
	// what was not settled with nil comes again, at the latest to the next source
	// at the same place, and what was does not.
	connector.Guarantees
	// Keys: a message carries the key it was produced with.
	Keys bool
	// Partitions: messages stand in numbered partitions, at offsets that grow;
	// one key stays in one partition, and many keys fill more than one.
	Partitions bool
	// Concurrent: a handler that blocks one partition holds up no other.
	Concurrent bool
	// Answers: whoever sent a message is told how it was settled, once it is.
	Answers bool
	// Reports: the source is a connector.Reporter.
	Reports bool

	// Of a sink.

	// Batch: the sink is a connector.BatchSink with a result for each event.
	Batch bool
	// Temporary, Permanent, Unavailable and Blocked: the destination can fail in that
	// way, and the error says so by its class.
	Temporary, Permanent, Unavailable, Blocked bool
	// RetryAfter: a delay that the destination asks for is in the error.
	RetryAfter bool

	// Of both.

	// Reconnects: a connection that breaks is made again, and nothing is lost.
	Reconnects bool
}

// Timing bounds the waiting of a scenario. The zero value means the defaults.
type Timing struct {
	// Timeout is how long to wait for what must happen; 30s by default.
	Timeout time.Duration
	// Window is how long to watch for what must not; 200ms by default.
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

// Input is a message to produce. Values are different within a scenario.
type Input struct {
	Key, Value string
}

// Partition names a partition.
type Partition struct {
	Topic  string
	Number int32
}

// partitionOf is where a message stood, without its offset.
func partitionOf(m *connector.Message) Partition {
	return Partition{m.Position.Stream, m.Position.Partition}
}

// SourceHarness is one empty place to read from, and the means to look at it.
// What it starts it stops by t.Cleanup.
type SourceHarness struct {
	Timing
	// New makes a source at this place, as a second process would: one that
	// goes on where those before it got to. It waits only shortly (less than
	// Timeout) for messages that are never settled when it stops.
	New func(t testing.TB) connector.Source
	// Produce puts messages there, in order, and returns before anybody has
	// settled them. It may be called before a source runs, unless the source
	// Answers: then it is called only while one does.
	Produce func(t testing.TB, inputs ...Input)
	// Committed is the next offset of each partition by which a source started
	// now would begin; a partition without a commit may be left out. Optional.
	Committed func(t testing.TB) map[Partition]int64
	// Taken is how many messages sources took from the place so far, handed
	// over or not, and ReadAhead is how many at most may be taken while the
	// first is being handled. Optional; without them only the handing over is
	// watched.
	Taken     func(t testing.TB) int
	ReadAhead int
	// Disconnect breaks the connections of the source. For Reconnects.
	Disconnect func(t testing.TB)
	// Answer reports whether the sender of a value was told how it ended, and
	// whether it was told that it is done. For Answers.
	Answer func(t testing.TB, value string) (ok, answered bool)
}

// SinkHarness is one empty destination, and the means to look at it and to
// make it fail. What it starts it stops by t.Cleanup.
type SinkHarness struct {
	Timing
	// New makes a sink for this destination.
	New func(t testing.TB) connector.Sink
	// Received is what the destination has taken so far, in any order.
	Received func(t testing.TB) []*cloudevent.Event
	// Fail makes the next n calls fail so that their error has that class.
	// With retryAfter > 0 the destination asks for that delay. For Temporary,
	// Permanent, Unavailable, Blocked and RetryAfter.
	Fail func(t testing.TB, class connector.Class, n int, retryAfter time.Duration)
	// Reject makes the destination refuse the event of that id for good, also
	// within a batch. For Batch together with Permanent.
	Reject func(t testing.TB, id string)
	// Block makes the destination hold calls until release, which may be
	// called twice. Without it nothing is asked about calls under way.
	Block func(t testing.TB) (release func())
	// Disconnect breaks the connections of the sink. For Reconnects.
	Disconnect func(t testing.TB)
}

// NewSource makes the harness of a scenario.
type NewSource func(t testing.TB) SourceHarness

// NewSink makes the harness of a scenario.
type NewSink func(t testing.TB) SinkHarness
