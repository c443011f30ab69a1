package callctx

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func begun(outer context.Context) *Context {
	e := &Context{}
	e.Begin(outer)
	return e
}

func TestContext_keepsThePromisesOfAContext(t *testing.T) {
	type key struct{}
	e := begun(context.WithValue(t.Context(), key{}, 1))
	if _, ok := e.Deadline(); ok || e.Err() != nil || e.Value(key{}) != 1 || context.Cause(e) != nil {
		t.Error("it has an end from the beginning, or has lost a value")
	}
	before := e.Done()
	e.End(context.DeadlineExceeded)
	e.End(context.Canceled)
	<-before
	<-e.Done()
	if !errors.Is(e.Err(), context.DeadlineExceeded) || !errors.Is(context.Cause(e), context.DeadlineExceeded) {
		t.Error(e.Err(), context.Cause(e))
	}
	late := begun(t.Context())
	late.End(context.Canceled)
	<-late.Done()
}

func TestContext_endsWithItsOuterContext(t *testing.T) {
	for name, between := range map[string]func(context.Context) context.Context{
		"directly": func(ctx context.Context) context.Context { return ctx },
		"through a value": func(ctx context.Context) context.Context {
			return context.WithValue(ctx, t, 1)
		},
		"through a context that may end first": func(ctx context.Context) context.Context {
			ctx, cancel := context.WithCancel(ctx)
			t.Cleanup(cancel)
			return ctx
		},
	} {
		t.Run(name, func(t *testing.T) {
			outer := begun(t.Context())
			inner := begun(between(outer))
			standard, cancel := context.WithCancel(inner)
			defer cancel()
			other := begun(between(outer))
			other.End(nil) // it removes its hook
			outer.End(context.DeadlineExceeded)
			<-standard.Done()
			if err := inner.Err(); err == nil {
				t.Error("it goes on")
			}
			if e := begun(between(outer)); between(outer) == context.Context(outer) && e.Err() == nil {
				t.Error("one that begins after the end goes on")
			}
		})
	}
	standard, cancel := context.WithCancel(t.Context())
	inner := begun(standard)
	cancel()
	if !errors.Is(inner.Err(), context.Canceled) {
		t.Error(inner.Err())
	}
}

func TestContext_endsOnlyWithAllThatIsBetween(t *testing.T) {
	outer := begun(t.Context())
	between, cancel := context.WithCancel(outer)
	inner := begun(between)
	cancel()
	<-inner.Done()
	if outer.Err() != nil {
		t.Error("the outer one ended")
	}
	outer.End(context.Canceled)
}

func TestHook_isDoneOnceOrRemoved(t *testing.T) {
	e := begun(t.Context())
	var done [4]int
	var hooks [4]Hook
	for i := range hooks {
		hooks[i].Do = func() { done[i]++ }
		hooks[i].On(e)
	}
	// The last of the list, one in the middle, and the first; then one again.
	for _, i := range []int{0, 2, 3} {
		if !hooks[i].Remove() || hooks[i].Remove() {
			t.Errorf("hook %d: removed not once", i)
		}
	}
	hooks[2].On(e)
	e.End(context.Canceled)
	if done != [4]int{0, 1, 1, 0} || hooks[1].Remove() {
		t.Error(done)
	}
	late := Hook{Do: func() { done[0]++ }}
	late.On(e)
	if done[0] != 1 || late.Remove() {
		t.Error("a late one was not done at once")
	}
	if new(Hook).Remove() {
		t.Error("one that was never put on was removed")
	}
}

func TestContext_afterFuncIsThatOfContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := begun(t.Context())
		var ran atomic.Int32
		stop := context.AfterFunc(e, func() { ran.Add(1) })
		kept := context.AfterFunc(e, func() { ran.Add(10) })
		if !stop() || stop() {
			t.Error("stopped not once")
		}
		e.End(context.Canceled)
		synctest.Wait()
		if n := ran.Load(); n != 10 || kept() {
			t.Error(n)
		}
	})
}

// The end of a call races with the owner that removes its hook.
func TestHook_isRemovedWhileTheCallEnds(t *testing.T) {
	for range 1000 {
		e := begun(t.Context())
		var done atomic.Bool
		h := Hook{Do: func() { done.Store(true) }}
		h.On(e)
		var ending sync.WaitGroup
		ending.Go(func() { e.End(context.Canceled) })
		removed := h.Remove()
		ending.Wait()
		if removed == done.Load() {
			t.Fatal("it was both removed and done, or neither")
		}
	}
}

func TestContext_allocatesNothing(t *testing.T) {
	outer := begun(t.Context())
	defer outer.End(context.Canceled)
	inner, h := &Context{}, Hook{Do: func() {}}
	inner.outer, inner.outerHook.inner = outer, inner
	if n := testing.AllocsPerRun(100, func() {
		inner.outerHook.On(outer)
		h.On(inner)
		h.Remove()
		inner.outerHook.Remove()
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
