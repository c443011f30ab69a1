package http1

import (
	"context"
	"sync"
	"time"

	"github.com/lsm/fiso/common/callctx"
)

// writeBound ends the write of an answer when the context of its call ends.
type writeBound struct {
	hook *callctx.Hook
	mu   sync.Mutex // guards the fields below, and the write deadline while on
	on   bool       // written with both mu and conn.began held, read with either
	late bool       // the context has ended
	busy bool       // a write is in progress
}

// lastWrite bounds a write that begins after its call's context has ended, so that an
// application that still reads gets the buffered bytes.
const lastWrite = 250 * time.Millisecond

// Bound implements ResponseWriter. While ctx bounds the writes they have no deadline,
// so a call that ends in time sets none.
func (w *writer) Bound(ctx context.Context) {
	c := w.c
	c.began.Lock()
	defer c.began.Unlock()
	b := &c.writeBound
	if w.timed {
		w.timed = false
		_ = c.nc.SetWriteDeadline(time.Time{}) // a failure shows in the write
	}
	b.set(true)
	b.hook.On(ctx)
}

// Unbound implements ResponseWriter.
func (w *writer) Unbound() {
	c := w.c
	c.began.Lock()
	defer c.began.Unlock()
	b := &c.writeBound
	if !b.on {
		return
	}
	removed := b.hook.Remove()
	if b.set(false); !removed {
		b.hook = &callctx.Hook{Do: c.cutWrite} // a hook that has run cannot be used again
		_ = c.nc.SetWriteDeadline(time.Time{})
	}
}

func (b *writeBound) set(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.on, b.late = on, false
}

// cutWrite is the hook: it ends the write in progress.
func (c *serverConn) cutWrite() {
	b := &c.writeBound
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.on {
		return
	}
	if b.late = true; b.busy {
		_ = c.nc.SetWriteDeadline(time.Unix(1, 0)) // an error means that the connection is closed
	}
}

// wrote is called after each write.
func (w *writer) wrote() {
	if b := &w.c.writeBound; b.on {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.busy = false
	}
}

// deadline is called before each write. It sets the write deadline, unless a call's
// context bounds the writes.
func (w *writer) deadline() {
	if b := &w.c.writeBound; b.on {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.busy = true; b.late {
			_ = w.c.nc.SetWriteDeadline(time.Now().Add(lastWrite)) // a failure shows in the write
		}
		return
	}
	w.timed = true
	_ = w.c.nc.SetWriteDeadline(time.Now().Add(w.c.limits.Write)) // the same
}
