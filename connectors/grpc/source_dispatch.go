package grpc

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/lsm/fiso/common/connector"
)

const (
	// maxBatch is how many messages one call of the handler gets at most.
	maxBatch = 256
	// maxTurn is how many of them may be of one stream.
	maxTurn = 32
)

// enqueue puts an intake with pending events into the list of the dispatcher.
func (s *Source) enqueue(k *intake) {
	s.readyMu.Lock()
	s.ready = append(s.ready, k)
	s.readyMu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// dispatch hands pending events over until ctx ends. It is the only caller of the
// handler.
func (s *Source) dispatch(ctx context.Context) {
	batch := make([]*connector.Message, 0, maxBatch)
	for ctx.Err() == nil {
		if batch = s.nextBatch(batch[:0]); len(batch) > 0 {
			s.handOver(batch)
			clear(batch)
			continue
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
		}
	}
}

// nextBatch appends pending events to batch: some of each intake, in turn.
func (s *Source) nextBatch(batch []*connector.Message) []*connector.Message {
	s.readyMu.Lock()
	turn := s.ready
	s.ready = nil
	s.readyMu.Unlock()
	var again []*intake // had their turn, and have more
	next := 0
	for ; next < len(turn) && len(batch) < maxBatch; next++ {
		var more bool
		if batch, more = turn[next].take(batch, min(maxTurn, maxBatch-len(batch))); more {
			again = append(again, turn[next])
		}
	}
	if waiting := turn[next:]; len(waiting)+len(again) > 0 {
		s.readyMu.Lock()
		s.ready = slices.Concat(waiting, s.ready, again)
		s.readyMu.Unlock()
	}
	return batch
}

// handOver calls the handler. If it panics, its unsettled events fail.
func (s *Source) handOver(batch []*connector.Message) {
	defer func() {
		if v := recover(); v != nil {
			s.logger.Error("grpc source handler panicked", "flow", s.name, "panic", v, "stack", string(debug.Stack()))
			connector.SettleAll(batch, fmt.Errorf("the handler panicked: %v", v))
		}
	}()
	s.handle(s.assignment, batch)
}
