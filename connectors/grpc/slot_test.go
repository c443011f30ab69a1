package grpc

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lsm/fiso/common/connector"
	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

// A key belongs to a slot: its events are on one wire at a time, also those that are sent
// without waiting for the one before, and after a reconnect.
func TestLane_hasAllEventsOfItsKeys(t *testing.T) {
	r := newReceiver(t, nil)
	s := newTestSink(t, SinkConfig{Target: r.address, Streams: 8})
	for round := range 2 {
		var calls []*sending
		var want []string
		for i := range 20 {
			id := fmt.Sprintf("%d-%02d", round, i)
			want = append(want, id)
			calls = append(calls, send(t, s, keyedEvent(id, "k")))
		}
		for _, c := range calls {
			c.wantOK()
		}
		st := r.at(t, round)
		got := st.ids()
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("round %d: the stream has %v", round, got)
		}
		st.end(nil)
		<-st.ended
		eventually(t, "the sink has seen the end", func() bool {
			return !slices.ContainsFunc(s.slots, func(l *slot) bool {
				l.mu.Lock()
				defer l.mu.Unlock()
				return l.active != nil
			})
		})
	}
	if n := r.count(); n != 2 {
		t.Errorf("%d streams; want 2", n)
	}
}

// G2: grpc/grpc-go#6569. A drain in the stream loses nothing: what is in flight is
// answered there, and new events go to a fresh stream.
func TestLane_finishesAStreamThatDrains(t *testing.T) {
	r := newReceiver(t, func(r *receiver) { r.take = holdFirstStream })
	s := newTestSink(t, SinkConfig{Target: r.address})
	a := queue(t, s, order("a"))
	old := r.at(t, 0)
	wantIDs(t, old, "a")
	old.drain(time.Minute)
	eventually(t, "the sink closes its half", old.halfClosed)
	send(t, s, order("b")).wantOK()
	wantIDs(t, r.at(t, 1), "b")
	if a.returned() {
		t.Error("the event in flight has a result")
	}
	old.ok(1)
	a.wantOK()
	<-old.ended
	wantIDs(t, old, "a")
}

// holdFirstStream answers on all streams but the first.
func holdFirstStream(s *session, e *pb.StreamEvent) {
	if s.number > 0 {
		s.ok(e.GetSeq())
	}
}

// An event of a key waits until all events of this key that are in flight on a stream
// that drains are answered. Other keys do not wait.
func TestLane_keepsTheOrderOfAKeyOverADrain(t *testing.T) {
	r := newReceiver(t, func(r *receiver) { r.take = holdFirstStream })
	s := newTestSink(t, SinkConfig{Target: r.address})
	a1, a2 := queue(t, s, keyedEvent("a1", "a")), queue(t, s, keyedEvent("a2", "a"))
	old := r.at(t, 0)
	wantIDs(t, old, "a1", "a2")
	old.drain(time.Minute)
	eventually(t, "the sink closes its half", old.halfClosed)
	a3, a4 := queue(t, s, keyedEvent("a3", "a")), queue(t, s, keyedEvent("a4", "a"))
	send(t, s, keyedEvent("b1", "b")).wantOK()
	fresh := r.at(t, 1)
	wantIDs(t, fresh, "b1")
	old.ok(1)
	a1.wantOK()
	throughout(t, "the key waits for its second event", func() bool { return len(fresh.ids()) == 1 })
	old.ok(2)
	a2.wantOK()
	a3.wantOK()
	a4.wantOK()
	wantIDs(t, fresh, "b1", "a3", "a4")
	if n := s.submitted(); n != 0 {
		t.Errorf("%d calls are still counted", n)
	}
}

// What waits behind an event of its key fails with it, so that it cannot overtake the
// event when the caller sends that again. Other events go to the next stream.
func TestLane_failsWhatMustNotOvertakeAFailedEvent(t *testing.T) {
	for _, drained := range []bool{false, true} {
		t.Run(fmt.Sprintf("drained=%v", drained), func(t *testing.T) {
			r := newReceiver(t, func(r *receiver) {
				r.settings = &pb.Settings{MaxInFlight: 1, MaxInFlightBytes: 1 << 20}
				r.take = holdFirstStream
			})
			s := newTestSink(t, SinkConfig{Target: r.address})
			a1 := queue(t, s, keyedEvent("a1", "a"))
			old := r.at(t, 0)
			wantIDs(t, old, "a1")
			if drained {
				old.drain(time.Minute)
				eventually(t, "the sink closes its half", old.halfClosed)
			}
			a2, b1 := queue(t, s, keyedEvent("a2", "a")), send(t, s, keyedEvent("b1", "b"))
			if drained {
				b1.wantOK()
			} else {
				eventually(t, "it waits", func() bool { return s.submitted() == 3 })
			}
			old.end(nil)
			a1.wantFailure(connector.Unavailable, "the receiver ended the stream before it answered")
			a2.wantFailure(connector.Unavailable, "the receiver ended the stream before it answered")
			b1.wantOK()
			send(t, s, keyedEvent("a1", "a")).wantOK()
			wantIDs(t, r.at(t, 1), "b1", "a1")
			if n := s.submitted(); n != 0 {
				t.Errorf("%d calls are still counted", n)
			}
		})
	}
}

