package callctx

import (
	"context"
	"sync"
	"time"
)

// Context is a context.Context that allocates nothing as long as nobody calls Done
// or AfterFunc, as in most calls. It is a field of its owner, and its hooks are in
// a linked list. It keeps the promises of context.Context, and contexts of the
// standard library may be derived from it. Begin is called once, End at least once.
type Context struct {
	outer     context.Context
	outerHook Hook // on the outer context

	mu    sync.Mutex
	err   error         // why the context ended; nil: it has not
	done  chan struct{} // nil until Done is called
	hooks *Hook
}

// Begin makes the context end when outer does.
func (e *Context) Begin(outer context.Context) {
	e.outer = outer
	e.outerHook.inner = e
	e.outerHook.On(outer)
}

// follow ends the context because the outer one has ended.
func (e *Context) follow() { e.end(e.outer.Err()) }

// End ends the context and removes its hook from the outer one. A second call changes
// nothing.
func (e *Context) End(err error) {
	e.outerHook.Remove()
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
		h.attached = false // Remove now returns false
	}
	e.mu.Unlock()
	for list != nil {
		h := list
		list = h.next // the owner of h may drop it after run
		h.run()
	}
}

// AfterFunc is called by context.AfterFunc, which looks for this method.
func (e *Context) AfterFunc(f func()) (stop func() bool) {
	h := &Hook{Do: func() { go f() }} // in a goroutine, as context.AfterFunc promises
	h.put(e)
	return h.Remove
}

// Deadline is that of the outer context. A time limit of the owner is not reported:
// the owner may lift it.
func (e *Context) Deadline() (time.Time, bool) { return e.outer.Deadline() }

// Done returns a channel that is closed when the context ends.
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

// Err returns why the context ended. It sees at once that an outer context has
// ended, also before that context's hooks have run.
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

// Value returns the value of the outer context.
func (e *Context) Value(key any) any {
	if key == (contextKey{}) {
		return e
	}
	return e.outer.Value(key)
}

func (e *Context) callContext() *Context { return e }

// contextKey is the key under which Value returns the Context itself.
type contextKey struct{}

// contextOf returns the Context that ends exactly when ctx does, or nil.
func contextOf(ctx context.Context) *Context {
	if e, ok := ctx.(interface{ callContext() *Context }); ok { // a Context, or a struct that embeds one
		return e.callContext()
	}
	e, _ := ctx.Value(contextKey{}).(*Context)
	if e == nil || ctx.Done() != e.Done() {
		return nil // a context between e and ctx may end first
	}
	return e
}

// Hook is a function that runs when a context ends. The goroutine that ends the
// context runs it if that is a Context, so it must not block. A Hook is a field of
// its owner. One goroutine calls On and Remove. A Hook that has run is not used
// again.
type Hook struct {
	Do func()

	inner      *Context    // ends in place of calling Do, which saves a closure
	ctx        *Context    // where the hook was put last
	stop       func() bool // of context.AfterFunc, for other kinds of context
	attached   bool        // in the list; this and the fields below are guarded by ctx.mu
	prev, next *Hook
}

// On runs the hook when ctx ends, or at once if ctx has ended.
func (h *Hook) On(ctx context.Context) {
	if e := contextOf(ctx); e != nil {
		h.put(e)
		return
	}
	h.ctx, h.stop = nil, context.AfterFunc(ctx, h.run)
}

func (h *Hook) put(e *Context) {
	e.mu.Lock()
	h.ctx = e
	if e.err != nil {
		e.mu.Unlock()
		h.run()
		return
	}
	h.attached, h.prev, h.next = true, nil, e.hooks
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

// Remove removes the hook, and reports whether it had neither run nor begun to run.
func (h *Hook) Remove() bool {
	e := h.ctx
	if e == nil {
		return h.stop != nil && h.stop()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !h.attached {
		return false
	}
	h.attached = false
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
