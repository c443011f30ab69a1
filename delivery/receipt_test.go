package delivery

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/deadletter"
	"github.com/lsm/fiso/delivery/fault"
)

// desk is an output whose sink answers and whose receipts contain the answers. Its
// transformer attaches room for the answer to each event.
type desk struct {
	mu       sync.Mutex
	err      error // of receipts
	sent     int
	receipts []string
	patient  bool // receipts wait until their deadline
}

func (d *desk) Transform(_ context.Context, m *connector.Message, into []Routed) ([]Routed, error) {
	e, err := asIs(context.Background(), m)
	return append(into, Routed{Event: e, Attachment: new(string)}), err
}

func (d *desk) Send(ctx context.Context, e *cloudevent.Event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sent++
	*Attachment(ctx).(*string) = "answer to " + e.ID //nolint:forcetypeassert // Transform's
	if string(e.Key) == "bad" {
		return connector.AsPermanent(errBoom)
	}
	return nil
}

func (d *desk) Close(context.Context) error { return nil }

func (d *desk) receipt(ctx context.Context, e *cloudevent.Event, l *deadletter.Letter) error {
	d.mu.Lock()
	patient, err := d.patient, d.err
	d.mu.Unlock()
	if patient {
		<-ctx.Done()
		return ctx.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		code := fault.Code("delivered")
		if l != nil {
			code = l.Code
		}
		d.receipts = append(d.receipts, fmt.Sprint(e.ID, " ", code, ": ", *Attachment(ctx).(*string))) //nolint:forcetypeassert // Transform's
	}
	return err
}

func (d *desk) fail(err error, patient bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err, d.patient = err, patient
}

func (d *desk) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sent
}

func (d *desk) version(r *rig, maxInFlight int) *Version {
	h := Handling{DeadLetter: r.letterStore, Retry: testRetry}
	return &Version{Transformer: d, Handling: h, Outputs: []Output{{Sink: d, Handling: h, MaxInFlight: maxInFlight, Receipt: d.receipt}}}
}

// open starts a rig with a desk as its output.
func open(t *testing.T, d *desk, maxInFlight int) *rig {
	t.Helper()
	r := start(t, Config{}, testVersion{})
	if !r.Swap(t.Context(), d.version(r, maxInFlight)) {
		t.Fatal("the first version is still in use")
	}
	return r
}

func TestReceipt_isHandedOutBeforeTheMessageIsSettled(t *testing.T) {
	for name, test := range map[string]struct{ key, want string }{
		"delivered":     {"good", "t-0-0 delivered: answer to t-0-0"},
		"a dead letter": {"bad", "t-0-0 SINK_REJECTED: answer to t-0-0"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &desk{err: errBoom}
				r := open(t, d, 0)
				m := r.give(r.ctx, test.key)
				after(10 * time.Second)
				r.wantUnsettled(m)
				s := r.Status()
				if len(s.Held) != 1 || s.Held[0].Reason != "the receipt cannot be written: boom" || s.HeldBy[CauseReceipt] != 1 || s.Waiting != 1 || s.Retrying != 0 {
					t.Errorf("%+v", s)
				}
				d.fail(nil, false)
				after(time.Second)
				r.want(m, nil)
				if d.sent != 1 || len(d.receipts) != 1 || d.receipts[0] != test.want {
					t.Errorf("%d sent, receipts %q", d.sent, d.receipts)
				}
				if s := r.Status(); len(s.Held) != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// A receipt that does not return holds its event, and State shows it.
func TestReceipt_hasThePatienceOfDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{patient: true}
		r := open(t, d, 0)
		m := r.give(r.ctx, "good")
		after(defaultPatience)
		if s := r.Status(); s.HeldBy[CauseReceipt] != 1 || s.Held[0].Reason != "the receipt cannot be written: context deadline exceeded" {
			t.Errorf("%+v", s)
		}
		d.fail(nil, false)
		after(defaultPatience)
		r.want(m, nil)
	})
}

// At most as many answers wait for their receipts as deliveries may be under way, and
// each place is free again after its delivery, however that ends.
func TestReceipt_keepsThePlaceOfItsDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{err: errBoom}
		r := open(t, d, 2)
		lost, cancel := context.WithCancel(r.ctx)
		var back, given []string
		for range 5 {
			back = append(back, r.give(lost, ""))
		}
		after(time.Minute)
		if n := d.count(); n != 2 {
			t.Errorf("%d were sent, want 2", n)
		}
		for range 5 {
			given = append(given, r.give(r.ctx, ""))
		}
		cancel()
		after(time.Minute)
		for _, m := range back {
			r.want(m, connector.ErrInterrupted)
		}
		if n := d.count(); n != 4 {
			t.Errorf("%d were sent after an assignment ended, want 2 more", n)
		}
		d.fail(nil, false)
		after(time.Minute)
		for _, m := range given {
			r.want(m, nil)
		}
		if s := r.Status(); d.count() != 7 || s.Working != 0 || len(s.HeldBy) != 0 {
			t.Errorf("%d were sent; %+v", d.count(), s)
		}
	})
}

// An event that the sink did not try waits as long as the sink says, any number of
// times, and no try is counted.
func TestSink_saysWhenItIsAnEventsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		r := start(t, Config{}, testVersion{StopTheLine: 1, Sink: sinkFunc(func(context.Context, *cloudevent.Event) error {
			if tries++; tries <= 100 {
				return connector.AsTemporary(fmt.Errorf("the rate is used up: %w", connector.ErrInterrupted), 10*time.Millisecond)
			}
			return nil
		})})
		m := r.give(r.ctx, "")
		synctest.Wait()
		if s := r.Status(); s.Retrying != 1 || len(s.Held) > 0 || s.LastError != "the rate is used up: interrupted: handed back unsettled" {
			t.Errorf("%+v", s)
		}
		after(time.Second)
		r.want(m, nil)
		if tries != 101 {
			t.Errorf("%d tries", tries)
		}
	})
}

// U36: What a sink refuses before it sends says nothing about the destination. Without a
// code it is SINK_REJECTED.
func TestLine_isNotStoppedByARuleOfTheSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counter{}
		r := start(t, Config{Observer: c}, testVersion{StopTheLine: 1, Sink: sinkFunc(func(context.Context, *cloudevent.Event) error {
			return fmt.Errorf("send: %w", connector.AsUnsendable(errBoom))
		})})
		for range 5 {
			r.give(r.ctx, "")
		}
		after(time.Second)
		if codes := r.letterStore.codes(); len(codes) != 5 || codes["t-0-0"] != fault.SinkRejected || lineOf(r.Status()) != "" {
			t.Errorf("%v, the line says %q", codes, lineOf(r.Status()))
		}
		if c.sinks[connector.Permanent] != 5 {
			t.Errorf("errors of the sink: %v", c.sinks)
		}
	})
}
