package grpc

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestWatch_findsAWriteThatTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late atomic.Bool
		w := newWatch(time.Second, func() { late.Store(true) })
		defer w.stop()
		pass := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		for range 10 { // many short writes, and pauses in which the timer rests
			w.begin()
			pass(900 * time.Millisecond)
			w.end()
			pass(700 * time.Millisecond)
		}
		pass(10 * time.Second)
		if w.armed.Load() {
			t.Error("the timer goes on though nothing is written")
		}
		if late.Load() {
			t.Fatal("no write took a second")
		}
		w.begin()
		pass(999 * time.Millisecond)
		if late.Load() {
			t.Fatal("late before the limit")
		}
		pass(1001 * time.Millisecond)
		if !late.Load() {
			t.Fatal("not late after twice the limit")
		}
	})
}
