package engine

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/common/backoff"
	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/flow/deadletter"
)

// What stays in order, spec section 3.1.
const (
	OrderKey       = "key"       // events of one key; an event without a key is unordered
	OrderPartition = "partition" // everything of one assignment
	OrderNone      = "none"
)

// What follows when an event has failed for good.
const (
	ExhaustedDLQ   = "dlq"   // it is stored as a dead letter, and settled
	ExhaustedBlock = "block" // it is tried again for ever, and holds its lane up
	ExhaustedDrop  = "drop"  // it is counted as dropped, and settled
)

// Config is what stays the same as long as an engine lives. The zero value of
// every field is good.
type Config struct {
	Flow     string // for logs, spans and dead letters
	Ordering string // OrderKey when empty
	// MaxInFlight bounds the events accepted and not yet settled of each
	// assignment, and the events in the hands of workers and in batches at one
	// moment over the whole flow. A source may make one event more for each
	// partition by itself, while its processor is quick. Default 1024.
	MaxInFlight int
	// MaxInFlightBytes bounds keys, values and headers accepted and not yet
	// settled, over the whole flow; an assignment with nothing in flight may
	// always hold one event. Default 32 MiB.
	MaxInFlightBytes int64
	// DrainTimeout is how long calls under way may go on after their
	// assignment ended or their stage was replaced. 0: not at all.
	DrainTimeout time.Duration
	Observer     Observer     // nil: nobody counts
	Logger       *slog.Logger // nil: discarded
	Tracer       trace.Tracer // nil: no tracing, at no cost
}

// Processor makes the event that a message becomes.
type Processor interface {
	// Process returns nil and no error for a message that its owner filters
	// out. An error of *fault.Error is a property of the message and is never
	// retried; one marked unavailable (see connector.ClassOf) holds the event
	// and is retried for ever. It is safe for concurrent use, and what it
	// returns belongs to the engine.
	Process(ctx context.Context, m *connector.Message) (*cloudevent.Event, error)
}

// Stage is what a reload replaces: everything behind the source. It is not
// changed once it was given to an engine.
type Stage struct {
	Processor Processor
	Sink      connector.Sink
	SinkName  string // for dead letters; "" where there is only one
	// DeadLetter may be nil only when OnExhausted is block or drop.
	DeadLetter  deadletter.Writer
	Retry       backoff.Policy
	MaxRetries  int    // after the first try, of temporary errors
	OnExhausted string // ExhaustedDLQ when empty
	// StopTheLine holds the flow after so many events in a row were given up
	// because of the sink. 0: never.
	StopTheLine int
	// Batch collects events for a Sink that is a connector.BatchSink; nil, or
	// another sink, sends one by one.
	Batch *Batch
}

// Batch says when a batch is sent: whichever bound is reached first. Values
// that are not positive stand for 100 events, 1 MiB and 50 ms.
type Batch struct {
	MaxEvents int
	MaxBytes  int64 // of data
	MaxWait   time.Duration
	// Eager sends what there is at once while nothing else is under way, so that
	// events only wait for company behind others, as in Nagle's algorithm
	// (RFC 896).
	Eager bool
}

const (
	defaultMaxInFlight = 1024
	defaultMaxBytes    = 32 << 20
)

func (c Config) withDefaults() Config {
	if c.Ordering == "" {
		c.Ordering = OrderKey
	}
	if c.MaxInFlight <= 0 {
		c.MaxInFlight = defaultMaxInFlight
	}
	if c.MaxInFlightBytes <= 0 {
		c.MaxInFlightBytes = defaultMaxBytes
	}
	if c.Observer == nil {
		c.Observer = nobody{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// WithDefaults is a copy for an engine that works on at most so many events,
// with what an engine makes of values that are not set.
func (b Batch) WithDefaults(maxInFlight int) *Batch {
	if b.MaxEvents <= 0 {
		b.MaxEvents = 100
	}
	if b.MaxBytes <= 0 {
		b.MaxBytes = 1 << 20
	}
	if b.MaxWait <= 0 {
		b.MaxWait = 50 * time.Millisecond
	}
	b.MaxEvents = min(b.MaxEvents, maxInFlight)
	return &b
}
