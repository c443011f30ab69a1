package grpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

func TestSink_judgesAResultByItsCode(t *testing.T) {
	for code, want := range map[codes.Code]connector.Class{
		codes.InvalidArgument: connector.Permanent,
		codes.Unavailable:     connector.Unavailable, codes.ResourceExhausted: connector.Unavailable,
		codes.DeadlineExceeded: connector.Unavailable, codes.Canceled: connector.Unavailable,
		codes.Unauthenticated: connector.Blocked, codes.PermissionDenied: connector.Blocked,
		codes.Aborted: connector.Temporary, codes.Internal: connector.Temporary, codes.Unknown: connector.Temporary,
		codes.NotFound: connector.Temporary, codes.Code(4711): connector.Temporary,
	} {
		r := newReceiver(t, func(r *receiver) {
			r.take = func(s *session, e *pb.StreamEvent) { s.result(e.GetSeq(), resultStatus(code, "no such order", 0)) }
		})
		err := newTestSink(t, SinkConfig{Target: r.address}).Send(t.Context(), order("1"))
		wantError(t, err, want, fmt.Sprintf("publish to %s: %v: no such order", r.address, code))
		if failed, ok := errors.AsType[*CodeError](err); !ok || failed.Code != code {
			t.Errorf("%v: %#v is no CodeError with the code", code, err)
		}
	}
}

// F11: a wrong credential or a wrong target blocks events and rejects none
// (vectordotdev/vector#24543).
func TestSink_judgesAStreamByItsCode(t *testing.T) {
	for _, row := range []struct {
		code codes.Code
		flow string
		want connector.Class
		text string
	}{
		{codes.Unauthenticated, "", connector.Blocked, "the receiver does not accept the credential: check auth"},
		{codes.PermissionDenied, "", connector.Blocked, "check what the receiver allows it"},
		{codes.NotFound, "", connector.Blocked, "set flow"},
		{codes.NotFound, "orders", connector.Blocked, "the receiver has no flow orders: check flow"},
		{codes.Unimplemented, "", connector.Blocked, "the server does not implement fiso.v1.Events: check target"},
		{codes.InvalidArgument, "", connector.Unavailable, "InvalidArgument: away"},
		{codes.Unavailable, "", connector.Unavailable, "Unavailable: away"},
		{codes.ResourceExhausted, "", connector.Unavailable, "ResourceExhausted: away"},
		{codes.Internal, "", connector.Unavailable, "Internal: away"},
		{codes.Aborted, "", connector.Unavailable, "Aborted: away"},
		{codes.OK, "", connector.Unavailable, "the receiver ended the stream before it answered"},
	} {
		var err error
		if row.code != codes.OK {
			err = status.ErrorProto(resultStatus(row.code, "away", 0))
		}
		r := newReceiver(t, func(r *receiver) { r.open = func(*session) error { return err } })
		if row.code == codes.OK { // after an event was sent
			r.open = nil
			r.take = func(s *session, _ *pb.StreamEvent) { s.end(nil) }
		}
		got := newTestSink(t, SinkConfig{Target: r.address, Flow: row.flow}).Send(t.Context(), order("1"))
		wantError(t, got, row.want, row.text)
	}
}

func TestSink_passesTheDelayOfAStreamOn(t *testing.T) {
	r := newReceiver(t, func(r *receiver) {
		r.open = func(*session) error {
			return status.ErrorProto(resultStatus(codes.ResourceExhausted, "too many streams", 9*time.Second))
		}
	})
	err := newTestSink(t, SinkConfig{Target: r.address}).Send(t.Context(), order("1"))
	wantError(t, err, connector.Unavailable, "ResourceExhausted: too many streams")
	if got := connector.RetryAfter(err); got != 9*time.Second {
		t.Errorf("the delay is %v", got)
	}
}

func TestSink_saysWhyThereIsNoConnection(t *testing.T) {
	r := newReceiver(t, nil)
	r.server.Stop()
	s := newTestSink(t, SinkConfig{Target: r.address})
	wantError(t, s.Send(t.Context(), order("1")), connector.Unavailable, "connection refused")
	s = newTestSink(t, SinkConfig{Target: "dns:///no-such-name.invalid:9000", ConnectTimeout: 5 * time.Second})
	wantError(t, s.Send(t.Context(), order("1")), connector.Unavailable, "publish to no-such-name.invalid:9000: ")
}

