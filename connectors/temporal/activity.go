package temporal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/lsm/fiso/common/connector"
)

// Types of the failures that a workflow may see.
const (
	// ErrorUnsettled: the event was not settled. Temporal retries it.
	ErrorUnsettled = "fiso.Unsettled"
	// ErrorInvalidEvent: the argument is not a valid CloudEvent. It is not retried.
	ErrorInvalidEvent = "fiso.InvalidEvent"
)

// Delays before the next attempt.
const (
	handBackDelay   = 100 * time.Millisecond // another worker may take it at once
	failedDelay     = time.Second
	codecRetryDelay = 5 * time.Second
)

// result is the result of the activity.
type result struct {
	Outcome string `json:"outcome"`
}

// progress is what a heartbeat tells about an event that waits.
type progress struct {
	State string    `json:"state"` // queued: not handed over yet; inFlight: not settled yet
	Since time.Time `json:"since"` // when the attempt began
}

// attempt is one attempt of an activity, which the SDK calls in a goroutine of its own and
// on a slot of maxInFlight.
type attempt struct {
	s     *Source
	ctx   context.Context
	info  activity.Info
	beats *time.Ticker
	began time.Time
	state string
}

// publish is the activity. It returns once the event is settled, or handed back unbegun.
func (s *Source) publish(ctx context.Context, event, extra converter.RawValue) (converter.RawValue, error) {
	var none converter.RawValue
	if !s.begin() {
		return none, handedBack()
	}
	defer s.attempts.Done()
	if extra.Payload() != nil {
		return none, invalid("there is more than one argument; send the key as the attribute partitionkey")
	}
	a := &attempt{s: s, ctx: ctx, info: activity.GetInfo(ctx), began: time.Now(), state: "queued"}
	a.beats = time.NewTicker(a.heartbeatInterval())
	defer a.beats.Stop()
	outcome, err := a.deliver(event.Payload())
	if err != nil {
		return none, err
	}
	p := resultPayload(outcome)
	// A cancelled attempt has an answer, too. The codec has a timeout of its own.
	if err := s.codecAnswered(s.codec.encode(context.WithoutCancel(ctx), p)); err != nil {
		return none, err
	}
	return converter.NewRawValue(p), nil
}

// heartbeatInterval is the configured one, or a third of the workflow's heartbeat timeout.
func (a *attempt) heartbeatInterval() time.Duration {
	if limit := a.info.HeartbeatTimeout; limit > 0 {
		return min(a.s.cfg.Heartbeat, limit/3)
	}
	return a.s.cfg.Heartbeat
}

// deliver hands the event over, unless an earlier attempt did, and returns its outcome once
// it is settled.
func (a *attempt) deliver(p *commonpb.Payload) (string, error) {
	key := keyOf(&a.info)
	f, superseded, outcome := a.s.flights.find(key)
	if f != nil || outcome != "" {
		return a.await(f, superseded, outcome)
	}
	if p != nil {
		if err := a.s.codecAnswered(a.s.codec.decode(context.WithoutCancel(a.ctx), p)); err != nil {
			return "", err
		}
	}
	value, e, err := eventOf(p)
	if err != nil {
		if a.s.codec.conceals() { // the history holds the text as it is
			err = errors.New("the decoded argument is not a valid CloudEvent")
		}
		return "", invalid(err.Error())
	}
	if err := a.takeTurn(); err != nil {
		return "", err
	}
	// Another attempt may have handed the event over meanwhile. From here on none does.
	if f, superseded, outcome = a.s.flights.find(key); f == nil && outcome == "" {
		f, superseded = a.s.flights.launch(key)
		a.s.fill(&f.Message, value, &e, &a.info)
		a.s.attempts.Go(func() { a.s.handOver(f) }) // the handler may block, and heartbeats go on
	} else {
		<-a.s.handling
	}
	return a.await(f, superseded, outcome)
}

