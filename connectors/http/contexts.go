package http

import (
	"context"
	"slices"
	"sync"

	"github.com/lsm/fiso/common/callctx"
)

// contexts holds the contexts of the calls under way. Calls whose contexts end together
// (same Done channel) share one callctx.Context, which is registered with the caller's
// context once. Registering each call would take the context's lock twice and allocate.
// In a flow, a few contexts serve all calls.
type contexts struct {
	mu       sync.Mutex
	shared   map[<-chan struct{}]*sharedContext // by Done channel
	recent   [128]<-chan struct{}               // the Done channels released last; nil: contexts that never end
	released int                                // how many contexts were released
	closed   bool
}

type sharedContext struct {
	callctx.Context
	forget callctx.Hook
	done   <-chan struct{}
	calls  int  // calls under way
	keep   bool // stays registered when no call is under way
}

// enter counts a call in. It returns nil if the sink is closed.
func (s *contexts) enter(ctx context.Context) *sharedContext {
	c, isNew := s.get(ctx)
	if isNew {
		c.forget.Do = func() { s.forget(c) }
		c.forget.On(c) // without s.mu: if c has ended, this calls forget at once
	}
	return c
}

func (s *contexts) get(ctx context.Context) (c *sharedContext, isNew bool) {
	done := ctx.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, false
	}
	if c = s.shared[done]; c == nil {
		c, isNew = &sharedContext{done: done, keep: slices.Contains(s.recent[:], done)}, true
		c.Begin(ctx)
		if s.shared == nil {
			s.shared = map[<-chan struct{}]*sharedContext{}
		}
		s.shared[done] = c
	} else {
		c.keep = true
	}
	c.calls++
	return c, isNew
}

// leave counts a call out. A context that had only one call is released, because a
// program that makes a context for each call would pile them up. A context that had
// more calls, or that comes again, is kept until it ends or the sink is closed.
func (s *contexts) leave(c *sharedContext) {
	s.mu.Lock()
	c.calls--
	unused := c.calls == 0 && !c.keep
	if unused && s.shared[c.done] == c {
		delete(s.shared, c.done)
		s.recent[s.released%len(s.recent)] = c.done
		s.released++
	}
	s.mu.Unlock()
	if unused {
		c.End(context.Canceled)
	}
}

// forget removes a context that has ended.
func (s *contexts) forget(c *sharedContext) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shared[c.done] == c {
		delete(s.shared, c.done)
	}
}

// close ends the calls under way.
func (s *contexts) close() {
	s.mu.Lock()
	s.closed = true
	var all []*sharedContext
	for _, c := range s.shared {
		all = append(all, c)
	}
	clear(s.shared)
	s.mu.Unlock()
	for _, c := range all {
		c.End(context.Canceled)
	}
}

func (s *contexts) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}