func TestSink_limitsTheTimeToConnect(t *testing.T) {
	s := newTestSink(t, SinkConfig{Target: "127.0.0.1:1", ConnectTimeout: 50 * time.Millisecond}, SinkOptions{
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
	})
	wantError(t, s.Send(t.Context(), order("1")), connector.Unavailable, "publish to 127.0.0.1:1: ")
}

// G5: grpc/grpc-java#2247. What the sink has on the wire is bounded by the receiver's
// credit, not by the windows of HTTP/2.
func TestSink_obeysTheNumberOfEventsInFlight(t *testing.T) {
	r := newReceiver(t, func(r *receiver) {
		holdAll(r)
		r.settings = &pb.Settings{MaxInFlight: 2, MaxInFlightBytes: 1 << 20}
	})
	s := newTestSink(t, SinkConfig{Target: r.address})
	a, b := queue(t, s, order("a")), queue(t, s, order("b"))
	c, d := queue(t, s, order("c")), queue(t, s, order("d"))
	st := r.at(t, 0)
	wantIDs(t, st, "a", "b")
	throughout(t, "the third waits", func() bool { return len(st.ids()) == 2 })
	st.ok(2)
	b.wantOK()
	wantIDs(t, st, "a", "b", "c")
	throughout(t, "the fourth waits", func() bool { return len(st.ids()) == 3 })
	st.configure(&pb.Settings{MaxInFlight: 3, MaxInFlightBytes: 1 << 20})
	wantIDs(t, st, "a", "b", "c", "d")
	for _, seq := range []int64{4, 1, 3, 99, 1} { // in any order; some do not exist
		st.ok(seq)
	}
	a.wantOK()
	c.wantOK()
	d.wantOK()
	if n := s.submitted(); n != 0 {
		t.Errorf("%d calls are still counted", n)
	}
}

func TestSink_waitsWhileTheCreditIsZero(t *testing.T) {
	r := newReceiver(t, func(r *receiver) { r.settings = &pb.Settings{} })
	s := newTestSink(t, SinkConfig{Target: r.address})
	a := queue(t, s, order("a"))
	st := r.at(t, 0)
	throughout(t, "nothing is sent", func() bool { return len(st.ids()) == 0 })
	st.configure(generous)
	a.wantOK()
	st.configure(&pb.Settings{MaxInFlight: -1})
	eventually(t, "the settings arrived", func() bool { return s.slots[0].limit.Load() == 0 })
	ctx, cancel := context.WithCancel(t.Context())
	b := sendIn(ctx, t, s, order("b"))
	throughout(t, "nothing is sent", func() bool { return len(st.ids()) == 1 })
	cancel()
	b.wantFailure(connector.Interrupted, "context canceled")
}

