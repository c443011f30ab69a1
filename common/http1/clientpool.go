package http1

import (
	"slices"
	"sync"
	"time"
)

// pool keeps unused connections by endpoint, the most recently used last. A timer closes
// those that are unused for too long.
type pool struct {
	idleTimeout time.Duration
	maxAge      time.Duration // 0: any
	limit       int

	mu     sync.Mutex
	idle   map[string][]*clientConn
	n      int
	timer  *time.Timer
	closed bool
}

// take removes and returns the connection to endpoint that was used last, or nil. The
// server may have closed it, so the caller must look before it sends a request.
func (p *pool) take(endpoint string) *clientConn {
	for {
		c := p.pop(endpoint)
		if c == nil || p.maxAge <= 0 || time.Since(c.born) <= p.maxAge {
			return c
		}
		_ = c.nc.Close() // it is too old
	}
}

func (p *pool) pop(endpoint string) *clientConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[endpoint]
	if len(list) == 0 {
		return nil
	}
	c := list[len(list)-1]
	list[len(list)-1] = nil
	p.idle[endpoint] = list[:len(list)-1]
	p.n--
	return c
}

// put adds a connection, or closes it if the pool is full.
func (p *pool) put(c *clientConn) {
	c.since, c.ctx = time.Now(), nil
	p.mu.Lock()
	if p.closed || p.n >= p.limit {
		p.mu.Unlock()
		_ = c.nc.Close() // there is no room for it
		return
	}
	if p.idle == nil {
		p.idle = map[string][]*clientConn{}
	}
	p.idle[c.endpoint] = append(p.idle[c.endpoint], c)
	if p.n++; p.timer == nil {
		p.timer = time.AfterFunc(p.idleTimeout, p.sweep)
	}
	p.mu.Unlock()
}

// sweep closes connections that were unused for idleTimeout, and sets the timer for the
// next one.
func (p *pool) sweep() { closeAll(p.takeExpired()) }

func (p *pool) takeExpired() (expired []*clientConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, next := time.Now(), p.idleTimeout
	p.n = 0
	for endpoint, list := range p.idle {
		list = slices.DeleteFunc(list, func(c *clientConn) bool {
			age := now.Sub(c.since)
			if age >= p.idleTimeout {
				expired = append(expired, c)
				return true
			}
			next = min(next, p.idleTimeout-age)
			return false
		})
		if p.idle[endpoint] = list; len(list) == 0 {
			delete(p.idle, endpoint)
		}
		p.n += len(list)
	}
	if p.n > 0 && !p.closed {
		p.timer.Reset(next)
	} else {
		p.timer = nil
	}
	return expired
}

func (p *pool) close() { closeAll(p.takeAll()) }

func (p *pool) takeAll() (all []*clientConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
	for _, list := range p.idle {
		all = append(all, list...)
	}
	p.idle, p.n = nil, 0
	return all
}

// closeAll closes unused connections. The pool is not locked then, because under TLS a
// close writes, and may wait for the server.
func closeAll(conns []*clientConn) {
	for _, c := range conns {
		_ = c.nc.Close() // nobody uses it
	}
}
