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
//   - of the one whose first head is awaited for the longest time, once that is
//     more than a tenth of the patience of the listener: a head comes as one with
//     its connection, and whoever floods a port with connections sends none;
//   - of the one whose body or whose reading of the answer is the slowest, once
//     that takes longer than the patience.
//
// Where all are worked on, it waits, and further ones do in the system's queue.
//
// Heads that are not complete may have 4 MiB together, in bytes as they came:
// net/http makes up to twenty times as much of them. Beyond that, the connection
// with the largest is closed.
package connlimit

import (
	"net"
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
	c.set(phaseFirst)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
	return c
}

func (l *Listener) now() time.Duration { return time.Since(l.born) }

// makeRoom closes one connection, or says when to look again.
func (l *Listener) makeRoom() time.Duration {
	again := l.patience
	for _, o := range l.oldest() {
		if o.conn == nil {
			continue
		}
		left := o.since - l.now()
		switch o.phase {
		case phaseFirst:
			left += l.patience / 10
		case phaseReceiving:
			left += l.patience
		}
		if left <= 0 {
			_ = o.conn.Close() // it is given up
			return 0
		}
		again = min(again, left)
	}
	return again
}

// standing is a connection, and since when it has been in a phase.
type standing struct {
	conn  *Conn
	phase phase
	since time.Duration
}

// oldest is those that have been for the longest time in each phase but the last,
// in the order in which they make room.
func (l *Listener) oldest() [phaseWorking]standing {
	var oldest [phaseWorking]standing
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		p, since := c.standing()
		if p != phaseWorking && (oldest[p].conn == nil || since < oldest[p].since) {
			oldest[p] = standing{c, p, since}
		}
	}
	return oldest
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
