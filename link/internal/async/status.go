package async

import (
	"fmt"
	"strings"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/delivery/fault"
)

// Status is the state of a worker.
type Status struct {
	connector.Status
	Held int // dead letters and replies that could not be written yet
}

// Status returns the state of the worker. It is cheap, and safe for concurrent use.
func (w *Worker) Status() Status {
	e := w.engine.Status()
	s := Status{Status: w.source.Status(), Held: e.HeldBy[delivery.CauseDeadLetter] + e.HeldBy[delivery.CauseReceipt]}
	var problems []string
	if s.Problem != "" {
		problems = append(problems, s.Problem)
	}
	for _, u := range []struct {
		cause delivery.Cause
		what  string
	}{{delivery.CauseDeadLetter, DeadLetter}, {delivery.CauseReceipt, Reply}} {
		if n := e.HeldBy[u.cause]; n > 0 {
			problems = append(problems, fmt.Sprintf("%d call(s) held because their %s cannot be written: %s", n, u.what, lastError(&e, u.cause)))
		}
	}
	if why := w.waiting(&e); why != "" {
		problems = append(problems, why)
	}
	s.Problem = strings.Join(problems, "; ")
	return s
}

// waiting describes the calls that wait for the target; "": none.
func (w *Worker) waiting(e *delivery.State) string {
	n := e.Retrying + e.HeldBy[delivery.CauseUnavailable] + e.HeldBy[delivery.CauseStopped]
	switch {
	case n == 0:
		return ""
	case e.HeldBy[delivery.CauseStopped] > 0:
		return fmt.Sprintf("%d call(s) wait: %d calls in a row became dead letters, so one at a time is tried until one is delivered; the last answer: %s",
			n, w.calls.Target.Spec.Async.StopTheLine.Consecutive, lastError(e, delivery.CauseStopped))
	}
	return fmt.Sprintf("%d call(s) wait: %s", n, lastError(e, delivery.CauseUnavailable))
}

// lastError returns the error of an event held for that cause, or else the last error
// of the engine.
func lastError(e *delivery.State, c delivery.Cause) string {
	for _, h := range e.Held {
		if h.Cause == c && h.Err != nil {
			return h.Err.Error()
		}
	}
	return e.LastError
}

// observer reports events of the engine to the metrics.
type observer struct {
	delivery.NoObserver
	Config
}

// DeadLetter is called for each dead letter that was stored.
func (o observer) DeadLetter(code fault.Code) { o.OnDeadLetter(string(code)) }

// DeadLetterError is called for each failed attempt to store a dead letter.
func (o observer) DeadLetterError() { o.OnUnwritten(DeadLetter) }
