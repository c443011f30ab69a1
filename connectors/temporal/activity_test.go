package temporal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/lsm/fiso/common/connector"
)

func TestActivity_completesOnceTheEventIsSettled(t *testing.T) {
	f := newFakeTemporal(t)
	r := start(t, newTestSource(t, sourceConfig(f), SourceOptions{}), nil)
	c := f.call("1", nil, plainJSON(eventJSON("order-7", "k")))
	m := r.first()
	if got := f.look(c); got.closed || len(got.failures) > 0 {
		t.Fatalf("the call ended before its event was settled: %+v", got.failures)
	}
	m.Settle(nil)
	done := f.closed(c)
	if got := done.outcome(t); got != "settled" {
		t.Errorf("the outcome is %q, want settled", got)
	}
}

// The result says how the event ended, where the handler tells.
func TestActivity_saysHowTheEventEnded(t *testing.T) {
	t.Parallel() // it mostly waits
	for outcome, want := range map[connector.Outcome]string{
		connector.OutcomeUnknown: "settled", connector.Delivered: "delivered", connector.Filtered: "filtered",
		connector.Dropped: "dropped", connector.DeadLettered: "deadLettered",
	} {
		t.Run(want, func(t *testing.T) {
			f := newFakeTemporal(t)
			start(t, newTestSource(t, sourceConfig(f), SourceOptions{}), func(m *connector.Message) {
				m.Outcome = outcome
				m.Settle(nil)
			})
			done := f.closed(f.call("1", nil, plainJSON(eventJSON("order-7", "k"))))
			if got := done.outcome(t); got != want {
				t.Errorf("the outcome is %q, want %q", got, want)
			}
		})
	}
}

func TestActivity_handsOverTheEventAsItCame(t *testing.T) {
	f := newFakeTemporal(t)
	r := start(t, newTestSource(t, sourceConfig(f), SourceOptions{Name: "orders"}), settle(nil))
	body := eventJSON("order-7", "customer-9")
	f.closed(f.call("1", nil, plainJSON(body)))
	m := r.first()
	if !bytes.Equal(m.Value, []byte(body)) {
		t.Errorf("the value is %s, want the argument byte for byte: %s", m.Value, body)
	}
	if m.ID != "order-7" || string(m.Key) != "customer-9" || m.Position.String() != "orders" || m.Time.IsZero() {
		t.Errorf("id %q, key %q, position %s, time %v; want order-7, customer-9, orders and a time", m.ID, m.Key, m.Position, m.Time)
	}
	want := map[string]string{
		"content-type": "application/cloudevents+json", HeaderWorkflowID: "order-1", HeaderRunID: "run-1", HeaderWorkflowType: "Order",
	}
	for name, value := range want {
		if got, _ := m.Header(name); string(got) != value {
			t.Errorf("header %s is %q, want %q", name, got, value)
		}
	}
	if len(m.Headers) != len(want) {
		t.Errorf("the headers are %v, want %d", m.Headers, len(want))
	}
}

// The bytes of the argument are those that the workflow's SDK wrote: binary data stays
// base64, digits stay digits, and bytes in Go's binary/plain are JSON too.
func TestActivity_takesEventsOfAnySDK(t *testing.T) {
	binary := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("binary/plain")}, Data: []byte(eventJSON("b", ""))}
	for name, p := range map[string]*commonpb.Payload{
		"base64":    plainJSON(`{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"image/png","data_base64":"iVBORw=="}`),
		"no data":   plainJSON(`{"type":"t","source":"/s","id":"1","specversion":"1.0"}`),
		"with time": plainJSON(`{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"2026-01-02T03:04:05Z","data":9007199254740993}`),
		"bytes":     binary,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeTemporal(t)
			r := start(t, newTestSource(t, sourceConfig(f), SourceOptions{}), settle(nil))
			f.closed(f.call("1", nil, p))
			m := r.first()
			if !bytes.Equal(m.Value, p.Data) {
				t.Errorf("the value is %s, want %s", m.Value, p.Data)
			}
			if name == "with time" && !m.Time.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
				t.Errorf("the time is %v, want that of the event", m.Time)
			}
		})
	}
}

