package http

import (
	"context"
	"slices"
	"sync"

	"github.com/lsm/fiso/common/callctx"
)

// contexts are those of the calls under way. Calls whose contexts end together, those
// with the same Done channel, share one callctx.Context, which is registered with
// theirs once. Each call for itself would take the context's lock twice and leave
// garbage. In a flow, a handful of contexts serve all calls.
type contexts struct {
	mu     sync.Mutex
	shared map[<-chan struct{}]*sharedContext // by what a context's Done returns
	recent [128]<-chan struct{}               // of those let go last; nil is that of all that never end
	letGo  int                                // how many were
	closed bool
}

type sharedContext struct {
	callctx.Context
	forget callctx.Hook
	done   <-chan struct{}
	calls  int  // under way
	kept   bool // stays when no call is under way
}

// enter counts a call in; nil: the sink is closed.
func (s *contexts) enter(ctx context.Context) *sharedContext {
	c, isNew := s.get(ctx)
	if isNew {
		c.forget.Do = func() { s.forget(c) }
		c.forget.On(c) // with no lock held: it may have ended
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
		c, isNew = &sharedContext{done: done, kept: slices.Contains(s.recent[:], done)}, true
		c.Begin(ctx)
		if s.shared == nil {
			s.shared = map[<-chan struct{}]*sharedContext{}
		}
		s.shared[done] = c
	} else {
		c.kept = true
	}
	c.calls++
	return c, isNew
}

// leave counts a call out. A context that had one call is let go: a program that makes
// a context a call would pile them up. One that had more, or that comes again, is kept
// until it ends, or the sink is closed.
func (s *contexts) leave(c *sharedContext) {
	s.mu.Lock()
	c.calls--
	over := c.calls == 0 && !c.kept
	if over && s.shared[c.done] == c {
		delete(s.shared, c.done)
		s.recent[s.letGo%len(s.recent)] = c.done
		s.letGo++
	}
	s.mu.Unlock()
	if over {
		c.End(context.Canceled)
	}
}

// forget lets go of a context that has ended.
func (s *contexts) forget(c *sharedContext) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shared[c.done] == c {
		delete(s.shared, c.done)
	}
}

// close cuts off the calls under way.
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
