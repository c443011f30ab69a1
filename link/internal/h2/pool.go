package h2

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// pool has the connections to targets, by endpoint. Calls share one up to the
// streams that the target allows; then another is made. One goroutine dials for
// all who wait, and close waits for it.
type pool struct {
	age          time.Duration
	drainTimeout time.Duration // the library may take, of a connection
	connect      func(ctx context.Context, endpoint string) (connection, *handshakeConn, error)

	mu        sync.Mutex // never held while a connection is asked anything
	endpoints map[string]*endpointConns
	closed    bool
	ctx       context.Context
	stop      context.CancelFunc
	dials     sync.WaitGroup
}

// endpointConns is one endpoint.
type endpointConns struct {
	streams int       // at once, at first, of a new connection; 0: as many as the target allows
	conns   []*pooled // replaced and never changed, for those who look
	dialing *dialing  // nil: nobody dials
}

type dialing struct {
	over chan struct{}
	err  error // read once over is closed
}

// connection is what the library has of one: http.ClientConn. Its methods take
// locks that are not ours, and may hang, so that they are called only in goroutines
// that can be left behind (attempt.run, within).
type connection interface {
	RoundTrip(r *http.Request) (*http.Response, error)
	Reserve() error
	Release()
	Available() int
	InFlight() int
	Err() error
	Close() error
	SetStateHook(f func(*http.ClientConn))
}

// withTimeout has the library do something, and closes its connection under it when
// that takes too long; it reports whether it came back in time.
func withTimeout(d time.Duration, raw net.Conn, do func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		_ = raw.Close() // it may be closed
		return false
	}
}

// pooled is one connection, and the calls that use it.
type pooled struct {
	pool     *pool
	endpoint string
	http     connection
	raw      *handshakeConn // below it
	born     time.Time

	mu      sync.Mutex
	calls   map[*attempt]struct{}
	served  int  // calls that were answered
	streams int  // at once; 0: as many as the target allows
	used    bool // it has had a call: a new one is never too old
	retired bool // it takes no further call
}

func newPool(age, letGo time.Duration, connect func(context.Context, string) (connection, *handshakeConn, error)) *pool {
	p := &pool{age: age, drainTimeout: letGo, connect: connect, endpoints: map[string]*endpointConns{}}
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p
}

var errClosed = errors.New("the target was changed or removed")

// take is a connection to the endpoint with a stream reserved for the attempt,
// which uses it and then gives it back by release.
func (p *pool) take(ctx context.Context, endpoint string, a *attempt) (*pooled, error) {
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		conns, d, err := p.current(endpoint)
		if err != nil {
			return nil, err
		}
		if c := p.reserve(conns, a); c != nil {
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

// current is what there is now.
func (p *pool) current(endpoint string) ([]*pooled, *dialing, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, errClosed
	}
	if at := p.endpoints[endpoint]; at != nil {
		return at.conns, at.dialing, nil
	}
	return nil, nil, nil
}

// reserve finds one that has room for an attempt.
func (p *pool) reserve(conns []*pooled, a *attempt) *pooled {
	for _, c := range conns {
		if c.reserveStream(a) {
			return c
		}
	}
	return nil
}

// dial has a connection made, unless somebody was faster.
func (p *pool) dial(endpoint string, known int) *dialing {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.endpoints[endpoint]
	if at == nil {
		at = &endpointConns{}
	}
	if at.dialing != nil {
		return at.dialing
	}
	d := &dialing{over: make(chan struct{})}
	if p.closed || len(at.conns) > known {
		close(d.over) // look again
		return d
	}
	at.dialing, p.endpoints[endpoint] = d, at
	p.dials.Go(func() {
		c, err := p.open(endpoint)
		p.dialled(endpoint, c, err)
		d.err = err
		close(d.over)
	})
	return d
}

var errNoStreams = errors.New("the target takes no streams")

// open makes a connection that takes at least one stream.
func (p *pool) open(endpoint string) (*pooled, error) {
	cc, raw, err := p.connect(p.ctx, endpoint)
	if err != nil {
		return nil, err
	}
	c := &pooled{pool: p, endpoint: endpoint, http: cc, raw: raw, born: time.Now(), calls: map[*attempt]struct{}{}}
	streams := 0
	if !withTimeout(p.drainTimeout, raw, func() { streams = cc.Available() }) {
		return nil, errHangs
	}
	if streams == 0 {
		c.shut(p.drainTimeout) // it is of no use, and another would not be
		return nil, errNoStreams
	}
	return c, nil
}

func (p *pool) dialled(endpoint string, c *pooled, err error) {
	p.mu.Lock()
	at, closed := p.endpoints[endpoint], p.closed
	kept := false
	if at != nil {
		at.dialing = nil
		if err == nil && !closed {
			kept = true
			c.streams = at.streams
			at.conns = append(slices.Clip(at.conns), c)
		}
		p.forget(endpoint, at)
	}
	p.mu.Unlock()
	switch {
	case kept:
		withTimeout(p.drainTimeout, c.raw, func() {
			c.http.SetStateHook(func(cc *http.ClientConn) {
				if cc.Err() != nil {
					c.retire()
				}
			})
		})
	case err == nil:
		c.shut(p.drainTimeout) // nobody waits for it any more
	}
}

// maxEndpoints bounds the endpoints that are remembered for their few streams alone.
const maxEndpoints = 256

// forget lets go of a place that has nothing, and waits for nothing. Called with
// the lock held.
func (p *pool) forget(endpoint string, at *endpointConns) {
	if len(at.conns) == 0 && at.dialing == nil && (at.streams == 0 || len(p.endpoints) > maxEndpoints) {
		delete(p.endpoints, endpoint)
	}
}

// closeTimeout is how long close waits for the library.
const closeTimeout = time.Second

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	var all []*pooled
	for _, at := range p.endpoints {
		all = append(all, at.conns...)
	}
	p.mu.Unlock()
	p.stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.dials.Wait()
		var shut sync.WaitGroup
		for _, c := range all {
			if c.removeFromPool() {
				shut.Go(func() { c.shut(closeTimeout) })
			}
		}
		shut.Wait()
	}()
	select {
	case <-done:
	case <-time.After(2 * closeTimeout):
	}
}

