package grpc

import "sync/atomic"

// byteBudget limits bytes held. It is safe for concurrent use.
type byteBudget struct {
	limit int64
	held  atomic.Int64
}

// reserve takes n bytes, or reports that there is no room. A first reservation may
// exceed the limit, so that an event of any size passes.
func (b *byteBudget) reserve(n int64) bool {
	for {
		held := b.held.Load()
		if held > 0 && held+n > b.limit {
			return false
		}
		if b.held.CompareAndSwap(held, held+n) {
			return true
		}
	}
}

func (b *byteBudget) release(n int64) { b.held.Add(-n) }
