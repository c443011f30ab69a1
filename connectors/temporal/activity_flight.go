package temporal

import (
	"sync"

	"go.temporal.io/sdk/activity"

	"github.com/lsm/fiso/common/connector"
)

// activityKey identifies an activity through all of its attempts, which have the same
// arguments.
type activityKey struct{ run, id string }

func keyOf(info *activity.Info) activityKey {
	if info.ActivityRunID != "" { // called without a workflow
		return activityKey{info.ActivityRunID, info.ActivityID}
	}
	return activityKey{info.WorkflowExecution.RunID, info.ActivityID}
}

// flight is an event that was handed over, until it is settled.
type flight struct {
	connector.Message
	flights *flights
	key     activityKey
	done    chan struct{} // closed when the event is settled
	err     error         // valid once done is closed

	waiter chan struct{} // closed when a later attempt waits instead; guarded by flights.mu
}

// Settled is called once, from any goroutine.
func (f *flight) Settled(_ *connector.Message, err error) {
	f.err = err
	f.flights.land(f)
	close(f.done)
}

// flights are the events in flight, and how the last ones ended. An attempt that the server
// has given up, such as after a timeout, leaves its event in flight; the next attempt finds
// it here and waits for it.
type flights struct {
	mu     sync.Mutex
	live   map[activityKey]*flight
	landed map[activityKey]string // the outcome of those that were settled with nil
	oldest []activityKey          // a ring of the keys of landed
	next   int                    // in oldest
}

func newFlights(remembered int) flights {
	return flights{
		live: map[activityKey]*flight{}, landed: map[activityKey]string{},
		oldest: make([]activityKey, 0, remembered),
	}
}

// find returns the flight of an activity and a channel that is closed when a later attempt
// waits for it, or the outcome of an activity whose event was settled. All are zero for a
// new one.
func (fs *flights) find(key activityKey) (f *flight, superseded <-chan struct{}, outcome string) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f = fs.live[key]; f != nil {
		close(f.waiter)
		f.waiter = make(chan struct{})
		return f, f.waiter, ""
	}
	return nil, nil, fs.landed[key]
}

// launch adds a flight. The caller has found that there is none.
func (fs *flights) launch(key activityKey) (*flight, <-chan struct{}) {
	f := &flight{flights: fs, key: key, done: make(chan struct{}), waiter: make(chan struct{})}
	f.Bind(f)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.live[key] = f
	return f, f.waiter
}

// land removes a flight, and remembers its outcome if it was settled with nil.
func (fs *flights) land(f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	delete(fs.live, f.key)
	if f.err != nil {
		return
	}
	if len(fs.oldest) < cap(fs.oldest) {
		fs.oldest = append(fs.oldest, f.key)
	} else {
		delete(fs.landed, fs.oldest[fs.next])
		fs.oldest[fs.next] = f.key
		fs.next = (fs.next + 1) % len(fs.oldest)
	}
	fs.landed[f.key] = outcomeOf(&f.Message)
}

func (fs *flights) inFlight() int {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return len(fs.live)
}

// outcomeOf names how a message ended that was settled with nil, as workflows read it.
func outcomeOf(m *connector.Message) string {
	switch m.Outcome {
	case connector.Delivered:
		return "delivered"
	case connector.Filtered:
		return "filtered"
	case connector.Dropped:
		return "dropped"
	case connector.DeadLettered:
		return "deadLettered"
	}
	return "settled" // the handler does not tell
}