// takeTurn waits for the token of the handler.
func (a *attempt) takeTurn() error {
	for {
		select {
		case a.s.handling <- struct{}{}:
			if a.s.ctx.Err() == nil && a.ctx.Err() == nil {
				return nil
			}
			<-a.s.handling
			return a.notBegun()
		case <-a.beats.C:
			a.heartbeat(a.ctx)
		case <-a.ctx.Done():
			return a.notBegun()
		case <-a.s.ctx.Done():
			return a.notBegun()
		}
	}
}

// notBegun is the answer of an attempt whose event was not handed over.
func (a *attempt) notBegun() error {
	if temporal.IsCanceledError(context.Cause(a.ctx)) {
		return temporal.NewCanceledError("the event was not published")
	}
	return handedBack()
}

// handOver calls the handler and gives back its token, which an attempt has taken. If the
// handler panics, the event fails.
func (s *Source) handOver(f *flight) {
	defer func() {
		<-s.handling
		if v := recover(); v != nil {
			s.log.Error("temporal source handler panicked", "panic", v, "stack", string(debug.Stack()))
			f.Settle(fmt.Errorf("the handler panicked: %v", v))
		}
	}()
	s.handle(s.assignment, []*connector.Message{&f.Message})
}

// await waits until the event is settled. An event that was handed over cannot be taken back,
// so a cancelled or expired attempt waits too: its slot is the bound of events in flight.
func (a *attempt) await(f *flight, superseded <-chan struct{}, outcome string) (string, error) {
	if f == nil {
		return outcome, nil // an earlier attempt was settled, and its answer was lost
	}
	a.state = "inFlight"
	over, beats, ctx := a.ctx.Done(), a.beats.C, a.ctx
	for {
		select {
		case <-f.done:
			return f.outcome()
		case <-beats:
			a.heartbeat(ctx)
		case <-over:
			over, ctx = nil, context.WithoutCancel(a.ctx)
			if !temporal.IsCanceledError(context.Cause(a.ctx)) {
				beats = nil // the server has given up this attempt
			}
		case <-superseded:
			return "", unsettled("a later attempt waits for the event", handBackDelay)
		case <-a.s.drainExpired:
			select {
			case <-f.done: // at the same moment
				return f.outcome()
			default:
				return "", unsettled("the source stopped before the event was settled", handBackDelay)
			}
		}
	}
}

// outcome is the answer for an event that is settled.
func (f *flight) outcome() (string, error) {
	switch {
	case f.err == nil:
		return outcomeOf(&f.Message), nil
	case connector.ClassOf(f.err) == connector.Interrupted:
		return "", handedBack()
	}
	return "", unsettled("the event was not settled", max(failedDelay, connector.RetryAfter(f.err)))
}

// heartbeat tells the server that the attempt is alive, and learns whether it is cancelled.
// With a codec it has no details, which would need a call of the codec.
func (a *attempt) heartbeat(ctx context.Context) {
	if a.s.codec.conceals() {
		activity.RecordHeartbeat(ctx)
		return
	}
	activity.RecordHeartbeat(ctx, progress{a.state, a.began})
}

func resultPayload(outcome string) *commonpb.Payload {
	data, _ := json.Marshal(result{outcome}) // a text always has a JSON form
	return payload(data)
}

// codecAnswered reports how a call of the codec ended, and returns the answer to an attempt
// if it failed.
func (s *Source) codecAnswered(err error) error {
	if s.codec.conceals() {
		s.report(aspectCodec, err)
	}
	if err == nil {
		return nil
	}
	return unsettled("the payload codec of the source does not answer", codecRetryDelay)
}

// handedBack is the answer for an event that was not begun. The workflow never sees a settle
// error: it belongs to the flow and may name things that the workflow should not know.
func handedBack() error {
	return unsettled("the event was handed back before it was processed", handBackDelay)
}

func unsettled(why string, delay time.Duration) error {
	return temporal.NewApplicationErrorWithOptions(why+"; the next attempt sends it again with the same id", ErrorUnsettled,
		temporal.ApplicationErrorOptions{NextRetryDelay: delay, Category: temporal.ApplicationErrorCategoryBenign})
}

func invalid(why string) error {
	return temporal.NewNonRetryableApplicationError(ActivityName+": "+why, ErrorInvalidEvent, nil)
}
