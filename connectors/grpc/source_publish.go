package grpc

import (
	"context"
	"fmt"
	"math"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

// publish answers one Publish, once its events are settled.
func (l *listener) publish(ctx context.Context, decode func(any) error) (*pb.PublishResponse, error) {
	done, err := l.beginCall(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	s, _, md, err := l.callSource(ctx)
	if err != nil {
		return nil, err
	}
	defer s.exit()
	in := &batchRequest{maxEvent: int(l.settings.maxEvent)}
	if err := decode(in); err != nil {
		return nil, err
	}
	switch n := len(in.events); {
	case in.err != nil:
		return nil, status.Error(codes.InvalidArgument, "the request: "+in.err.Error())
	case n == 0:
		return nil, status.Error(codes.InvalidArgument, "the request has no event; send at least one")
	case n > s.cfg.MaxInFlight:
		return nil, status.Error(codes.InvalidArgument, fmt.Sprintf("the request has %d events; at most %d are taken (maxInFlight)", n, s.cfg.MaxInFlight))
	}
	return s.publish(ctx, md, in.events)
}

func (s *Source) publish(ctx context.Context, md metadata.MD, events []*received) (*pb.PublishResponse, error) {
	k := newIntake(s, s.cfg.MaxInFlight, math.MaxInt64/overrun)
	k.trace = traceOf(md)
	defer k.close()
	for _, e := range events {
		if err := k.receive(e); err != nil {
			return nil, err
		}
	}
	results := make([]*pb.PublishResult, len(events))
	ended := s.ended
	for missing := len(events); missing > 0; {
		select {
		case <-k.wake:
		case <-ended:
			ended = nil
			k.stop(statusDraining)
		case <-s.drainExpired:
			return nil, status.Error(codes.Unavailable, "the receiver has stopped; send the events again")
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
		for _, a := range k.takeAnswers(nil) {
			results[a.seq-1] = &pb.PublishResult{Status: a.code(), Outcome: a.outcome}
			missing--
		}
	}
	return &pb.PublishResponse{Results: results}, nil
}
