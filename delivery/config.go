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

// What is kept in order.
const (
	OrderKey       = "key"       // events of one key; an event without a key is unordered
	OrderPartition = "partition" // everything of one assignment
	OrderNone      = "none"
)

// What happens to an event that has failed for good.
const (
	ExhaustedDLQ   = "dlq"   // it is stored as a dead letter, and settled
	ExhaustedBlock = "block" // it is retried forever, and blocks its key
	ExhaustedDrop  = "drop"  // it is counted as dropped, and settled
)

// Config is the part of the configuration that does not change while an engine
// runs. The zero value of every field is valid.
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
	// StorePatience is how long a worker waits for a dead letter or a receipt to
	// be written. After that the event is held, which State shows, and the write
	// is called again. The deadline does not cancel the write under way: see
	// deadletter.Writer. Default 10 s.
	StorePatience time.Duration
	Observer      Observer     // nil: nothing is counted
	Logger        *slog.Logger // nil: logs are discarded
	Tracer        trace.Tracer // nil: no tracing, at no cost
}

// Transformer makes the events of a message and decides which outputs take
// them. It is safe for concurrent use.
type Transformer interface {
	// Transform appends one Routed for each event and each output that takes
	// it. If it appends none, the message is filtered; it returns ErrUnrouted
	// if there are events, and no output takes them. Any other error of type
	// *fault.Error is a property of the message and is never retried. An error
	// of class connector.Unavailable or connector.Blocked holds the message
	// and is retried forever. The engine owns the events.
	Transform(ctx context.Context, m *connector.Message, into []Routed) ([]Routed, error)
}

// Routed is an event and an output that takes it. Outputs may share an event.
type Routed struct {
	Event  *cloudevent.Event
	Output int // index in Version.Outputs
	Part   int // 1 for the first event of a message that becomes several, and so on; else 0
	// Attachment is passed from the transformer to the output's Sink and
	// Receipt, which get it with the function Attachment. A batch has none.
	Attachment any
}

type attachmentKey struct{}

// Attachment returns what the transformer attached to the event for which a
// Sink or a Receipt is called. ctx is the context of that call. It returns nil
// if there is nothing.
func Attachment(ctx context.Context) any { return ctx.Value(attachmentKey{}) }

// attached returns ctx with the task's attachment.
func (t *task) attached(ctx context.Context) context.Context {
	if t.attachment == nil {
		return ctx
	}
	return context.WithValue(ctx, attachmentKey{}, t.attachment)
}

// ErrUnrouted says that no output takes a message. The message is then settled.
var ErrUnrouted = errors.New("no output takes the event")

// Version is what Swap replaces: everything behind the source. It must not
// change after it was given to an engine.
type Version struct {
	Transformer Transformer
	// Handling of messages that become no event. MaxRetries is not used.
	Handling
	Outputs []Output
}

// Handling says what happens after a failure.
type Handling struct {
	// DeadLetter may be nil only when OnExhausted is block or drop.
	DeadLetter  deadletter.Writer
	Retry       backoff.Policy
	MaxRetries  int    // after the first try
	OnExhausted string // ExhaustedDLQ when empty
}

// Output is one destination of a version.
type Output struct {
	Name string // for dead letters, logs and metrics; unique in a version
	Sink connector.Sink
	Handling
	// MaxInFlight bounds the deliveries under way, if it is less than Config's.
	MaxInFlight int
	// StopTheLine holds the output after events of so many messages in a row were
	// given up because of the sink. 0: never.
	StopTheLine int
	// CountOutages counts every failure as a retry of the event. Otherwise a
	// failure without an answer counts only if the destination has answered
	// for another event since this one last failed.
	CountOutages bool
	// Batch collects events if Sink is a connector.BatchSink. With nil or
	// another sink, events are sent one by one.
	Batch *Batch
	// Receipt, if set, is called after an event was delivered and after its
	// dead letter was stored, again and again until it returns nil. The
	// message is settled after that. letter is nil for an event that was
	// delivered. Until then the delivery counts as under way, as the receipt
	// may need the destination's answer. ctx ends after Config.StorePatience.
	// Receipt is then called again, and should wait for the write that it
	// already started.
	Receipt func(ctx context.Context, e *cloudevent.Event, letter *deadletter.Letter) error
}

// Batch says when a batch is sent: at the bound that is reached first. Values
// that are not positive mean 100 events, 1 MiB and 50 ms.
type Batch struct {
	MaxEvents int
	MaxBytes  int64 // of data
	MaxWait   time.Duration
	// Eager sends a batch at once if nothing else of the output is under way,
	// so that events wait only while others are sent, as in Nagle's algorithm
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

// WithDefaults returns a copy with the engine's defaults for values that are
// not set, for an output with at most maxInFlight deliveries under way.
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
