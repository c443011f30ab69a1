package http1

import (
	"sync"
	"time"
)

// pool keeps unused connections, by endpoint, the most recently used last. It
// owns no goroutine: what is too old is closed by a timer.
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

// take is the unused connection to the endpoint that was used last, or nil. Who
// takes it looks whether it is still good: a request on one that the target has
// closed would be lost, and might not be made again.
func (p *pool) take(endpoint string) *clientConn {
	for {
		c := p.pop(endpoint)
		if c == nil || p.maxAge <= 0 || time.Since(c.born) <= p.maxAge {
			return c
		}
		_ = c.nc.Close() // nobody uses it
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

// put takes a connection back.
func (p *pool) put(c *clientConn) {
	c.since, c.ctx = time.Now(), nil
	p.mu.Lock()
	if p.closed || p.n >= p.limit {
		p.mu.Unlock()
		_ = c.nc.Close() // there are enough
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

// sweep closes what was unused for too long, and comes again when the next one will
// have been.
func (p *pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	next := p.idleTimeout
	for endpoint, list := range p.idle {
		old := 0
		for old < len(list) && now.Sub(list[old].since) >= p.idleTimeout {
			_ = list[old].nc.Close() // nobody waits for it
			old++
		}
		if p.n -= old; old == len(list) {
			delete(p.idle, endpoint)
			continue
		}
		next = min(next, p.idleTimeout-now.Sub(list[old].since))
		p.idle[endpoint] = append(list[:0], list[old:]...)
		clear(list[len(list)-old:])
	}
	if p.n > 0 && !p.closed {
		p.timer.Reset(next)
	} else {
		p.timer = nil
	}
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
	for _, list := range p.idle {
		for _, c := range list {
			_ = c.nc.Close() // nobody waits for it
		}
	}
	p.idle, p.n = nil, 0
}
