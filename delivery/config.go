package delivery

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/common/backoff"
	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/deadletter"
)

// What stays in order.
const (
	OrderKey       = "key"       // events of one key; an event without a key is unordered
	OrderPartition = "partition" // everything of one assignment
	OrderNone      = "none"
)

// What follows when an event has failed for good.
const (
	ExhaustedDLQ   = "dlq"   // it is stored as a dead letter, and settled
	ExhaustedBlock = "block" // it is tried again for ever, and holds up its key
	ExhaustedDrop  = "drop"  // it is counted as dropped, and settled
)

// Config is what stays the same as long as an engine lives. The zero value of
// every field is good.
type Config struct {
	Name     string // of the flow, for logs, spans and dead letters
	Ordering string // OrderKey when empty
	// MaxInFlight bounds the messages accepted and not yet settled of each
	// assignment, and the deliveries under way of each output. Default 1024.
	MaxInFlight int
	// MaxInFlightBytes bounds keys, values and headers accepted and not yet
	// settled, over all assignments; an assignment with nothing in flight may
	// always hold one message. Default 32 MiB.
	MaxInFlightBytes int64
	// DrainTimeout is how long calls under way may go on after their
	// assignment ended or their version was replaced. 0: not at all.
	DrainTimeout time.Duration
	// StorePatience is how long a dead letter, or a receipt, may keep a worker
	// waiting. Its event is then held, which a person can see, and the write is
	// asked for again; its end cancels nothing (see deadletter.Writer). Default 10 s.
	StorePatience time.Duration
	Observer      Observer     // nil: nobody counts
	Logger        *slog.Logger // nil: discarded
	Tracer        trace.Tracer // nil: no tracing, at no cost
}

// Transformer makes the events that a message becomes, and says which outputs
// take them. It is safe for concurrent use.
type Transformer interface {
	// Transform appends one Routed for each event and each output that takes it.
	// Without any, the message was filtered, or taken by no output: then the
	// error is ErrUnrouted. Any other error of type *fault.Error is a property of
	// the message and is never retried; one of class connector.Unavailable or
	// connector.Blocked holds the message and is retried for ever. Events belong
	// to the engine.
	Transform(ctx context.Context, m *connector.Message, into []Routed) ([]Routed, error)
}

// Routed is an event and an output that takes it. Outputs may share an event.
type Routed struct {
	Event  *cloudevent.Event
	Output int // index in Version.Outputs
	Part   int // 1 for the first event of a message that becomes several, and so on; else 0
	// Attachment is what the transformer wants the output's Sink and Receipt to
	// have beside the event: they find it with Attachment. A batch has none.
	Attachment any
}

type attachmentKey struct{}

// Attachment is what the transformer attached to the event that a Sink or a
// Receipt is called for, by the context of that call; nil: nothing.
func Attachment(ctx context.Context) any { return ctx.Value(attachmentKey{}) }

// attached is ctx with the task's attachment.
func (t *task) attached(ctx context.Context) context.Context {
	if t.attachment == nil {
		return ctx
	}
	return context.WithValue(ctx, attachmentKey{}, t.attachment)
}

// ErrUnrouted says that no output takes a message, which is then settled.
var ErrUnrouted = errors.New("no output takes the event")

// Version is what a reload replaces: everything behind the source. It does not
// change once an engine has it.
type Version struct {
	Transformer Transformer
	// Handling of messages that become no event. MaxRetries is not used.
	Handling
	Outputs []Output
}

// Handling says what follows a failure.
type Handling struct {
	// DeadLetter may be nil only when OnExhausted is block or drop.
	DeadLetter  deadletter.Writer
	Retry       backoff.Policy
	MaxRetries  int    // after the first try
	OnExhausted string // ExhaustedDLQ when empty
}

// Output is one destination of a version.
type Output struct {
	Name string // for dead letters, logs and metrics; different in a version
	Sink connector.Sink
	Handling
	// MaxInFlight bounds the deliveries under way, if it is less than Config's.
	MaxInFlight int
	// StopTheLine holds the output after so many events in a row were given up
	// because of the sink. 0: never.
	StopTheLine int
	// CountOutages counts every failure against the event. Otherwise a failure
	// that may be the destination's counts only if the destination has answered
	// for another event since this one last failed.
	CountOutages bool
	// Batch collects events for a Sink that is a connector.BatchSink; nil, or
	// another sink, sends one by one.
	Batch *Batch
	// Receipt, where it is set, is called after an event was delivered, and after
	// its dead letter was stored, until it returns nil; the message is settled
	// after that. letter is nil for an event that was delivered. Until then the
	// delivery counts as under way, for the receipt may need what the destination
	// answered. ctx ends after Config.StorePatience: Receipt is then called again,
	// and should wait for what it began.
	Receipt func(ctx context.Context, e *cloudevent.Event, letter *deadletter.Letter) error
}

// Batch says when a batch is sent: whichever bound is reached first. Values
// that are not positive stand for 100 events, 1 MiB and 50 ms.
type Batch struct {
	MaxEvents int
	MaxBytes  int64 // of data
	MaxWait   time.Duration
	// Eager sends what there is at once while nothing else is under way, so that
	// events wait for company only behind others, as in Nagle's algorithm
	// (RFC 896).
	Eager bool
}

const (
	defaultMaxInFlight = 1024
	defaultMaxBytes    = 32 << 20
	defaultPatience    = 10 * time.Second
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
	if c.StorePatience <= 0 {
		c.StorePatience = defaultPatience
	}
	if c.Observer == nil {
		c.Observer = NoObserver{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// WithDefaults is a copy for an engine that has at most so many deliveries under
// way, with what an engine makes of values that are not set.
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
