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

// quiet is how long a connection may have been unused and still be taken
// without a look at whether the server closed it meanwhile. A look costs a
// system call.
const quiet = 50 * time.Millisecond

// pool holds the connections to one target, at most as many as it has slots.
// It owns no goroutine: idle connections are closed by a timer. Lock order: mu
// alone; nothing blocks under it.
type pool struct {
	dialer      func(ctx context.Context, network, address string) (net.Conn, error)
	address     string
	tls         *tls.Config // nil: plain
	dialTimeout time.Duration
	idleTimeout time.Duration
	maxAge      time.Duration

	// slots holds a token for each call that has a connection or dials one.
	// A connection goes back to idle before its slot is freed, and is dialled
	// only when nothing is idle, so there are never more of them than slots.
	slots chan struct{}

	mu     sync.Mutex
	idle   []*conn            // the most recently used last
	busy   map[*conn]struct{} // for closing them all
	timer  *time.Timer        // not nil while anything is idle
	closed bool
}

// acquire waits for a slot and returns a connection, dialled if need be. Each
// one is given back by release. The error is ctx's when ctx ended first.
func (p *pool) acquire(ctx context.Context, deadline time.Time) (*conn, error) {
	select {
	case p.slots <- struct{}{}:
	default:
		if err := p.wait(ctx, deadline); err != nil {
			return nil, err
		}
	}
	for c := p.pop(); c != nil; c = p.pop() {
		if c.fresh(p.maxAge) {
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

// fresh reports whether an idle connection can be used.
func (c *conn) fresh(maxAge time.Duration) bool {
	now := time.Now()
	if now.Sub(c.born) > maxAge {
		return false
	}
	return now.Sub(c.idle) < quiet || alive(c.Conn)
}

func (p *pool) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	c := p.idle[last]
	p.idle[last] = nil
	p.idle = p.idle[:last]
	p.busy[c] = struct{}{}
	return c
}

func (p *pool) discard(c *conn) {
	p.mu.Lock()
	delete(p.busy, c)
	p.mu.Unlock()
	// Nobody waits for a connection that is thrown away.
	_ = c.Close()
}

// dial opens a connection, TLS included. Names are resolved each time.
func (p *pool) dial(ctx context.Context, deadline time.Time) (*conn, error) {
	if limit := time.Now().Add(p.dialTimeout); limit.Before(deadline) {
		deadline = limit
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	nc, err := p.dialer(ctx, "tcp", p.address)
	if err != nil {
		return nil, err
	}
	if p.tls != nil {
		secure := tls.Client(nc, p.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = nc.Close() // the handshake's error is the one to report
			return nil, err
		}
		nc = secure
	}
	c := newConn(nc)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = nc.Close() // it was never used
		return nil, connector.ErrClosed
	}
	p.busy[c] = struct{}{}
	return c, nil
}

// release gives a connection back, and closes it when it is spent.
func (p *pool) release(c *conn) {
	c.resp.Reset() // hands a large body back to fasthttp's own pool
	c.idle = time.Now()
	p.mu.Lock()
	if p.closed || c.spent {
		p.mu.Unlock()
		p.discard(c)
		<-p.slots
		return
	}
	delete(p.busy, c)
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

// close closes every connection, those in use too.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
	for _, c := range p.idle {
		_ = c.Close() // unused
	}
	for c := range p.busy {
		_ = c.Close() // its call reports that it was cut off
	}
	p.idle = nil
}
