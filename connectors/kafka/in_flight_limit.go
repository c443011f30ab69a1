package kafka

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// inFlightLimit bounds the records in flight, by number and by bytes. Waiting calls are
// served in order. A record larger than the limit of bytes waits until it is alone.
type inFlightLimit struct {
	number, bytes *semaphore.Weighted
	all           int64 // limit of bytes
}

func newInFlightLimit(number int, bytes int64) *inFlightLimit {
	return &inFlightLimit{number: semaphore.NewWeighted(int64(number)), bytes: semaphore.NewWeighted(bytes), all: bytes}
}

// acquire counts a record, or returns ctx's cause when ctx ends first.
func (p *inFlightLimit) acquire(ctx context.Context, bytes int64) error {
	if ctx.Err() != nil || p.number.Acquire(ctx, 1) != nil {
		return context.Cause(ctx)
	}
	if p.bytes.Acquire(ctx, min(bytes, p.all)) != nil {
		p.number.Release(1)
		return context.Cause(ctx)
	}
	return nil
}

// try counts a record if the limit allows it now.
func (p *inFlightLimit) try(bytes int64) bool {
	if !p.number.TryAcquire(1) {
		return false
	}
	if !p.bytes.TryAcquire(min(bytes, p.all)) {
		p.number.Release(1)
		return false
	}
	return true
}

func (p *inFlightLimit) release(bytes int64) {
	p.bytes.Release(min(bytes, p.all))
	p.number.Release(1)
}