func TestActivity_refusesAMalformedEventForGood(t *testing.T) {
	t.Parallel() // it mostly waits
	protobuf := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/protobuf")}, Data: []byte(`{}`)}
	null := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("binary/null")}}
	for name, c := range map[string]struct {
		args []*commonpb.Payload
		want string
	}{
		"no argument":      {nil, "fiso.publish: there is no argument; call fiso.publish with a CloudEvent"},
		"null":             {[]*commonpb.Payload{null}, "fiso.publish: there is no argument; call fiso.publish with a CloudEvent"},
		"two arguments":    {[]*commonpb.Payload{plainJSON(eventJSON("1", "k")), plainJSON(`{}`)}, "fiso.publish: there is more than one argument; send the key as the attribute partitionkey"},
		"protobuf":         {[]*commonpb.Payload{protobuf}, `fiso.publish: the argument is encoded as "json/protobuf"; send a CloudEvent in its JSON format, as json/plain`},
		"no encoding":      {[]*commonpb.Payload{{Data: []byte("{}")}}, `fiso.publish: the argument is encoded as ""; send a CloudEvent in its JSON format, as json/plain`},
		"text":             {[]*commonpb.Payload{plainJSON(`"hello"`)}, "fiso.publish: parse CloudEvent: an event must be an object, and this is a string"},
		"missing type":     {[]*commonpb.Payload{plainJSON(`{"specversion":"1.0","id":"1","source":"/s"}`)}, "type"},
		"bad time":         {[]*commonpb.Payload{plainJSON(`{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"noon"}`)}, "time"},
		"not JSON":         {[]*commonpb.Payload{plainJSON(`{"specversion":`)}, "parse CloudEvent"},
		"no specversion":   {[]*commonpb.Payload{plainJSON(`{"id":"1","source":"/s","type":"t"}`)}, "fiso.publish: parse CloudEvent: attribute specversion is missing"},
		"attribute is set": {[]*commonpb.Payload{plainJSON(`{"specversion":"1.0","id":7,"source":"/s","type":"t"}`)}, "attribute id must be a string"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeTemporal(t)
			r := start(t, newTestSource(t, sourceConfig(f), SourceOptions{}), settle(nil))
			done := f.closed(f.call("1", nil, c.args...))
			if len(done.failures) != 1 {
				t.Fatalf("the call failed %d times, want once", len(done.failures))
			}
			failure := done.failures[0]
			info := failure.GetApplicationFailureInfo()
			if info.GetType() != ErrorInvalidEvent || !info.GetNonRetryable() {
				t.Errorf("the failure is %v, want the type fiso.InvalidEvent for good", info)
			}
			if !strings.Contains(failure.Message, c.want) {
				t.Errorf("the message is %q, want %q", failure.Message, c.want)
			}
			if n := len(r.messages()); n != 0 {
				t.Errorf("%d messages are handed over, want none", n)
			}
		})
	}
}

// What was not settled fails the attempt, and the next one hands the event over again with
// the same id. The workflow does not see the error, which belongs to the flow.
func TestActivity_failsTheAttemptOfAnUnsettledEvent(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		delay time.Duration
		want  string
	}{
		"refused":     {errNotDone, time.Second, "the event was not settled; the next attempt sends it again with the same id"},
		"permanent":   {connector.AsPermanent(errNotDone), time.Second, "the event was not settled; the next attempt sends it again with the same id"},
		"interrupted": {connector.ErrInterrupted, 100 * time.Millisecond, "the event was handed back before it was processed; the next attempt sends it again with the same id"},
		"busy":        {connector.AsUnavailable(errNotDone, 3*time.Second), 3 * time.Second, "the event was not settled; the next attempt sends it again with the same id"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeTemporal(t)
			start(t, newTestSource(t, sourceConfig(f), SourceOptions{}), settle(c.err))
			call := f.call("1", nil, plainJSON(eventJSON("order-7", "k")))
			until(t, "the attempt fails", func() bool { return len(f.look(call).failures) > 0 })
			failure := f.look(call).failures[0]
			info := failure.GetApplicationFailureInfo()
			if info.GetType() != ErrorUnsettled || info.GetNonRetryable() || info.GetNextRetryDelay().AsDuration() != c.delay {
				t.Errorf("the failure is %v, want the type fiso.Unsettled to be retried after %v", info, c.delay)
			}
			if failure.Message != c.want {
				t.Errorf("the message is %q, want %q", failure.Message, c.want)
			}
		})
	}
}