// A caller that gave up an event on a stream that drains may send the next one of the
// key; it still waits for the stream, and goes on when that breaks.
func TestLane_keepsAKeyBehindAnEventThatWasGivenUp(t *testing.T) {
	r := newReceiver(t, func(r *receiver) {
		r.take = func(s *session, e *pb.StreamEvent) {
			if s.number > 0 {
				s.ok(e.GetSeq())
			} else {
				s.configure(generous)
			}
		}
	})
	s := newTestSink(t, SinkConfig{Target: r.address, Timeout: 200 * time.Millisecond})
	a1 := queue(t, s, keyedEvent("a1", "a"))
	old := r.at(t, 0)
	wantIDs(t, old, "a1")
	old.drain(time.Minute)
	eventually(t, "the sink closes its half", old.halfClosed)
	a1.wantFailure(connector.Unavailable, "no result within")
	s.timeout = time.Minute
	a2 := queue(t, s, keyedEvent("a2", "a"))
	throughout(t, "it waits", func() bool { return !a2.returned() })
	old.end(nil)
	a2.wantOK()
	wantIDs(t, r.at(t, 1), "a2")
}

func TestLane_endsAStreamThatDoesNotDrain(t *testing.T) {
	r := newReceiver(t, holdAll)
	s := newTestSink(t, SinkConfig{Target: r.address})
	a := queue(t, s, order("a"))
	st := r.at(t, 0)
	wantIDs(t, st, "a")
	l := s.slots[0]
	l.mu.Lock()
	l.detach(l.active, 10*time.Millisecond)
	l.mu.Unlock()
	a.wantFailure(connector.Unavailable, "the receiver did not answer its last events before the stream had to end")
}

// A receiver that refuses events costs a stream for each attempt of the caller, no more.
func TestLane_doesNotOpenStreamsInALoop(t *testing.T) {
	for name, change := range map[string]func(*receiver){
		"a receiver that drains at once": func(r *receiver) {
			r.mute = true
			r.open = func(s *session) error { s.drain(time.Second); return nil }
		},
		"a receiver that ends at once": func(r *receiver) { r.open = func(*session) error { return nil }; r.mute = true },
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t, change)
			if r.open != nil && name == "a receiver that ends at once" {
				r.open = func(s *session) error { s.end(nil); return nil }
			}
			s := newTestSink(t, SinkConfig{Target: r.address})
			for i := range 3 {
				send(t, s, order(fmt.Sprint(i))).wantFailure(connector.Unavailable, "the receiver")
			}
			if n := r.count(); n > 3 {
				t.Errorf("%d streams for 3 attempts", n)
			}
		})
	}
}

func TestLane_limitsTheStreamsThatDrain(t *testing.T) {
	r := newReceiver(t, holdAll)
	s := newTestSink(t, SinkConfig{Target: r.address})
	var calls []*sending
	for i := range maxDraining {
		calls = append(calls, send(t, s, order(fmt.Sprint(i))))
		st := r.at(t, i)
		wantIDs(t, st, fmt.Sprint(i))
		st.drain(time.Minute)
		eventually(t, "the sink closes its half", st.halfClosed)
	}
	send(t, s, order("more")).wantFailure(connector.Unavailable, "the receiver ends its streams faster than it answers")
	for i, c := range calls {
		r.at(t, i).ok(1)
		c.wantOK()
	}
}

// G9: a stream has a maximum age, so that the current token is presented and new servers
// get a share (envoyproxy/envoy#33289).
func TestLane_replacesAStreamOfMaximumAge(t *testing.T) {
	r := newReceiver(t, func(r *receiver) { r.take = holdFirstStream })
	s := newTestSink(t, SinkConfig{Target: r.address, MaxStreamAge: time.Second})
	a := queue(t, s, order("a"))
	old := r.at(t, 0)
	wantIDs(t, old, "a")
	l := s.slots[0]
	l.mu.Lock()
	if age := l.active.maxAge; age < 900*time.Millisecond || age > 1100*time.Millisecond {
		t.Errorf("the maximum age is %v", age)
	}
	l.active.opened = time.Now().Add(-time.Minute)
	l.mu.Unlock()
	send(t, s, order("b")).wantOK()
	wantIDs(t, r.at(t, 1), "b")
	old.ok(1)
	a.wantOK()
	<-old.ended
}

func TestLane_isOpenedAgainByTheNextEvent(t *testing.T) {
	r := newReceiver(t, nil)
	s := newTestSink(t, SinkConfig{Target: r.address})
	for i := range 3 {
		send(t, s, order(fmt.Sprint(i))).wantOK()
		st := r.at(t, i)
		st.end(nil)
		<-st.ended
		eventually(t, "the sink has seen the end", func() bool {
			s.slots[0].mu.Lock()
			defer s.slots[0].mu.Unlock()
			return s.slots[0].active == nil
		})
	}
	if n := r.count(); n != 3 {
		t.Errorf("%d streams; want 3", n)
	}
}
