// Package connlimit bounds the connections of an http.Server, so that callers
// who open connections and hold them keep nobody out:
//
//	limited := connlimit.New(listener, 1024, time.Second)
//	server := &http.Server{Handler: h, ConnContext: connlimit.ConnContext, ConnState: connlimit.ConnState}
//	err := server.Serve(limited)
//
// The handler says with Receiving and Working how far the request of a
// connection is. A connection beyond the bound takes the place of another, in
// this order:
//
//   - of the one that is idle, since its last answer, for the longest time;
//   - of the one whose first head, or body, or whose reading of the answer is
//     the slowest, once that takes longer than the patience of the listener.
//
// Where all are worked on, it waits, and further ones do in the system's queue.
//
// Heads that are not complete may have 4 MiB together, in bytes as they came:
// net/http makes up to twenty times as much of them. Beyond that, the connection
// with the largest is closed.
package connlimit

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// maxHeads is how many bytes all heads that are not complete may have.
const maxHeads = 4 << 20

// Listener is a listener with a bound of connections.
type Listener struct {
	net.Listener
	slots    chan struct{}
	patience time.Duration
	freed    chan struct{} // a connection is no longer worked on
	close    sync.Once
	done     chan struct{}
	born     time.Time    // what moments are counted from
	heads    atomic.Int64 // bytes of heads that are not complete

	mu    sync.Mutex
	conns map[*Conn]struct{}
}

// New bounds the connections of l to n. Patience is how long a caller may take to
// send a request or to read an answer before its connection may be closed for
// another.
func New(l net.Listener, n int, patience time.Duration) *Listener {
	return &Listener{
		Listener: l, patience: patience, slots: make(chan struct{}, n), freed: make(chan struct{}, 1), done: make(chan struct{}),
		born: time.Now(), conns: map[*Conn]struct{}{},
	}
}

// Accept waits for a connection and for a place for it.
func (l *Listener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	for {
		select {
		case l.slots <- struct{}{}:
			return l.enter(inner), nil
		default:
		}
		again := time.NewTimer(l.makeRoom())
		select {
		case l.slots <- struct{}{}:
			again.Stop()
			return l.enter(inner), nil
		case <-l.freed:
		case <-again.C:
		case <-l.done:
			_ = inner.Close() // nobody will answer it
			return nil, net.ErrClosed
		}
	}
}

func (l *Listener) enter(inner net.Conn) *Conn {
	c := &Conn{Conn: inner, l: l, heading: true}
	c.set(phaseReceiving)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
	return c
}

func (l *Listener) now() time.Duration { return time.Since(l.born) }

// makeRoom closes one connection, or says when to look again.
func (l *Listener) makeRoom() time.Duration {
	var idle, slow *Conn
	var idles, slows time.Duration // since when
	l.mu.Lock()
	for c := range l.conns {
		switch p, since := c.standing(); {
		case p == phaseIdle && (idle == nil || since < idles):
			idle, idles = c, since
		case p == phaseReceiving && (slow == nil || since < slows):
			slow, slows = c, since
		}
	}
	l.mu.Unlock()
	if idle == nil {
		left := l.patience
		if slow != nil {
			left += slows - l.now()
		}
		if left > 0 {
			return left
		}
		idle = slow
	}
	_ = idle.Close() // it is given up
	return 0
}

// dropLargestHead closes the connection that has sent the most without
// completing a head.
func (l *Listener) dropLargestHead() {
	var largest *Conn
	most := -1
	l.mu.Lock()
	for c := range l.conns {
		if n := c.headSize(); n > most {
			largest, most = c, n
		}
	}
	l.mu.Unlock()
	if largest != nil {
		_ = largest.Close() // it is given up
	}
}

// Len is how many connections there are.
func (l *Listener) Len() int { return len(l.slots) }

// Close closes the listener and lets Accept return.
func (l *Listener) Close() error {
	l.close.Do(func() { close(l.done) })
	return l.Listener.Close()
}

// phase is how far the request of a connection is.
type phase int32

const (
	phaseIdle      phase = iota // it had one, and waits for another
	phaseReceiving              // the caller sends it, or reads its answer
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
