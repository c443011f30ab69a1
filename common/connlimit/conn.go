package connlimit

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// phase is how far the request of a connection is.
type phase int32

const (
	phaseIdle      phase = iota // it had one, and waits for another
	phaseFirst                  // its first head is awaited
	phaseReceiving              // the caller sends the rest, or reads the answer
	phaseWorking                // it is being answered
)

// Conn is a connection of a Listener. The methods for its phase are safe on a
// nil Conn.
type Conn struct {
	net.Conn
	l       *Listener
	once    sync.Once
	phase   atomic.Int32
	since   atomic.Int64 // when the phase began
	writing atomic.Int64 // when the write under way began; 0: none is

	mu      sync.Mutex
	heading bool // a head is awaited or on its way
	head    int  // bytes of it so far
}

// standing is the phase of a connection and when it began. One whose caller
// does not read counts as receiving.
func (c *Conn) standing() (phase, time.Duration) {
	p := phase(c.phase.Load())
	if began := c.writing.Load(); p == phaseWorking && began > 0 {
		return phaseReceiving, time.Duration(began)
	}
	return p, time.Duration(c.since.Load())
}

func (c *Conn) set(p phase) {
	c.since.Store(int64(c.l.now()))
	c.phase.Store(int32(p))
}

// Receiving says that the head of a request is there and its body is coming. A
// connection with another request that is worked on stays as it is.
func (c *Conn) Receiving() {
	if c == nil {
		return
	}
	c.setHeading(false)
	if phase(c.phase.Load()) != phaseWorking {
		c.set(phaseReceiving)
	}
}

// Working says that a request is worked on: the connection is kept until its
// answer has gone out.
func (c *Conn) Working() {
	if c != nil {
		c.setHeading(false)
		c.set(phaseWorking)
	}
}

// setHeading says whether what comes next is a head.
func (c *Conn) setHeading(heading bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.l.heads.Add(-int64(c.head))
	c.heading, c.head = heading, 0
}

func (c *Conn) headSize() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head
}

// Read counts the bytes of a head.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	crowded := false
	if c.heading && n > 0 {
		c.head += n
		crowded = c.l.heads.Add(int64(n)) > maxHeads
	}
	c.mu.Unlock()
	if crowded {
		c.l.dropLargestHead()
	}
	return n, err
}

// Write notes since when the caller takes nothing.
func (c *Conn) Write(b []byte) (int, error) {
	c.writing.Store(int64(c.l.now()))
	n, err := c.Conn.Write(b)
	c.writing.Store(0)
	return n, err
}

// CloseWrite lets an http.Server end a connection gently.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close gives the place back, once.
func (c *Conn) Close() error {
	defer c.once.Do(func() {
		c.setHeading(false)
		c.l.mu.Lock()
		delete(c.l.conns, c)
		c.l.mu.Unlock()
		<-c.l.slots
	})
	return c.Conn.Close()
}

type connKey struct{}

// ConnContext is for http.Server: it lets Of find the connection.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if c := unwrap(c); c != nil {
		return context.WithValue(ctx, connKey{}, c)
	}
	return ctx
}

// Of is the connection of a request, by its context; nil when it has none.
func Of(ctx context.Context) *Conn {
	c, _ := ctx.Value(connKey{}).(*Conn)
	return c
}

// ConnState is for http.Server: a connection is worked on until its answer has
// gone out, which is later than the end of the handler.
func ConnState(c net.Conn, state http.ConnState) {
	if l := unwrap(c); l != nil && state == http.StateIdle {
		l.set(phaseIdle)
		l.setHeading(true)
		select {
		case l.l.freed <- struct{}{}:
		default:
		}
	}
}

// unwrap finds the connection under TLS, too.
func unwrap(c net.Conn) *Conn {
	if under, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = under.NetConn()
	}
	l, _ := c.(*Conn)
	return l
}
