package connlimit

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// phase is the progress of a connection's request.
type phase int32

const (
	phaseIdle      phase = iota // between two requests
	phaseFirst                  // no request yet
	phaseReceiving              // the caller sends the body or reads the answer
	phaseWorking                // the handler works
)

// Conn is a connection of a Listener. Receiving and Working may be called on a nil
// Conn.
type Conn struct {
	net.Conn
	listener   *Listener
	once       sync.Once
	phase      atomic.Int32
	since      atomic.Int64 // when the phase began
	writeBegan atomic.Int64 // when the current write began; 0: there is none

	mu          sync.Mutex
	readingHead bool // a head is awaited or being read
	headBytes   int  // bytes of the head so far
}

// phaseSince returns the phase of a connection and when it began. A connection
// whose caller does not read its answer counts as receiving.
func (c *Conn) phaseSince() (phase, time.Duration) {
	p := phase(c.phase.Load())
	if began := c.writeBegan.Load(); p == phaseWorking && began > 0 {
		return phaseReceiving, time.Duration(began)
	}
	return p, time.Duration(c.since.Load())
}

func (c *Conn) setPhase(p phase) {
	c.since.Store(int64(c.listener.now()))
	c.phase.Store(int32(p))
}

// Receiving reports that the head of a request was read and its body follows. It has
// no effect while a handler works on another request of the connection.
func (c *Conn) Receiving() {
	if c == nil {
		return
	}
	c.setReadingHead(false)
	if phase(c.phase.Load()) != phaseWorking {
		c.setPhase(phaseReceiving)
	}
}

// Working reports that a handler works on a request: the connection is not closed to
// make room until the answer is sent.
func (c *Conn) Working() {
	if c != nil {
		c.setReadingHead(false)
		c.setPhase(phaseWorking)
	}
}

// setReadingHead records whether a head is read next.
func (c *Conn) setReadingHead(heading bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listener.headBytes.Add(-int64(c.headBytes))
	c.readingHead, c.headBytes = heading, 0
}

func (c *Conn) headSize() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.headBytes
}

// Read counts the bytes of heads.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	crowded := false
	if c.readingHead && n > 0 {
		c.headBytes += n
		crowded = c.listener.headBytes.Add(int64(n)) > maxHeadBytes
	}
	c.mu.Unlock()
	if crowded {
		c.listener.dropLargestHead()
	}
	return n, err
}

// Write records when it began, to find callers that do not read.
func (c *Conn) Write(b []byte) (int, error) {
	c.writeBegan.Store(int64(c.listener.now()))
	n, err := c.Conn.Write(b)
	c.writeBegan.Store(0)
	return n, err
}

// CloseWrite lets an http.Server send a FIN before it closes.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close closes the connection and frees its slot, once.
func (c *Conn) Close() error {
	defer c.once.Do(func() {
		c.setReadingHead(false)
		c.listener.mu.Lock()
		delete(c.listener.conns, c)
		c.listener.mu.Unlock()
		<-c.listener.slots
	})
	return c.Conn.Close()
}

type connKey struct{}

// ConnContext is for http.Server.ConnContext: it lets Of find the connection.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if c := unwrap(c); c != nil {
		return context.WithValue(ctx, connKey{}, c)
	}
	return ctx
}

// Of returns the connection of a request's context, or nil.
func Of(ctx context.Context) *Conn {
	c, _ := ctx.Value(connKey{}).(*Conn)
	return c
}

// ConnState is for http.Server.ConnState: a request is worked on until its answer is
// sent, which is after the handler returned.
func ConnState(c net.Conn, state http.ConnState) {
	if l := unwrap(c); l != nil && state == http.StateIdle {
		l.setPhase(phaseIdle)
		l.setReadingHead(true)
		select {
		case l.listener.becameIdle <- struct{}{}:
		default:
		}
	}
}

// unwrap finds the Conn, also beneath TLS.
func unwrap(c net.Conn) *Conn {
	if under, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = under.NetConn()
	}
	l, _ := c.(*Conn)
	return l
}
