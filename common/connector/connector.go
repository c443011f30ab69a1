// Package connector is the contract of every Fiso connector. A Go program that
// uses a connector needs this package only: a Message that is settled once, a
// Source that hands messages over, a Sink that delivers CloudEvents, and the
// classes of errors (errors.go).
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
//   - It hands over every message at least once, in the order of its assignment.
//   - It MUST NOT report progress (commit an offset, answer a caller) past a
//     message that was not settled with nil.
//   - It makes one Assignment for each partition, stream or endpoint that it
//     reads, never one for a single message. The context of the assignment ends
//     when the partition is taken away or the source stops. The source then waits,
//     for a bounded time, until the messages in flight of that assignment are
//     settled.
//   - It calls the handler serially within an assignment. Calls for different
//     assignments may run concurrently, so a handler that blocks holds up one
//     assignment only.
//   - When Run returns, every message was settled or given up, and all progress
//     that can be committed is committed.
//
// # What a handler must do
//
//   - It settles every message exactly once, from any goroutine, in any order. It
//     may return before it settles. It may block: this is the back-pressure.
//   - When the context of an assignment ends, it settles the messages that it has
//     not begun with ErrInterrupted, without delay.
package connector

import (
	"context"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
)

// Handler receives messages from a source: at least one, all of assignment a, in
// order. The handler must not keep the slice after it returns, because the source
// uses it again. The package comment states the duties of both sides.
type Handler func(a *Assignment, ms []*Message)

// Each returns a Handler that calls handle for each message, in order, with the
// context of the message's assignment.
func Each(handle func(ctx context.Context, m *Message)) Handler {
	return func(a *Assignment, ms []*Message) {
		for _, m := range ms {
			handle(a.Context(), m)
		}
	}
}

// Source reads messages until its context ends.
type Source interface {
	// Guarantees returns what the source promises beyond this contract. The result
	// never changes, and it may be called at any time.
	Guarantees() Guarantees
	// Run hands messages to handle until ctx ends. It then returns nil once every
	// message in flight is settled or given up. The source chooses how many messages
	// a call hands over, and bounds how many may be unsettled. Run returns an error
	// only for what it cannot recover from, such as refused credentials. It is called
	// once.
	Run(ctx context.Context, handle Handler) error
}

// Sink delivers events. It never retries: its caller does.
type Sink interface {
	// Send delivers one event. It returns nil only when the destination has taken
	// responsibility for the event. It is safe for concurrent use, and neither keeps
	// nor changes e. The class of its error (see ClassOf) tells the caller what to do
	// next. When ctx ends, Send returns promptly.
	Send(ctx context.Context, e *cloudevent.Event) error
	// Close waits until ctx ends for calls under way, then closes all connections.
	// Send after Close fails. Close may be called twice.
	Close(ctx context.Context) error
}

// BatchSink is a sink that can deliver many events in one call.
type BatchSink interface {
	Sink
	// SendBatch delivers events in one call. The result has one entry for each
	// event, in the same order, or is nil when all were delivered.
	SendBatch(ctx context.Context, events []*cloudevent.Event) []error
}

// Checker is a source or sink that can test its destination step by step, to show
// a person which step fails.
type Checker interface {
	// Check has no effect on the destination. It stops at the first step that fails.
	Check(ctx context.Context) []Step
}

// Step is one test of a Checker, such as "resolve kafka.infra.svc".
type Step struct {
	Name string
	Err  error // nil when the step worked; says what to do next
	// Warning is a problem that does not fail the step; "" when there is none.
	Warning string
}

// Reporter is a source that reports its status.
type Reporter interface {
	// Status is cheap, safe for concurrent use, and never blocks on a network.
	Status() Status
}

// Status is the status of a source at one moment.
type Status struct {
	// Problem says why the source does not work, such as a broker that does not
	// answer or a partition on hold. It is empty while the source works.
	Problem string
	// Unreachable: the source's system does not answer, or refuses the source.
	Unreachable bool
	// Partitions are the assigned partitions, in order of stream and number.
	Partitions []PartitionStatus
	// Notes are remarks that do not stop the source, such as a gap in the offsets.
	// Their number is bounded.
	Notes []string
}

// PartitionStatus is the status of one assigned partition. Each offset is that of
// the next record, as in Kafka.
type PartitionStatus struct {
	Stream    string // topic
	Partition int32
	Committed int64     // -1 when nothing was committed yet
	End       int64     // -1 while it is unknown
	Lag       int64     // records not yet settled; -1 while it is unknown
	InFlight  int       // handed over and not settled
	Progress  time.Time // when the watermark last moved or there was no lag
}