func TestActivity_sendsARefusedEventAgainWithTheSameID(t *testing.T) {
	f := newFakeTemporal(t)
	n := 0 // calls of the handler, which are serial
	r := start(t, newTestSource(t, sourceConfig(f), SourceOptions{}), func(m *connector.Message) {
		if n++; n == 1 {
			m.Settle(connector.ErrInterrupted)
			return
		}
		m.Settle(nil)
	})
	done := f.closed(f.call("1", nil, plainJSON(eventJSON("order-7", "k"))))
	if got := r.messages(); len(got) != 2 || got[0].ID != "order-7" || got[1].ID != "order-7" {
		t.Errorf("%d messages are handed over, want order-7 twice", len(got))
	}
	if done.result == nil || done.attempt != 2 {
		t.Errorf("the call ended at attempt %d with failures %v, want a result at attempt 2", done.attempt, done.failures)
	}
}

// A heartbeat keeps an event that waits alive, far beyond the heartbeat timeout.
func TestActivity_sendsHeartbeatsWhileTheEventWaits(t *testing.T) {
	t.Parallel() // it mostly waits
	f := newFakeTemporal(t)
	cfg := sourceConfig(f)
	cfg.Heartbeat = time.Hour // the workflow's timeout is what counts
	r := start(t, newTestSource(t, cfg, SourceOptions{}), nil)
	// The SDK sends a heartbeat every 0.8 of the timeout, so the rest is what a busy machine has.
	c := f.call("1", func(c *fakeCall) { c.heartbeat = 2500 * time.Millisecond }, plainJSON(eventJSON("order-7", "k")))
	m := r.first()
	until(t, "three heartbeats arrive", func() bool { return len(f.look(c).beats) >= 3 })
	got := f.look(c)
	if details := got.beats[0].GetPayloads(); len(details) != 1 || !bytes.Contains(details[0].Data, []byte(`"state":"inFlight"`)) {
		t.Errorf("the heartbeat says %v, want the state inFlight", got.beats[0])
	}
	m.Settle(nil)
	if done := f.closed(c); done.attempt != 1 {
		t.Errorf("the call took %d attempts, want 1", done.attempt)
	}
}

// The handler blocks while the flow is full, for longer than the heartbeat timeout.
func TestActivity_sendsHeartbeatsWhileTheHandlerBlocks(t *testing.T) {
	f := newFakeTemporal(t)
	release := make(chan struct{})
	start(t, newTestSource(t, sourceConfig(f), SourceOptions{}), func(m *connector.Message) {
		<-release
		m.Settle(nil)
	})
	c := f.call("1", nil, plainJSON(eventJSON("order-7", "k")))
	until(t, "three heartbeats arrive", func() bool { return len(f.look(c).beats) >= 3 })
	close(release)
	if done := f.closed(c); done.attempt != 1 || done.result == nil {
		t.Errorf("the call ended at attempt %d with failures %v, want a result at attempt 1", done.attempt, done.failures)
	}
}

// An event that was handed over may be delivered, so a cancelled call tells the truth about
// it. An event that was not is not published.
func TestActivity_answersACancelledCallWithWhatHappened(t *testing.T) {
	f := newFakeTemporal(t)
	release := make(chan struct{})
	r := start(t, newTestSource(t, sourceConfig(f), SourceOptions{}), func(*connector.Message) { <-release })
	inFlight := f.call("1", nil, plainJSON(eventJSON("in flight", "k")))
	m := r.first()
	queued := f.call("2", nil, plainJSON(eventJSON("queued", "k")))
	until(t, "both calls have started", func() bool { return f.look(queued).attempt >= 1 })
	f.change(func() { inFlight.cancelAsked, queued.cancelAsked = true, true })
	if done := f.closed(queued); !done.canceled {
		t.Errorf("the queued call is not cancelled: %v", done.failures)
	}
	close(release)
	beats := len(f.look(inFlight).beats)
	until(t, "the cancelled call still sends heartbeats", func() bool { return len(f.look(inFlight).beats) > beats+1 })
	m.Settle(nil)
	if done := f.closed(inFlight); done.outcome(t) != "settled" {
		t.Error("the call in flight has no outcome")
	}
	if got := r.messages(); len(got) != 1 {
		t.Errorf("%d messages are handed over, want 1", len(got))
	}
}

