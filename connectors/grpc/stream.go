package grpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

// drainLinger is how long a drained stream without events in flight waits for its
// producer to close its half, so that events on their way get an answer.
const drainLinger = 500 * time.Millisecond

// stream is one PublishStream. Its three goroutines are the reader, the writer and the
// handler of grpc-go, which supervises: grpc-go ends a blocked read or write only when
// the handler returns.
type stream struct {
	listener *listener
	route    *route
	source   *Source
	intake   *intake
	grpc     grpc.ServerStream

	readEnd chan error // one result of the reader: nil when the producer has closed its half
	stuck   chan struct{}
	quiet   chan struct{} // one token: nothing is in flight
	drains  chan *pb.Drain
	name    string // of the producer; the reader's
	drained bool   // the producer was told; the supervisor's
}

// callSource finds the source of a call and checks its credential. The caller must call
// exit of the source.
func (l *listener) callSource(ctx context.Context) (*Source, *route, metadata.MD, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	r, err := l.routeOf(md)
	if err != nil {
		return nil, nil, nil, err
	}
	s, err := r.await(ctx, l.linger)
	if err != nil {
		return nil, nil, nil, err
	}
	refusal, unreadable := s.auth.check(md)
	if unreadable != nil && refusal != nil {
		s.logger.Error("grpc source cannot read its credential", "flow", s.name, "error", unreadable)
	}
	if refusal != nil {
		s.exit()
		return nil, nil, nil, refusal
	}
	return s, r, md, nil
}

func (l *listener) publishStream(g grpc.ServerStream) error {
	s, r, _, err := l.callSource(g.Context())
	if err != nil {
		return err
	}
	defer s.exit()
	x := &stream{
		listener: l, route: r, source: s, grpc: g,
		intake:  newIntake(s, s.cfg.MaxInFlight, int64(min(s.cfg.MaxInFlightBytes, s.cfg.MaxBufferedBytes))),
		readEnd: make(chan error, 1), stuck: make(chan struct{}, 1), quiet: make(chan struct{}, 1), drains: make(chan *pb.Drain, 1),
	}
	l.workers.Go(x.read)
	l.workers.Go(x.write)
	defer x.intake.close()
	return x.supervise()
}

// supervise waits until the stream has to end. Its result is the status of the stream.
func (x *stream) supervise() error {
	age := time.NewTimer(jittered(x.listener.settings.maxStreamAge, rand.Float64()))
	defer age.Stop()
	var linger, grace timer
	defer linger.stop()
	defer grace.stop()
	sourceEnded, readEnd := x.source.ended, x.readEnd // nil once received
	mayEnd := false                                   // the producer is done, or has had its time
	for {
		select {
		case err := <-readEnd:
			if err != nil {
				return err
			}
			mayEnd, readEnd = true, nil
		case <-age.C:
			x.intake.drain()
			x.drain(x.source.drain)
			linger.start(min(drainLinger, x.source.drain))
			grace.start(x.source.drain)
		case <-sourceEnded:
			sourceEnded = nil
			left := x.source.grace()
			x.intake.stop(statusDraining)
			x.drain(left)
			linger.start(min(drainLinger, left/2))
			grace.start(left)
		case <-linger.c:
			mayEnd = true
		case <-grace.c:
			return status.Error(codes.Unavailable, "the grace of the drain is over; send the events without a result again")
		case <-x.source.drainExpired:
			return status.Error(codes.Unavailable, "the receiver has stopped; send the events without a result again")
		case <-x.stuck:
			x.source.logger.Warn("grpc source disconnected a producer that reads no results", "flow", x.source.name, "timeout", x.source.cfg.WriteTimeout)
			connectionOf(x.grpc.Context()).closeUnlessShared()
			return status.Error(codes.ResourceExhausted, fmt.Sprintf(
				"the producer has read no result for %v (writeTimeout); read results while sending", x.source.cfg.WriteTimeout))
		case <-x.grpc.Context().Done():
			return status.FromContextError(x.grpc.Context().Err()).Err()
		case <-x.quiet:
		}
		if st := x.intake.stopped(); st == statusFenced {
			return status.FromProto(st).Err()
		}
		if mayEnd && x.intake.idle() {
			return nil
		}
	}
}

