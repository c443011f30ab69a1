package http

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/lsm/fiso/common/connector"
)

// pool holds the connections to one target, at most as many as it has slots.
// It owns no goroutine: idle connections are closed by a timer, and a call is
// cut off by what its context runs when it ends (see group). Lock order: mu,
// then a context's own; nothing blocks under mu.
type pool struct {
	dialer      func(ctx context.Context, network, address string) (net.Conn, error)
	address     string
	tls         func() *tls.Config // for the next connection; nil: plain
	dialTimeout time.Duration
	idleTimeout time.Duration
	maxAge      time.Duration

	// slots holds a token for each call that has a connection or dials one.
	// A connection goes back to idle before its slot is freed, and is dialled
	// only when nothing is idle, so there are never more of them than slots.
	slots chan struct{}

	mu     sync.Mutex
	conns  map[*conn]struct{} // all that are open
	idle   []*conn            // the most recently used last
	timer  *time.Timer        // not nil while anything is idle
	closed bool

	groups   map[<-chan struct{}]*group // by what a context's Done returns
	recent   [128]<-chan struct{}       // of the groups let go last
	letGo    int                        // how many were
	aborting sync.WaitGroup             // one for each group that may still abort
}

// acquire waits for a slot and returns a connection, dialled if need be, whose
// reads and writes end when ctx does. Each one is given back by release. The
// error is ctx's when ctx ended first.
func (p *pool) acquire(ctx context.Context, now, deadline time.Time) (*conn, error) {
	select {
	case p.slots <- struct{}{}:
	default:
		if err := p.wait(ctx, deadline); err != nil {
			return nil, err
		}
		now = time.Now()
	}
	for c := p.pop(ctx); c != nil; c = p.pop(ctx) {
		if now.Sub(c.born) <= p.maxAge {
			return c, nil
		}
		p.discard(c)
	}
	c, err := p.dial(ctx, deadline)
	if err != nil {
		<-p.slots
		return nil, err
	}
	return c, nil
}

// wait takes a slot when one comes free.
func (p *pool) wait(ctx context.Context, deadline time.Time) error {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fmt.Errorf("all %d connections are busy (maxConnections): %w", cap(p.slots), os.ErrDeadlineExceeded)
	}
}

// replace closes a connection and dials another in its place. The slot is free
// when it fails.
func (p *pool) replace(ctx context.Context, c *conn, deadline time.Time) (*conn, error) {
	p.discard(c)
	c, err := p.dial(ctx, deadline)
	if err != nil {
		<-p.slots
	}
	return c, err
}

func (p *pool) pop(ctx context.Context) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	c := p.idle[last]
	p.idle[last] = nil
	p.idle = p.idle[:last]
	c.group = p.enter(ctx)
	return c
}

func (p *pool) discard(c *conn) {
	p.mu.Lock()
	delete(p.conns, c)
	p.leave(c)
	p.mu.Unlock()
	// Nobody waits for a connection that is thrown away.
	_ = c.Close()
}

// dial opens a connection, TLS included. Names are resolved each time.
func (p *pool) dial(ctx context.Context, deadline time.Time) (*conn, error) {
	now := time.Now()
	if limit := now.Add(p.dialTimeout); limit.Before(deadline) {
		deadline = limit
	}
	bounded, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	nc, err := p.dialer(bounded, "tcp", p.address)
	if err != nil {
		return nil, err
	}
	c := newConn(nc, now)
	if p.tls != nil {
		if err := c.secure(bounded, p.tls()); err != nil {
			_ = nc.Close() // the handshake's error is the one to report
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close() // it was never used
		return nil, connector.ErrClosed
	}
	p.conns[c] = struct{}{}
	c.group = p.enter(ctx)
	return c, nil
}

// release gives a connection back, and closes it when it is spent.
func (p *pool) release(c *conn) {
	if cap(c.answer.body) > firstBuffer {
		c.answer.body = nil
	}
	c.idle = time.Now()
	p.mu.Lock()
	p.leave(c)
	if p.closed || c.spent || c.aborted {
		p.mu.Unlock()
		p.discard(c)
		<-p.slots
		return
	}
	p.idle = append(p.idle, c)
	if p.timer == nil {
		p.timer = time.AfterFunc(p.idleTimeout, p.sweep)
	}
	p.mu.Unlock()
	<-p.slots
}

// sweep closes connections that were idle for too long. The oldest come first,
// because the newest are used first.
func (p *pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	n, now := 0, time.Now()
	for n < len(p.idle) && now.Sub(p.idle[n].idle) >= p.idleTimeout {
		delete(p.conns, p.idle[n])
		_ = p.idle[n].Close() // unused
		n++
	}
	p.idle = append(p.idle[:0], p.idle[n:]...)
	clear(p.idle[len(p.idle):cap(p.idle)])
	if len(p.idle) == 0 {
		p.timer = nil
		return
	}
	p.timer.Reset(p.idleTimeout - now.Sub(p.idle[0].idle))
}

func (p *pool) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// close closes every connection, those in use too: their calls report that
// they were cut off.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
	for c := range p.conns {
		_ = c.Close() // nobody waits for it
	}
	p.idle = nil
	for _, g := range p.groups {
		if g.calls == 0 {
			p.drop(g)
		}
	}
	p.mu.Unlock()
	p.aborting.Wait() // calls that were cut off leave at once
}