// addCall counts an attempt, unless the connection takes none any more; old: it has
// had its time.
func (c *pooled) addCall(a *attempt) (old, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retired || c.streams > 0 && len(c.calls) >= c.streams {
		return false, false
	}
	old = c.used && time.Since(c.born) > c.pool.age
	c.used = c.used || !old
	c.calls[a] = struct{}{}
	a.at.Store(c)
	return old, true
}

// reserveStream reserves a stream for the attempt. A connection that is of no use any more
// is retired.
func (c *pooled) reserveStream(a *attempt) bool {
	useless, ok := c.addCall(a)
	if !ok {
		return false
	}
	if !useless {
		useless = c.http.Err() != nil
	}
	if !useless {
		if c.http.Reserve() == nil {
			return true
		}
		useless = c.http.InFlight() == 0 // it is not full, but over
	}
	c.release(a)
	if useless {
		c.retire()
	}
	return false
}

// release ends an attempt's use. The last one closes a connection that is retired.
func (c *pooled) release(a *attempt) {
	a.at.Store(nil)
	c.mu.Lock()
	delete(c.calls, a)
	last := len(c.calls) == 0 && c.retired
	c.mu.Unlock()
	if last {
		go c.shut(c.pool.drainTimeout) // no stream is left on it
	}
}

// manyStreams is where a connection that began with few streams has no limit of ours
// any more.
const manyStreams = 64

// answered counts a call; each lets a connection that began with few streams have
// more, and one that came to many has those after it begin with all.
func (c *pooled) answered() {
	c.mu.Lock()
	c.served++
	c.streams *= 2
	many := c.streams > manyStreams
	if many {
		c.streams = 0
	}
	c.mu.Unlock()
	if many {
		c.pool.begin(c.endpoint, 0)
	}
}

// tooManyUnserved is a connection that went away and left calls unserved. A target that
// does so after each request would leave the same calls again and again, and some
// have begun to serve what they say they have not: Node.js, where the server says
// goodbye while it reads. So the next connections begin with the streams at once
// that this one has served.
func (c *pooled) tooManyUnserved() {
	c.mu.Lock()
	streams := max(c.served, 1)
	c.mu.Unlock()
	if streams <= manyStreams {
		c.pool.begin(c.endpoint, streams)
	}
}

// begin says with how many streams connections to an endpoint begin.
func (p *pool) begin(endpoint string, streams int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.endpoints[endpoint]
	if at == nil {
		if streams == 0 || p.closed {
			return
		}
		at = &endpointConns{}
		p.endpoints[endpoint] = at
	}
	at.streams = streams
	p.forget(endpoint, at)
}

// retire has it take no further call; those under way end as they do.
func (c *pooled) retire() {
	if c.removeFromPool() {
		go c.shut(c.pool.drainTimeout) // no stream is left on it
	}
}

// removeFromPool takes the connection out of the pool, and reports whether it is for the
// caller to close it.
func (c *pooled) removeFromPool() bool {
	c.mu.Lock()
	last := !c.retired && len(c.calls) == 0
	c.retired = true
	c.mu.Unlock()
	p := c.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := p.endpoints[c.endpoint]; at != nil {
		if i := slices.Index(at.conns, c); i >= 0 {
			at.conns = slices.Concat(at.conns[:i], at.conns[i+1:])
		}
		p.forget(c.endpoint, at)
	}
	return last
}

// shut closes the connection, in a bounded time.
func (c *pooled) shut(d time.Duration) {
	withTimeout(d, c.raw, func() { _ = c.http.Close() }) // no stream is left on it
}

// abandon gives up a connection in which the library hangs: it is closed under it,
// and the calls on it fail.
func (c *pooled) abandon() {
	c.removeFromPool()
	c.mu.Lock()
	calls := slices.Collect(maps.Keys(c.calls))
	c.mu.Unlock()
	for _, a := range calls {
		a.connectionLost()
	}
	_ = c.raw.Close() // it may be closed
}
