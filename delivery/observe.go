package delivery

import (
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/fault"
)

// Status is how a message or a delivery ended.
type Status uint8

// The ways an event can end, from the least to the most grave. A message has the gravest
// end of its deliveries.
const (
	Filtered Status = iota
	Unrouted        // taken by no output
	Delivered
	Dropped
	DeadLettered
	Interrupted // handed back to the source
)

var statusNames = [...]string{"filtered", "unrouted", "delivered", "dropped", "dead_lettered", "interrupted"}

// String returns the value of the status label of fiso_flow_events_total.
func (s Status) String() string { return statusNames[s] }

// outcome returns s as the source of a message sees it.
func (s Status) outcome() connector.Outcome {
	switch s {
	case Delivered:
		return connector.Delivered
	case Filtered, Unrouted:
		return connector.Filtered
	case Dropped:
		return connector.Dropped
	case DeadLettered:
		return connector.DeadLettered
	default:
		return connector.OutcomeUnknown
	}
}

// Phase is a timed part of the processing of an event.
type Phase uint8

// The timed parts of the processing of an event.
const (
	PhaseTransform Phase = iota
	PhaseSink
	PhaseTotal // from accepted to settled, waiting included
)

var phaseNames = [...]string{"transform", "sink", "total"}

// String returns the value of the phase label of fiso_flow_event_duration_seconds.
func (p Phase) String() string { return phaseNames[p] }

// Observer counts what an engine does. Its methods are called from many
// goroutines, some with the engine's lock held: they must not block and must
// not call the engine.
type Observer interface {
	// Settled counts n messages that ended, each once. A message with several
	// deliveries has the gravest of their ends.
	Settled(s Status, n int)
	// Ended counts n deliveries of an output that ended.
	Ended(output string, s Status, n int)
	// Timed counts n times that a phase took d. Transform and sink are timed
	// once a try. If several were timed together, d is the mean.
	Timed(p Phase, d time.Duration, n int)
	// TransformError is called for each message that became no event.
	TransformError(code fault.Code)
	// SinkError is called for each try that failed at the sink.
	SinkError(output string, class connector.Class)
	// Retry is called when an event will be tried again.
	Retry()
	// DeadLetter is called when a dead letter was stored, DeadLetterError when
	// it could not be stored.
	DeadLetter(code fault.Code)
	DeadLetterError()
	// Held says how many events are held now: they wait until something
	// outside the engine is repaired.
	Held(events int)
}

// NoObserver counts nothing. An Observer that counts only some things embeds
// it.
type NoObserver struct{}

// Settled implements Observer.
func (NoObserver) Settled(Status, int) {}

// Ended implements Observer.
func (NoObserver) Ended(string, Status, int) {}

// Timed implements Observer.
func (NoObserver) Timed(Phase, time.Duration, int) {}

// TransformError implements Observer.
func (NoObserver) TransformError(fault.Code) {}

// SinkError implements Observer.
func (NoObserver) SinkError(string, connector.Class) {}

// Retry implements Observer.
func (NoObserver) Retry() {}

// DeadLetter implements Observer.
func (NoObserver) DeadLetter(fault.Code) {}

// DeadLetterError implements Observer.
func (NoObserver) DeadLetterError() {}

// Held implements Observer.
func (NoObserver) Held(int) {}
