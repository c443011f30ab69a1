package kafka

import (
	"context"
	"sync"
	"time"
)

// sharedPart is the part of the delivery timeout in which records share a context.
const sharedPart = 32

// deadlines gives records their delivery timeout. A context each would cost a
// timer each; so those of a short while share one, which ends when the last of
// them has had all of its time: the first has up to 1/32 more.
type deadlines struct {
	timeout time.Duration

	mu     sync.Mutex
	shared context.Context
	cancel context.CancelFunc
	until  time.Time // a record after this needs a new one
	older  []context.CancelFunc
}

// next is the context of a record that begins now.
func (b *deadlines) next() context.Context {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shared == nil || now.After(b.until) {
		if b.cancel != nil {
			b.older = append(b.older, b.cancel)
		}
		if len(b.older) > 2*sharedPart {
			b.older[0]() // over since long ago
			b.older = append(b.older[:0], b.older[1:]...)
		}
		b.until = now.Add(b.timeout / sharedPart)
		b.shared, b.cancel = context.WithDeadline(context.Background(), b.until.Add(b.timeout))
	}
	return b.shared
}

// close ends them all. No record is under way any more.
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
