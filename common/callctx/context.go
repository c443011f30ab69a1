package callctx

import (
	"context"
	"sync"
	"time"
)

// Context is a context that costs little where nobody waits for its end, which is
// most calls: it is part of what it belongs to, and what follows its end hangs
// in a list. It keeps the promises of context.Context, and those of the standard
// library may be made from it. It is begun once, and ended at least once.
type Context struct {
	outer  context.Context
	within Hook // of the outer one

	mu    sync.Mutex
	err   error         // why it ended; nil: it did not
	done  chan struct{} // nil: nobody asked
	hooks *Hook
}

// Begin has it end when outer does.
func (e *Context) Begin(outer context.Context) {
	e.outer = outer
	e.within.inner = e
	e.within.On(outer)
}

// follow is what hangs on the outer context.
func (e *Context) follow() { e.end(e.outer.Err()) }

// End ends it, and lets go of the outer one; a second end changes nothing.
func (e *Context) End(err error) {
	e.within.Remove()
	e.end(err)
}

func (e *Context) end(err error) {
	e.mu.Lock()
	if e.err != nil {
		e.mu.Unlock()
		return
	}
	e.err = err
	if e.done != nil {
		close(e.done)
	}
	list := e.hooks
	e.hooks = nil
	for h := list; h != nil; h = h.next {
		h.on = false // from here on, Remove comes too late
	}
	e.mu.Unlock()
	for list != nil {
		h := list
		list = h.next // whoever h belongs to may let go of it once it is done
		h.run()
	}
}

// AfterFunc is that of package context, which looks for it.
func (e *Context) AfterFunc(f func()) (stop func() bool) {
	h := &Hook{Do: func() { go f() }} // whoever asks waits for it, as with context.AfterFunc
	h.put(e)
	return h.Remove
}

// Deadline is that of the outer context: a limit of ours is none that others
// could go by, as it may be lifted.
func (e *Context) Deadline() (time.Time, bool) { return e.outer.Deadline() }

// Done is closed at the end.
func (e *Context) Done() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.done == nil {
		e.done = make(chan struct{})
		if e.err != nil {
			close(e.done)
		}
	}
	return e.done
}

// Err is why it ended. An outer context that has ended is seen at once, also
// where it has yet to tell.
func (e *Context) Err() error {
	if err := e.own(); err != nil {
		return err
	}
	if err := e.outer.Err(); err != nil {
		e.end(err)
	}
	return e.own()
}

func (e *Context) own() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

// Value is that of the outer context.
func (e *Context) Value(key any) any {
	if key == (contextKey{}) {
		return e
	}
	return e.outer.Value(key)
}

func (e *Context) ending() *Context { return e }

// contextKey finds the Context that a context is made from.
type contextKey struct{}

// contextOf is the Context that ends when ctx does; nil: there is none.
func contextOf(ctx context.Context) *Context {
	if e, ok := ctx.(interface{ ending() *Context }); ok { // or a struct that one is part of
		return e.ending()
	}
	e, _ := ctx.Value(contextKey{}).(*Context)
	if e == nil || ctx.Done() != e.Done() {
		return nil // one between the two may end first
	}
	return e
}

// Hook is what is done when a context ends, by the goroutine that ends it where
// that is an Context, so it must not wait. It is part of what it is about, which
// has one goroutine that puts it on and takes it off. Once done, it is not used
// again.
type Hook struct {
	Do func()

	inner      *Context    // that follows, in place of Do: one function less for each
	of         *Context    // that it was put on last
	stop       func() bool // where that was another context
	on         bool        // it is on; this and what follows are guarded by of.mu
	prev, next *Hook
}

// On has it done when ctx ends, at once if it has.
func (h *Hook) On(ctx context.Context) {
	if e := contextOf(ctx); e != nil {
		h.put(e)
		return
	}
	h.of, h.stop = nil, context.AfterFunc(ctx, h.run)
}

func (h *Hook) put(e *Context) {
	e.mu.Lock()
	h.of = e
	if e.err != nil {
		e.mu.Unlock()
		h.run()
		return
	}
	h.on, h.prev, h.next = true, nil, e.hooks
	if e.hooks != nil {
		e.hooks.prev = h
	}
	e.hooks = h
	e.mu.Unlock()
}

func (h *Hook) run() {
	if h.inner != nil {
		h.inner.follow()
		return
	}
	h.Do()
}

// Remove takes it off, and reports whether it had neither been done nor begun.
func (h *Hook) Remove() bool {
	e := h.of
	if e == nil {
		return h.stop != nil && h.stop()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !h.on {
		return false
	}
	h.on = false
	if h.prev != nil {
		h.prev.next = h.next
	} else {
		e.hooks = h.next
	}
	if h.next != nil {
		h.next.prev = h.prev
	}
	h.prev, h.next = nil, nil
	return true
}
