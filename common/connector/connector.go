// Package connector is the contract every Fiso connector keeps, and all that a
// Go program needs to know to use one. It is small on purpose: a Message that
// is settled once, a Source that hands messages over, a Sink that delivers
// CloudEvents, and one taxonomy of errors (errors.go).
//
//	src, err := kafka.NewSource(cfg)
//	err = src.Run(ctx, func(a *connector.Assignment, ms []*connector.Message) {
//		for _, m := range ms {
//			m.Settle(work(a.Context(), m.Value)) // nil: done; an error: not done
//		}
//	})
//
// # What a source must do
//
//   - It hands every message over at least once, in the order of its assignment.
//   - It MUST NOT report progress (commit an offset, answer a caller) past a
//     message that was not settled with nil.
//   - It makes one Assignment for each partition, stream or endpoint that it
//     reads, and none for a single message. The context of the assignment ends
//     when the partition is taken away or the source stops. The source then
//     waits, bounded, for the messages in flight there to be settled.
//   - It calls the handler serially within an assignment. Assignments may be
//     served side by side, so a handler that blocks holds up one of them.
//   - When Run returns, every message was settled or given up, and what could
//     be committed is committed.
//
// # What a handler must do
//
//   - It settles every message it was given exactly once, from any goroutine,
//     in any order. It may return before it settles, and it may block: that is
//     the back-pressure.
//   - When the context of an assignment ends, it settles what it has not begun
//     with ErrInterrupted, without delay.
package connector

import (
	"context"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
)

// Handler takes messages over from a source: at least one, all of assignment a,
// in its order. The slice is the source's again when the handler returns. See
// the package comment for what both sides owe each other.
type Handler func(a *Assignment, ms []*Message)

// Each is a Handler that calls handle for each message, in order, with the
// context of its assignment.
func Each(handle func(ctx context.Context, m *Message)) Handler {
	return func(a *Assignment, ms []*Message) {
		for _, m := range ms {
			handle(a.Context(), m)
		}
	}
}

// Source reads messages from somewhere until it is told to stop.
type Source interface {
	// Guarantees is what the source promises beyond this contract. It does not
	// change, and may be called at any time.
	Guarantees() Guarantees
	// Run hands messages to handle until ctx ends, and then returns nil once
	// everything in flight is settled or given up. How many messages a call
	// hands over is the source's choice, within its own bounds of what may be
	// unsettled. Run returns an error only for what it cannot recover from by
	// itself, such as refused credentials. It is called once.
	Run(ctx context.Context, handle Handler) error
}

// Sink delivers events. Retrying is the caller's business, never the sink's.
type Sink interface {
	// Send delivers one event, and returns nil only when the destination has
	// taken responsibility for it. It is safe for concurrent use, and neither
	// keeps nor changes e. The class of its error (see ClassOf) tells the
	// caller what to do next. When ctx ends, Send returns promptly.
	Send(ctx context.Context, e *cloudevent.Event) error
	// Close waits for calls under way until ctx ends, then lets go of all
	// connections. Send after Close fails. Close may be called twice.
	Close(ctx context.Context) error
}

// BatchSink is a sink that can take many events at once.
type BatchSink interface {
	Sink
	// SendBatch delivers events in one call. The result has one entry an
	// event, in the same order, or is nil when all were delivered.
	SendBatch(ctx context.Context, events []*cloudevent.Event) []error
}

// Checker is a source or sink that can try out its destination step by step,
// for a person who wants to know which step fails.
type Checker interface {
	// Check does nothing that has an effect on the destination. It stops at
	// the first step that fails.
	Check(ctx context.Context) []Step
}

// Step is one thing that a Checker tried, such as "resolve kafka.infra.svc".
type Step struct {
	Name string
	Err  error // nil when it worked; for a person, says what to do next
	// Warning is what a person should know though the step worked; "" is nothing.
	Warning string
}

// Reporter is a source that can tell how it stands.
type Reporter interface {
	// Status is cheap, safe for concurrent use and never blocks on a network.
	Status() Status
}

// Status is how a source stands at one moment.
type Status struct {
	// Problem is empty while the source works, or says for a person why it
	// does not: a broker that does not answer, a partition on hold.
	Problem string
	// Unreachable: what it reads from does not answer, or lets nobody in.
	Unreachable bool
	// Partitions are those now assigned, in order of stream and number.
	Partitions []PartitionStatus
	// Notes are remarks for a person that do not stop the source, such as a
	// gap in the offsets. Bounded.
	Notes []string
}

// PartitionStatus is how one assigned partition stands. All offsets are those
// of the next record, as Kafka counts them.
type PartitionStatus struct {
	Stream    string // topic
	Partition int32
	Committed int64     // -1 when nothing was committed yet
	End       int64     // -1 while it is unknown
	Lag       int64     // records not yet settled; -1 while it is unknown
	InFlight  int       // handed over and not settled
	Progress  time.Time // when the watermark last moved or there was no lag
}
