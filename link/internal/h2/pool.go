package h2

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"
)

// pool has the connections to targets, by endpoint. Calls share one up to the
// streams that the target allows; then another is made. One goroutine dials for
// all who wait, and close waits for it.
type pool struct {
	age     time.Duration
	connect func(ctx context.Context, endpoint string) (*http.ClientConn, error)

	mu     sync.Mutex // never held while a connection is asked anything
	places map[string]*place
	closed bool
	ctx    context.Context
	stop   context.CancelFunc
	dials  sync.WaitGroup
}

// place is one endpoint.
type place struct {
	conns   []*pooled // replaced and never changed, for those who look
	dialing *dialing  // nil: nobody dials
}

type dialing struct {
	over chan struct{}
	err  error // read once over is closed
}

// pooled is one connection, and the calls that use it.
type pooled struct {
	pool     *pool
	endpoint string
	http     *http.ClientConn
	born     time.Time

	mu      sync.Mutex
	calls   int
	used    bool // it has had a call: a new one is never too old
	retired bool // it takes no further call
}

func newPool(age time.Duration, connect func(context.Context, string) (*http.ClientConn, error)) *pool {
	p := &pool{age: age, connect: connect, places: map[string]*place{}}
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p
}

var errNoStreams = errors.New("the target takes no streams")

var errClosed = errors.New("the target was changed or removed")

// take is a connection to the endpoint with a stream reserved, which the caller
// uses and then gives back by release.
func (p *pool) take(ctx context.Context, endpoint string) (*pooled, error) {
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		conns, d, err := p.look(endpoint)
		if err != nil {
			return nil, err
		}
		if c := p.reserve(conns); c != nil {
			return c, nil
		}
		if d == nil {
			d = p.dial(endpoint, len(conns))
		}
		select {
		case <-d.over:
			if d.err != nil {
				return nil, d.err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// look is what there is now.
func (p *pool) look(endpoint string) ([]*pooled, *dialing, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, errClosed
	}
	if at := p.places[endpoint]; at != nil {
		return at.conns, at.dialing, nil
	}
	return nil, nil, nil
}

// reserve finds one that has room, and retires those that are of no use any more.
func (p *pool) reserve(conns []*pooled) *pooled {
	for _, c := range conns {
		if c.http.Err() != nil || c.outlived(p.age) {
			c.retire()
			continue
		}
		if c.enter() {
			return c
		}
	}
	return nil
}

// dial has a connection made, unless somebody was faster.
func (p *pool) dial(endpoint string, known int) *dialing {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.places[endpoint]
	if at == nil {
		at = &place{}
	}
	if at.dialing != nil {
		return at.dialing
	}
	d := &dialing{over: make(chan struct{})}
	if p.closed || len(at.conns) > known {
		close(d.over) // look again
		return d
	}
	at.dialing, p.places[endpoint] = d, at
	p.dials.Go(func() {
		cc, err := p.connect(p.ctx, endpoint)
		if err == nil && cc.Available() == 0 {
			_ = cc.Close() // it is of no use, and another would not be
			err = errNoStreams
		}
		p.dialled(endpoint, cc, err)
		d.err = err
		close(d.over)
	})
	return d
}

func (p *pool) dialled(endpoint string, cc *http.ClientConn, err error) {
	p.mu.Lock()
	at, closed := p.places[endpoint], p.closed
	var c *pooled
	if at != nil {
		at.dialing = nil
		if err == nil && !closed {
			c = &pooled{pool: p, endpoint: endpoint, http: cc, born: time.Now()}
			at.conns = append(slices.Clip(at.conns), c)
		}
		p.forget(endpoint, at)
	}
	p.mu.Unlock()
	switch {
	case c != nil:
		cc.SetStateHook(func(*http.ClientConn) {
			if cc.Err() != nil {
				c.retire()
			}
		})
	case err == nil:
		_ = cc.Close() // nobody waits for it any more
	}
}

// forget lets go of a place that has nothing, and waits for nothing. Called with
// the lock held.
func (p *pool) forget(endpoint string, at *place) {
	if len(at.conns) == 0 && at.dialing == nil {
		delete(p.places, endpoint)
	}
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	var all []*pooled
	for _, at := range p.places {
		all = append(all, at.conns...)
	}
	p.mu.Unlock()
	p.stop()
	p.dials.Wait()
	for _, c := range all {
		c.retire()
	}
}

func (c *pooled) outlived(age time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used && time.Since(c.born) > age
}

// enter reserves a stream.
func (c *pooled) enter() bool {
	c.mu.Lock()
	if c.retired {
		c.mu.Unlock()
		return false
	}
	c.calls++
	c.used = true
	c.mu.Unlock()
	if c.http.Reserve() == nil {
		return true
	}
	c.release()
	if c.http.InFlight() == 0 {
		c.retire() // it is not full, but over
	}
	return false
}

// release ends a call's use. The last one closes a connection that is retired.
func (c *pooled) release() {
	c.mu.Lock()
	c.calls--
	last := c.calls == 0 && c.retired
	c.mu.Unlock()
	if last {
		_ = c.http.Close() // no stream is left on it
	}
}

// retire has it take no further call; those under way end as they do.
func (c *pooled) retire() {
	c.mu.Lock()
	last := !c.retired && c.calls == 0
	c.retired = true
	c.mu.Unlock()
	p := c.pool
	p.mu.Lock()
	if at := p.places[c.endpoint]; at != nil {
		if i := slices.Index(at.conns, c); i >= 0 {
			at.conns = slices.Concat(at.conns[:i], at.conns[i+1:])
		}
		p.forget(c.endpoint, at)
	}
	p.mu.Unlock()
	if last {
		_ = c.http.Close() // no stream is left on it
	}
}