// An attempt that the server has given up leaves its event in flight. The next attempt waits
// for that event and does not multiply it.
func TestActivity_doesNotHandOverAgainWhatIsInFlight(t *testing.T) {
	f := newFakeTemporal(t)
	cfg := sourceConfig(f)
	cfg.MaxInFlight = 2 // one for the attempt before
	r := start(t, newTestSource(t, cfg, SourceOptions{}), nil)
	c := f.call("1", func(c *fakeCall) { c.attempts = 60 * time.Millisecond }, plainJSON(eventJSON("order-7", "k")))
	m := r.first()
	until(t, "the server makes a fourth attempt", func() bool { return f.look(c).attempt >= 4 })
	f.change(func() { c.attempts = time.Hour })
	m.Settle(nil)
	f.closed(c)
	if got := r.messages(); len(got) != 1 {
		t.Errorf("%d messages are handed over, want 1", len(got))
	}
}

// The answer to an event that was settled may be lost. The next attempt gets it, and the
// event is not handed over again.
func TestActivity_remembersTheOutcomeOfALostAnswer(t *testing.T) {
	t.Parallel() // it mostly waits
	f := newFakeTemporal(t)
	f.refuse("RespondActivityTaskCompleted", fmt.Errorf("a bug of the server")) // is not retried
	r := start(t, newTestSource(t, sourceConfig(f), SourceOptions{}), settle(nil))
	c := f.call("1", func(c *fakeCall) { c.attempts = 60 * time.Millisecond }, plainJSON(eventJSON("order-7", "k")))
	until(t, "the server makes a second attempt", func() bool { return f.look(c).attempt >= 2 })
	f.refuse("RespondActivityTaskCompleted", nil)
	if done := f.closed(c); done.outcome(t) != "settled" {
		t.Error("the call has no outcome")
	}
	if got := r.messages(); len(got) != 1 {
		t.Errorf("%d messages are handed over, want 1", len(got))
	}
}

func TestActivity_failsAnEventWhoseHandlerPanics(t *testing.T) {
	t.Parallel() // it mostly waits
	f, log := newFakeTemporal(t), &lines{}
	n := 0
	start(t, newTestSource(t, sourceConfig(f), SourceOptions{Logger: log.logger()}), func(m *connector.Message) {
		if n++; n == 1 {
			panic("out of luck")
		}
		m.Settle(nil)
	})
	c := f.call("1", nil, plainJSON(eventJSON("order-7", "k")))
	until(t, "the attempt fails", func() bool { return len(f.look(c).failures) == 1 })
	if got := f.look(c).failures[0].GetApplicationFailureInfo().GetType(); got != ErrorUnsettled {
		t.Errorf("the failure has type %q, want fiso.Unsettled", got)
	}
	if log.count("temporal source handler panicked") != 1 {
		t.Error("the panic is not in the log")
	}
	f.closed(c)
}

func TestFlights_rememberABoundedNumberOfOutcomes(t *testing.T) {
	fs := newFlights(3)
	for i := range 10 {
		f, _ := fs.launch(activityKey{"run", fmt.Sprint(i)})
		f.Settle(nil)
	}
	f, _ := fs.launch(activityKey{"run", "failed"})
	f.Settle(errors.New("not done"))
	if len(fs.landed) != 3 || fs.inFlight() != 0 {
		t.Errorf("%d outcomes and %d flights are kept, want 3 and 0", len(fs.landed), fs.inFlight())
	}
	for id, want := range map[string]string{"6": "", "7": "settled", "9": "settled", "failed": ""} {
		if _, _, got := fs.find(activityKey{"run", id}); got != want {
			t.Errorf("the outcome of activity %s is %q, want %q", id, got, want)
		}
	}
}

func TestActivity_isRefusedAfterRun(t *testing.T) {
	s := newTestSource(t, SourceConfig{ClientConfig: ClientConfig{Address: "127.0.0.1:1"}, TaskQueue: "q"}, SourceOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if s.begin() {
		t.Error("an attempt begins after Run has returned")
	}
}