func TestSink_obeysTheBytesInFlightAndSendsOneEventAlways(t *testing.T) {
	f, err := newFrame(order("a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(f.size(1))
	r := newReceiver(t, func(r *receiver) {
		holdAll(r)
		r.settings = &pb.Settings{MaxInFlight: 100, MaxInFlightBytes: 2 * size}
	})
	s := newTestSink(t, SinkConfig{Target: r.address})
	large := order("l")
	large.Data = cloudevent.Bytes(make([]byte, 10_000))
	a, b := queue(t, s, order("a")), queue(t, s, order("b"))
	l, c := queue(t, s, large), queue(t, s, order("c"))
	st := r.at(t, 0)
	wantIDs(t, st, "a", "b")
	st.ok(1)
	a.wantOK()
	throughout(t, "the large event waits, and is not overtaken", func() bool { return len(st.ids()) == 2 })
	st.ok(2)
	b.wantOK()
	wantIDs(t, st, "a", "b", "l")
	throughout(t, "the last one waits", func() bool { return len(st.ids()) == 3 })
	st.ok(3)
	l.wantOK()
	wantIDs(t, st, "a", "b", "l", "c")
	st.ok(4)
	c.wantOK()
}

// G1: spacemeshos/go-spacemesh#5094. An event that is too large is refused before it is
// sent, and ends no stream.
func TestSink_refusesAnEventThatIsTooLargeBeforeItIsSent(t *testing.T) {
	f, err := newFrame(order("a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	size := f.size(1)
	larger := order("b")
	larger.Data = cloudevent.Bytes([]byte(`{"n":12}`))
	refused := func(err error, text string) {
		t.Helper()
		wantError(t, err, connector.Permanent, text)
		if !connector.IsUnsendable(err) {
			t.Errorf("%v counts as a verdict of the receiver", err)
		}
	}
	r := newReceiver(t, func(r *receiver) {
		r.settings = &pb.Settings{MaxInFlight: 10, MaxInFlightBytes: 1, MaxEventBytes: int32(size)}
	})
	s := newTestSink(t, SinkConfig{Target: r.address})
	send(t, s, order("a")).wantOK()
	refused(s.Send(t.Context(), larger), fmt.Sprintf("the event has %d bytes, and the receiver takes at most %d", size+1, size))
	send(t, s, order("c")).wantOK()
	wantIDs(t, r.at(t, 0), "a", "c")

	s = newTestSink(t, SinkConfig{Target: r.address, MaxEventBytes: 40})
	refused(s.Send(t.Context(), order("d")), "bytes, and maxEventBytes is at most 40")
	if n := r.count(); n != 1 {
		t.Errorf("%d streams; want 1", n)
	}
}

func TestSink_givesUpAnEventWhenItsContextEnds(t *testing.T) {
	r := newReceiver(t, func(r *receiver) {
		holdAll(r)
		r.settings = &pb.Settings{MaxInFlight: 1, MaxInFlightBytes: 1 << 20}
	})
	s := newTestSink(t, SinkConfig{Target: r.address})
	ctx, cancel := context.WithCancel(t.Context())
	a := sendIn(ctx, t, s, order("a"))
	st := r.at(t, 0)
	wantIDs(t, st, "a")
	short, cancelShort := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancelShort()
	sendIn(short, t, s, order("b")).wantFailure(connector.Temporary, "context deadline exceeded")
	cancel()
	a.wantFailure(connector.Interrupted, "context canceled")
	c := queue(t, s, order("c"))
	throughout(t, "the event given up still takes its credit", func() bool { return len(st.ids()) == 1 })
	st.result(1, resultStatus(codes.InvalidArgument, "for nobody", 0))
	wantIDs(t, st, "a", "c")
	st.ok(2)
	c.wantOK()
}

func TestSink_limitsTheTimeOfAnEvent(t *testing.T) {
	r := newReceiver(t, func(r *receiver) {
		holdAll(r)
		r.settings = &pb.Settings{MaxInFlight: 1, MaxInFlightBytes: 1 << 20}
	})
	s := newTestSink(t, SinkConfig{Target: r.address, Timeout: 300 * time.Millisecond})
	a, b := queue(t, s, order("a")), queue(t, s, order("b"))
	st := r.at(t, 0)
	wantIDs(t, st, "a")
	st.configure(r.settings) // a sign of life, and no answer
	a.wantFailure(connector.Unavailable, "sent, but no result within 300ms (timeout)")
	b.wantFailure(connector.Unavailable, "not sent within 300ms (timeout), because the receiver gives no credit")
	if n := r.count(); n != 1 {
		t.Errorf("%d streams; want 1: the receiver is alive", n)
	}
}

// G9: apache/eventmesh#5384. A stream whose receiver is connected and does nothing is
// replaced, and what it did not answer counts as not sent.
func TestSink_replacesAStreamThatIsSilent(t *testing.T) {
	r := newReceiver(t, func(r *receiver) {
		r.take = func(s *session, e *pb.StreamEvent) {
			if s.number > 0 {
				s.ok(e.GetSeq())
			}
		}
	})
	s := newTestSink(t, SinkConfig{Target: r.address, Timeout: 100 * time.Millisecond})
	send(t, s, order("a")).wantFailure(connector.Unavailable, "no result within 100ms")
	eventually(t, "the stream is gone", func() bool {
		select {
		case <-r.at(t, 0).ended:
			return true
		default:
			return false
		}
	})
	send(t, s, order("a")).wantOK()
}

// Events that were given up take credit until they are answered. If a receiver forgets
// them, the stream is replaced, so that the credit comes back.
func TestSink_replacesASilentStreamWithoutCredit(t *testing.T) {
	r := newReceiver(t, func(r *receiver) {
		r.settings = &pb.Settings{MaxInFlight: 1, MaxInFlightBytes: 1 << 20}
		r.take = func(s *session, e *pb.StreamEvent) {
			if s.number > 0 {
				s.ok(e.GetSeq())
				return
			}
			s.configure(r.settings)
		}
	})
	s := newTestSink(t, SinkConfig{Target: r.address, Timeout: 100 * time.Millisecond})
	send(t, s, order("a")).wantFailure(connector.Unavailable, "no result within 100ms")
	send(t, s, order("b")).wantFailure(connector.Unavailable, "not sent within 100ms")
	send(t, s, order("c")).wantOK()
	wantIDs(t, r.at(t, 1), "c")
}

// A receiver that gives no credit and has nothing in flight is paused, not dead.
func TestSink_keepsASilentStreamThatHasNothingInFlight(t *testing.T) {
	r := newReceiver(t, func(r *receiver) { r.settings = &pb.Settings{} })
	s := newTestSink(t, SinkConfig{Target: r.address, Timeout: 50 * time.Millisecond})
	for range 3 {
		send(t, s, order("a")).wantFailure(connector.Unavailable, "not sent within 50ms")
	}
	if n := r.count(); n != 1 {
		t.Errorf("%d streams; want 1", n)
	}
}

// unread is a receiver that gives much credit and reads one event.
func unread(r *receiver) {
	r.settings = &pb.Settings{MaxInFlight: 1000, MaxInFlightBytes: 1 << 40}
	r.take = func(s *session, _ *pb.StreamEvent) { <-s.ended }
}

// sendMuch starts to send 2.5 MiB, which fill all windows and buffers.
func sendMuch(ctx context.Context, t *testing.T, s *Sink) (calls []*sending) {
	for i := range 10 {
		e := order(fmt.Sprint(i))
		e.Data = cloudevent.Bytes(make([]byte, 256<<10))
		calls = append(calls, sendIn(ctx, t, s, e))
	}
	return calls
}

// G3: grpc/grpc-go#5393. Send returns when its context ends, also while the writer is
// stuck.
func TestSink_returnsThoughItsStreamIsNotRead(t *testing.T) {
	s := newTestSink(t, SinkConfig{Target: newReceiver(t, unread).address})
	ctx, cancel := context.WithCancel(t.Context())
	calls := sendMuch(ctx, t, s)
	eventually(t, "all calls wait", func() bool { return s.submitted() == 10 })
	cancel()
	for _, c := range calls {
		c.wantFailure(connector.Interrupted, "context canceled")
	}
}

// G3: kumahq/kuma#5373. The stream of a receiver that does not read is ended.
func TestSink_endsAStreamThatIsNotRead(t *testing.T) {
	s := newTestSink(t, SinkConfig{Target: newReceiver(t, unread).address})
	s.writeTimeout = 200 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	calls := sendMuch(ctx, t, s)
	var first *sending
	eventually(t, "an event that was sent fails", func() bool {
		i := slices.IndexFunc(calls, (*sending).returned)
		if i >= 0 {
			first = calls[i]
		}
		return i >= 0
	})
	first.wantFailure(connector.Unavailable, "the receiver does not read what is sent to it")
}

func TestSink_needsSettings(t *testing.T) {
	r := newReceiver(t, func(r *receiver) { r.mute = true })
	s := newTestSink(t, SinkConfig{Target: r.address, ConnectTimeout: 200 * time.Millisecond})
	a, b := send(t, s, order("a")), send(t, s, order("b"))
	a.wantFailure(connector.Unavailable, "connected, but no Settings in time (connectTimeout); check that the target implements fiso.v1.Events")
	b.wantFailure(connector.Unavailable, "no Settings in time")
	if n := len(r.at(t, 0).ids()); n != 0 {
		t.Errorf("%d events were sent before the settings", n)
	}
}

func TestSink_takesTheKeyOfItsOption(t *testing.T) {
	var fail atomic.Bool
	r := newReceiver(t, nil)
	s := newTestSink(t, SinkConfig{Target: r.address}, SinkOptions{Key: func(_ context.Context, e *cloudevent.Event) ([]byte, error) {
		if fail.Load() {
			return nil, connector.AsUnsendable(errors.New("no field customer"))
		}
		return []byte("key of " + e.ID), nil
	}})
	send(t, s, keyedEvent("a", "ignored")).wantOK()
	if got := string(r.at(t, 0).keyOf(0)); got != "key of a" {
		t.Errorf("the key is %q", got)
	}
	fail.Store(true)
	send(t, s, order("b")).wantFailure(connector.Permanent, "key: no field customer")
}

func TestSink_tellsNoKeyFromAnEmptyOne(t *testing.T) {
	r := newReceiver(t, nil)
	s := newTestSink(t, SinkConfig{Target: r.address})
	empty := order("a")
	empty.Key = []byte{}
	send(t, s, empty).wantOK()
	send(t, s, order("b")).wantOK()
	st := r.at(t, 0)
	if st.keyOf(0) == nil || st.keyOf(1) != nil {
		t.Errorf("the keys are %v and %v", st.keyOf(0), st.keyOf(1))
	}
}

func TestSink_sendsEventsWithoutAKeyWhereThereIsRoom(t *testing.T) {
	r := newReceiver(t, func(r *receiver) {
		holdAll(r)
		r.settings = &pb.Settings{MaxInFlight: 2, MaxInFlightBytes: 1 << 20}
	})
	s := newTestSink(t, SinkConfig{Target: r.address, Streams: 3})
	var calls []*sending
	for i := range 6 {
		calls = append(calls, queue(t, s, order(fmt.Sprint(i))))
		eventually(t, "all that fits is on the wire", func() bool {
			n := 0
			for j := range r.count() {
				n += len(r.at(t, j).ids())
			}
			return n == i+1
		})
	}
	for j := range 3 {
		st := r.at(t, j)
		if n := len(st.ids()); n != 2 {
			t.Errorf("stream %d has %d events; want 2", j, n)
		}
		st.ok(1)
		st.ok(2)
	}
	for _, c := range calls {
		c.wantOK()
	}
}

// The sink never sends an event twice by itself, and neither does grpc-go: the broken
// connection is seen after the event was written.
func TestSink_sendsNothingTwice(t *testing.T) {
	var arrived atomic.Int64
	r := newReceiver(t, func(r *receiver) {
		r.take = func(*session, *pb.StreamEvent) {
			arrived.Add(1)
			r.ln.breakAll()
		}
	})
	s := newTestSink(t, SinkConfig{Target: r.address})
	send(t, s, order("a")).wantFailure(connector.Unavailable, "")
	throughout(t, "it arrived once", func() bool { return arrived.Load() == 1 })
}

func TestSink_closesItsStreamsWell(t *testing.T) {
	r := newReceiver(t, nil)
	s := newTestSink(t, SinkConfig{Target: r.address})
	send(t, s, order("a")).wantOK()
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !r.at(t, 0).halfClosed() {
		t.Error("the sink broke the stream instead of closing its half")
	}
	wantError(t, s.Send(t.Context(), order("b")), connector.Temporary, "closed")
}

func TestSink_closesThoughTheReceiverDoesNotEndItsStream(t *testing.T) {
	r := newReceiver(t, holdAll)
	s := newTestSink(t, SinkConfig{Target: r.address})
	ctx, cancel := context.WithCancel(t.Context())
	a := sendIn(ctx, t, s, order("a"))
	wantIDs(t, r.at(t, 0), "a")
	cancel()
	a.wantFailure(connector.Interrupted, "context canceled")
	if err := s.Close(t.Context()); err != nil { // within closeWait
		t.Error(err)
	}
}
