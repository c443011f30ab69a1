package grpc

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"

	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

// Reasons for which the sink itself ends a stream.
var (
	errNotConnected = errors.New("no connection in time (connectTimeout)")
	errNoSettings   = errors.New("connected, but no Settings in time (connectTimeout); check that the target implements fiso.v1.Events")
	errNotRead      = errors.New("the receiver does not read what is sent to it")
	errSilent       = errors.New("the receiver answered nothing while events waited for their results")
	errNotDrained   = errors.New("the receiver did not answer its last events before the stream had to end")
)

// slotStream is one call of PublishStream. The goroutine of run is its writer, and starts
// the reader. The mutex of the slot guards all fields but those of the first group.
type slotStream struct {
	slot   *slot
	ctx    context.Context
	cancel context.CancelCauseFunc
	wake   chan struct{} // a token: the writer has something to look at
	opened time.Time
	maxAge time.Duration
	giveUp *time.Timer // ends the stream that opens, and later the one that drains

	settings *pb.Settings // nil until the first ones arrive
	seq      int64        // of the last event
	inFlight map[int64]*call
	bytes    int64  // of inFlight
	received uint64 // messages
}

func newStream(l *slot) *slotStream {
	st := &slotStream{slot: l, wake: make(chan struct{}, 1), inFlight: map[int64]*call{}}
	st.ctx, st.cancel = context.WithCancelCause(l.sink.ctx)
	st.giveUp = time.AfterFunc(time.Hour, st.expire)
	st.giveUp.Stop()
	age := l.sink.maxStreamAge
	st.maxAge = age - age/10 + time.Duration(rand.Int64N(int64(age/5)+1))
	return st
}

// poke makes the writer look at the slot again.
func (st *slotStream) poke() {
	select {
	case st.wake <- struct{}{}:
	default:
	}
}

// fits reports whether the credit allows one more event. While none is in flight, an event
// of any size may be sent.
func (st *slotStream) fits(size int64) bool {
	if int64(len(st.inFlight)) >= int64(st.settings.GetMaxInFlight()) { // 0 without settings
		return false
	}
	return len(st.inFlight) == 0 || st.bytes+size <= st.settings.GetMaxInFlightBytes()
}

// take counts an event in, and returns its message.
func (st *slotStream) take(c *call, size int64) outgoing {
	st.seq++
	c.stream, c.received = st, st.received
	st.inFlight[st.seq] = c
	st.bytes += size
	return c.frame.number(st.seq)
}

// expire ends a stream that took too long to drain.
func (st *slotStream) expire() { st.cancel(errNotDrained) }

// run opens the stream and writes to it.
func (st *slotStream) run() {
	s := st.slot.sink
	opening := time.AfterFunc(s.connectTimeout, func() { st.cancel(errNotConnected) })
	client, err := s.open(st.ctx)
	if !opening.Stop() || err != nil {
		st.over(err)
		return
	}
	settled := time.AfterFunc(s.connectTimeout, func() { st.cancel(errNoSettings) })
	st.opened = time.Now()
	s.wait.Go(func() {
		defer settled.Stop()
		st.over(st.read(client, settled))
	})
	st.write(client)
}

// over ends the stream. err is the status of the call.
func (st *slotStream) over(err error) {
	verdict := st.slot.sink.streamVerdict(err, context.Cause(st.ctx))
	st.cancel(nil) // frees what gRPC holds
	st.slot.ended(st, verdict)
	st.giveUp.Stop()
}

// write sends events until the stream ends or takes no more. It never waits for results.
func (st *slotStream) write(client grpc.ClientStream) {
	watch := newWatch(st.slot.sink.writeTimeout, func() { st.cancel(errNotRead) })
	defer watch.stop()
	out := new(outgoing)
	for {
		var over bool
		*out, over = st.slot.next(st)
		switch {
		case over:
			_ = client.CloseSend() // it never fails; the reader learns how the stream ends
			return
		case out.buf == nil:
			select {
			case <-st.wake:
			case <-st.ctx.Done():
				return
			}
			continue
		}
		watch.begin()
		err := client.SendMsg(out)
		watch.end()
		if err != nil {
			if !errors.Is(err, io.EOF) { // io.EOF: the reader gets the cause
				st.cancel(err)
			}
			return
		}
	}
}

// read takes messages until the stream ends, and returns its status.
func (st *slotStream) read(client grpc.ClientStream, settled *time.Timer) error {
	for {
		m := new(pb.PublishStreamResponse)
		if err := client.RecvMsg(m); err != nil {
			return err
		}
		if m.GetSettings() != nil {
			settled.Stop()
		}
		st.handle(m)
	}
}

// handle takes one message. It ignores one that it does not know.
func (st *slotStream) handle(m *pb.PublishStreamResponse) {
	l := st.slot
	switch x := m.GetMessage().(type) {
	case *pb.PublishStreamResponse_Settings:
		l.configure(st, x.Settings)
	case *pb.PublishStreamResponse_Result:
		l.answer(st, x.Result.GetSeq(), func() error { return l.sink.resultVerdict(x.Result.GetStatus()) })
	case *pb.PublishStreamResponse_Drain:
		within := maxDrain
		if grace := x.Drain.GetGrace(); grace != nil {
			within = min(max(grace.AsDuration(), 0), maxDrain) + drainMargin
		}
		l.drain(st, within)
	}
}
