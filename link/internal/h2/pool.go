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

// pool holds the connections to targets, by endpoint. Calls share a connection up to
// the number of streams that the target allows; then another is dialled. One goroutine
// dials for all calls that wait, and close waits for it.
type pool struct {
	maxAge         time.Duration
	libraryTimeout time.Duration // for an operation of the library on a connection
	connect        func(ctx context.Context, endpoint string) (connection, *handshakeConn, error)

	mu        sync.Mutex // never held while a method of a connection is called
	endpoints map[string]*endpointConns
	closed    bool
	ctx       context.Context
	stop      context.CancelFunc
	dials     sync.WaitGroup
}

// endpointConns holds the connections to one endpoint.
type endpointConns struct {
	streams int       // concurrent streams with which a new connection begins; 0: as many as the target allows
	conns   []*pooled // replaced, never modified, so that it can be read without the lock
	dialing *dialing  // nil: no dial is under way
}

type dialing struct {
	done chan struct{}
	err  error // read once done is closed
}

// connection is a connection of the library: http.ClientConn. Its methods take locks of
// the library and may hang, so they are called only in goroutines that can be left
// behind (attempt.run, withTimeout).
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

// withTimeout calls do, which calls the library, and closes the connection underneath
// if that takes too long. It reports whether do returned in time.
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
		_ = raw.Close() // it may be closed already
		return false
	}
}

// pooled is one connection with the calls that use it.
type pooled struct {
	pool     *pool
	endpoint string
	http     connection
	raw      *handshakeConn // under http
	born     time.Time

	mu      sync.Mutex
	calls   map[*attempt]struct{}
	served  int  // number of calls answered
	streams int  // concurrent streams allowed; 0: as many as the target allows
	used    bool // it has had a call; an unused connection is never too old
	retired bool // it takes no further call
}

func newPool(maxAge, libraryTimeout time.Duration, connect func(context.Context, string) (connection, *handshakeConn, error)) *pool {
	p := &pool{maxAge: maxAge, libraryTimeout: libraryTimeout, connect: connect, endpoints: map[string]*endpointConns{}}
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p
}

var errClosed = errors.New("the target was changed or removed")

// take returns a connection to the endpoint with a stream reserved for the attempt,
// which returns it by release.
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
		case <-d.done:
			if d.err != nil {
				return nil, d.err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// current returns the connections to an endpoint and its dial under way.
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

// reserve finds a connection with room for an attempt.
func (p *pool) reserve(conns []*pooled, a *attempt) *pooled {
	for _, c := range conns {
		if c.reserveStream(a) {
			return c
		}
	}
	return nil
}

// dial starts to dial, unless a dial is under way or there is a connection that the
// caller has not seen.
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
	d := &dialing{done: make(chan struct{})}
	if p.closed || len(at.conns) > known {
		close(d.done) // the caller looks again
		return d
	}
	at.dialing, p.endpoints[endpoint] = d, at
	p.dials.Go(func() {
		c, err := p.open(endpoint)
		p.dialled(endpoint, c, err)
		d.err = err
		close(d.done)
	})
	return d
}

var errNoStreams = errors.New("the target takes no streams")

// open dials a connection that allows at least one stream.
func (p *pool) open(endpoint string) (*pooled, error) {
	cc, raw, err := p.connect(p.ctx, endpoint)
	if err != nil {
		return nil, err
	}
	c := &pooled{pool: p, endpoint: endpoint, http: cc, raw: raw, born: time.Now(), calls: map[*attempt]struct{}{}}
	streams := 0
	if !withTimeout(p.libraryTimeout, raw, func() { streams = cc.Available() }) {
		return nil, errHangs
	}
	if streams == 0 {
		c.shut(p.libraryTimeout) // it is useless, and another one would be, too
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
		p.dropIfEmpty(endpoint, at)
	}
	p.mu.Unlock()
	switch {
	case kept:
		withTimeout(p.libraryTimeout, c.raw, func() {
			c.http.SetStateHook(func(cc *http.ClientConn) {
				if cc.Err() != nil {
					c.retire()
				}
			})
		})
	case err == nil:
		c.shut(p.libraryTimeout) // the pool is closed
	}
}

// maxEndpoints limits the endpoints that are remembered only for their number of
// streams.
const maxEndpoints = 256

// dropIfEmpty removes an endpoint without connections or a dial. Called with the lock
// held.
func (p *pool) dropIfEmpty(endpoint string, at *endpointConns) {
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

// addCall counts an attempt in, unless the connection takes no more. old says that the
// connection has exceeded its age.
func (c *pooled) addCall(a *attempt) (old, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retired || c.streams > 0 && len(c.calls) >= c.streams {
		return false, false
	}
	old = c.used && time.Since(c.born) > c.pool.maxAge
	c.used = c.used || !old
	c.calls[a] = struct{}{}
	a.conn.Store(c)
	return old, true
}

// reserveStream reserves a stream for the attempt. It retires a connection that is of
// no further use.
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
		useless = c.http.InFlight() == 0 // it is not full, so it has ended
	}
	c.release(a)
	if useless {
		c.retire()
	}
	return false
}

// release ends the use by an attempt. The last one closes a retired connection.
func (c *pooled) release(a *attempt) {
	a.conn.Store(nil)
	c.mu.Lock()
	delete(c.calls, a)
	last := len(c.calls) == 0 && c.retired
	c.mu.Unlock()
	if last {
		go c.shut(c.pool.libraryTimeout) // no stream is left on it
	}
}

// manyStreams: a connection that may have more streams than this has no limit of ours
// any more.
const manyStreams = 64

// answered counts a call that was answered. It doubles the streams of a connection that
// began with few; beyond manyStreams, new connections begin without a limit.
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
		c.pool.setInitialStreams(c.endpoint, 0)
	}
}

// leftUnserved handles a connection that went away and left calls unserved. A target
// that goes away after each request would leave the same calls unserved again and
// again, and some targets have begun to serve calls that they declared unserved:
// Node.js, if the server closes while it reads. So new connections begin with as many
// streams as this one has served.
func (c *pooled) leftUnserved() {
	c.mu.Lock()
	streams := max(c.served, 1)
	c.mu.Unlock()
	if streams <= manyStreams {
		c.pool.setInitialStreams(c.endpoint, streams)
	}
}

// setInitialStreams sets with how many streams new connections to an endpoint begin.
func (p *pool) setInitialStreams(endpoint string, streams int) {
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
	p.dropIfEmpty(endpoint, at)
}

// retire makes the connection take no further call. Calls under way continue.
func (c *pooled) retire() {
	if c.removeFromPool() {
		go c.shut(c.pool.libraryTimeout) // no stream is left on it
	}
}

// removeFromPool removes the connection from the pool, and reports whether the caller
// must close it.
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
		p.dropIfEmpty(c.endpoint, at)
	}
	return last
}

// shut closes the connection, within a time limit.
func (c *pooled) shut(d time.Duration) {
	withTimeout(d, c.raw, func() { _ = c.http.Close() }) // no stream is left on it
}

// abandon gives up a connection in which the library hangs: it closes the connection
// underneath, and the calls on it fail.
func (c *pooled) abandon() {
	c.removeFromPool()
	c.mu.Lock()
	calls := slices.Collect(maps.Keys(c.calls))
	c.mu.Unlock()
	for _, a := range calls {
		a.connectionLost()
	}
	_ = c.raw.Close() // it may be closed already
}