// drain tells the producer to stop sending, unless it was told before.
func (x *stream) drain(grace time.Duration) {
	if !x.drained {
		x.drained = true
		x.drains <- &pb.Drain{Grace: durationpb.New(grace)} // has room for one
		x.intake.signal()
	}
}

// timer is a time.Timer that may not have been started.
type timer struct {
	t *time.Timer
	c <-chan time.Time
}

// start starts the timer, or starts it again.
func (t *timer) start(d time.Duration) {
	if t.t != nil {
		t.t.Stop()
	}
	t.t = time.NewTimer(d)
	t.c = t.t.C
}

func (t *timer) stop() {
	if t.t != nil {
		t.t.Stop()
	}
}

// read takes messages of the producer until the stream ends.
func (x *stream) read() {
	x.readEnd <- x.readAll()
	if x.name != "" {
		<-x.grpc.Context().Done() // the handler has returned: until then the epoch counts
		x.route.producers.leave(x.intake, x.name)
	}
}

func (x *stream) readAll() error {
	in := &streamRequest{maxEvent: int(x.listener.settings.maxEvent)}
	for first := true; ; first = false {
		err := x.grpc.RecvMsg(in)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err // grpc-go has told the producer, also about a message above its limit
		case in.err != nil:
			return status.Error(codes.InvalidArgument, "the message: "+in.err.Error())
		case in.event != nil:
			err = x.intake.receive(in.event)
		case first:
			if err = x.route.producers.open(x.intake, in.open); err == nil {
				x.name = in.open.Producer
			}
		default:
			err = status.Error(codes.InvalidArgument, "open must be the first message of the producer, and sent once")
		}
		if err != nil {
			return err
		}
	}
}

// write sends settings and then results until the stream ends.
func (x *stream) write() {
	stuck := time.AfterFunc(x.source.cfg.WriteTimeout, func() {
		select {
		case x.stuck <- struct{}{}:
		default:
		}
	})
	defer stuck.Stop()
	send := func(m *pb.PublishStreamResponse) bool {
		stuck.Reset(x.source.cfg.WriteTimeout)
		err := x.grpc.SendMsg(m)
		stuck.Stop()
		return err == nil // else the stream is over, and its handler knows
	}
	if !send(x.settings()) {
		return
	}
	var batch []answer
	for {
		select {
		case <-x.intake.wake:
		case <-x.grpc.Context().Done():
			return
		}
		for batch = x.intake.takeAnswers(batch); len(batch) > 0; batch = x.intake.takeAnswers(batch) {
			for _, a := range batch {
				if !send(&pb.PublishStreamResponse{Message: &pb.PublishStreamResponse_Result{Result: a.result()}}) {
					return
				}
			}
		}
		select {
		case d := <-x.drains:
			if !send(&pb.PublishStreamResponse{Message: &pb.PublishStreamResponse_Drain{Drain: d}}) {
				return
			}
		default:
		}
		select {
		case x.quiet <- struct{}{}:
		default:
		}
	}
}

// settings are the limits of the stream.
func (x *stream) settings() *pb.PublishStreamResponse {
	return &pb.PublishStreamResponse{Message: &pb.PublishStreamResponse_Settings{Settings: &pb.Settings{
		MaxInFlight: int32(x.intake.maxInFlight), MaxInFlightBytes: x.intake.maxBytes, MaxEventBytes: int32(x.listener.settings.maxEvent),
	}}}
}

// jittered returns d, a tenth more or less.
func jittered(d time.Duration, random float64) time.Duration {
	return d + time.Duration((random-0.5)*0.2*float64(d))
}
