package kafka

import (
	"context"
	"sync"
	"time"
)

// sharesPerTimeout is how many contexts cover one delivery timeout.
const sharesPerTimeout = 32

// deadlines gives records a context that ends after the delivery timeout. One context
// per record would need one timer per record, so records that begin within 1/32 of the
// timeout share one context. It ends when the last of them has had the whole timeout;
// the first gets up to 1/32 more.
type deadlines struct {
	timeout time.Duration

	mu     sync.Mutex
	shared context.Context
	cancel context.CancelFunc
	until  time.Time            // records that begin later get a new context
	older  []context.CancelFunc // of contexts that records may still use
}

// next returns the context of a record that begins now.
func (b *deadlines) next() context.Context {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shared == nil || now.After(b.until) {
		if b.cancel != nil {
			b.older = append(b.older, b.cancel)
		}
		if len(b.older) > 2*sharesPerTimeout {
			b.older[0]() // its deadline is past
			b.older = append(b.older[:0], b.older[1:]...)
		}
		b.until = now.Add(b.timeout / sharesPerTimeout)
		b.shared, b.cancel = context.WithDeadline(context.Background(), b.until.Add(b.timeout))
	}
	return b.shared
}

// close cancels all contexts. No record may be in flight.
func (b *deadlines) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, cancel := range append(b.older, b.cancel) {
		if cancel != nil {
			cancel()
		}
	}
	b.older = nil
}
