package delivery

import (
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/fault"
)

// Status is how an event ended.
type Status string

// The ways an event can end, and the values of the status label of
// fiso_flow_events_total.
const (
	Delivered    Status = "delivered"
	Filtered     Status = "filtered"
	Unrouted     Status = "unrouted" // taken by no output
	DeadLettered Status = "dead_lettered"
	Dropped      Status = "dropped"
	Interrupted  Status = "interrupted" // handed back to the source, not done
)

// Phase is a part of an event's way that is timed.
type Phase string

// The values of the phase label of fiso_flow_event_duration_seconds.
const (
	PhaseTransform Phase = "transform"
	PhaseSink      Phase = "sink"
	PhaseTotal     Phase = "total" // from accepted to settled, waiting included
)

// Observer hears what an engine does, to count it. Calls come from many
// goroutines, some with the engine's lock held: they must not block and must
// not call the engine.
type Observer interface {
	// Settled counts n messages that ended, each once. One that became several
	// deliveries ended as the gravest of them did.
	Settled(s Status, n int)
	// Ended counts n deliveries of an output that ended.
	Ended(output string, s Status, n int)
	// Timed counts n times that a phase took d: transform and sink once a try.
	// Of several events that were timed together, d is the mean.
	Timed(p Phase, d time.Duration, n int)
	// TransformError is called for each message that became no event.
	TransformError(code fault.Code)
	// SinkError is called for each try that the sink refused.
	SinkError(output string, class connector.Class)
	// Retry is called when an event is to be tried again.
	Retry()
	// DeadLetter is called when one is stored, DeadLetterError when it could
	// not be.
	DeadLetter(code fault.Code)
	DeadLetterError()
	// Held says how many events are held now: not given up, and not going on
	// by themselves before something outside is mended.
	Held(events int)
}

// NoObserver counts nothing. An Observer that cares for a part embeds it.
type NoObserver struct{}

// Settled is Observer's.
func (NoObserver) Settled(Status, int) {}

// Ended is Observer's.
func (NoObserver) Ended(string, Status, int) {}

// Timed is Observer's.
func (NoObserver) Timed(Phase, time.Duration, int) {}

// TransformError is Observer's.
func (NoObserver) TransformError(fault.Code) {}

// SinkError is Observer's.
func (NoObserver) SinkError(string, connector.Class) {}

// Retry is Observer's.
func (NoObserver) Retry() {}

// DeadLetter is Observer's.
func (NoObserver) DeadLetter(fault.Code) {}

// DeadLetterError is Observer's.
func (NoObserver) DeadLetterError() {}

// Held is Observer's.
func (NoObserver) Held(int) {}
