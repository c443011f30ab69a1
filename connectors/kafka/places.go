package kafka

import (
	"context"
	"sync"
)

// places bounds what is under way, by number and by bytes. Who comes first is
// served first. One larger than all bytes together waits until it is alone.
type places struct {
	mu      sync.Mutex
	count   int
	bytes   int64
	all     int64
	waiting []*waiter
}

type waiter struct {
	bytes int64
	ready chan struct{}
}

func newPlaces(count int, bytes int64) *places {
	return &places{count: count, bytes: bytes, all: bytes}
}

// acquire takes a place, or returns ctx's cause when ctx ends first.
func (p *places) acquire(ctx context.Context, bytes int64) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p.mu.Lock()
	if p.free(bytes) {
		p.take(bytes)
		p.mu.Unlock()
		return nil
	}
	w := &waiter{bytes: bytes, ready: make(chan struct{})}
	p.waiting = append(p.waiting, w)
	p.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		p.leave(w)
		return context.Cause(ctx)
	}
}

// try takes a place if one is free.
func (p *places) try(bytes int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	ok := p.free(bytes)
	if ok {
		p.take(bytes)
	}
	return ok
}

// leave takes w out of the queue, or gives back the place it got meanwhile.
func (p *places) leave(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, other := range p.waiting {
		if other == w {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			p.serve()
			return
		}
	}
	p.give(w.bytes)
}

func (p *places) release(bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.give(bytes)
}

func (p *places) give(bytes int64) {
	p.count++
	p.bytes += bytes
	p.serve()
}

func (p *places) serve() {
	for len(p.waiting) > 0 && p.fits(p.waiting[0].bytes) {
		w := p.waiting[0]
		p.waiting = p.waiting[1:]
		p.take(w.bytes)
		close(w.ready)
	}
}

// free reports whether a newcomer need not wait.
func (p *places) free(bytes int64) bool { return len(p.waiting) == 0 && p.fits(bytes) }

func (p *places) fits(bytes int64) bool {
	return p.count > 0 && (bytes <= p.bytes || p.bytes == p.all)
}

func (p *places) take(bytes int64) {
	p.count--
	p.bytes -= bytes
}
