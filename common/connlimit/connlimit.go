// Package connlimit bounds the connections of an http.Server, so that callers
// that open connections and hold them do not keep others out:
//
//	limited := connlimit.New(listener, 1024, time.Second)
//	server := &http.Server{Handler: h, ConnContext: connlimit.ConnContext, ConnState: connlimit.ConnState}
//	err := server.Serve(limited)
//
// The handler calls Receiving and Working to say how far the request of a
// connection is. When the bound is reached, a new connection closes another, in
// this order:
//
//   - the one that has been idle, since its last answer, for the longest time;
//   - the one whose first head has been awaited for the longest time, once that
//     is more than a tenth of slowTimeout: a client sends a head with its
//     connection, a flood of connections sends none;
//   - the one that sends its body or reads its answer most slowly, once that takes
//     longer than slowTimeout.
//
// While requests are worked on at all connections, a new one waits, and further
// ones wait in the system's queue.
//
// Incomplete heads may hold 4 MiB together, in bytes as received: net/http uses
// up to twenty times as much for them. Beyond that, the connection with the
// largest head is closed.
package connlimit

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// maxHeadBytes bounds the incomplete heads of all connections.
const maxHeadBytes = 4 << 20

// Listener is a listener with a bound of connections.
type Listener struct {
	net.Listener
	slots       chan struct{}
	slowTimeout time.Duration
	becameIdle  chan struct{} // a request was answered
	close       sync.Once
	done        chan struct{}
	started     time.Time    // the zero of all times here
	headBytes   atomic.Int64 // bytes of heads that are not complete

	mu    sync.Mutex
	conns map[*Conn]struct{}
}

// New bounds the connections of l to n. A caller that takes longer than
// slowTimeout to send a request or to read an answer may be closed for another.
func New(l net.Listener, n int, slowTimeout time.Duration) *Listener {
	return &Listener{
		Listener: l, slowTimeout: slowTimeout, slots: make(chan struct{}, n), becameIdle: make(chan struct{}, 1), done: make(chan struct{}),
		started: time.Now(), conns: map[*Conn]struct{}{},
	}
}

// Accept waits for a connection, and until it is within the bound.
func (l *Listener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	for {
		select {
		case l.slots <- struct{}{}:
			return l.track(inner), nil
		default:
		}
		again := time.NewTimer(l.closeOldest())
		select {
		case l.slots <- struct{}{}:
			again.Stop()
			return l.track(inner), nil
		case <-l.becameIdle:
		case <-again.C:
		case <-l.done:
			_ = inner.Close() // nobody will answer it
			return nil, net.ErrClosed
		}
	}
}

func (l *Listener) track(inner net.Conn) *Conn {
	c := &Conn{Conn: inner, listener: l, readingHead: true}
	c.setPhase(phaseFirst)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
	return c
}

func (l *Listener) now() time.Duration { return time.Since(l.started) }

// closeOldest closes one connection, or returns how long none may be closed.
func (l *Listener) closeOldest() time.Duration {
	again := l.slowTimeout
	for _, o := range l.oldestByPhase() {
		if o.conn == nil {
			continue
		}
		left := o.since - l.now()
		switch o.phase {
		case phaseFirst:
			left += l.slowTimeout / 10
		case phaseReceiving:
			left += l.slowTimeout
		}
		if left <= 0 {
			_ = o.conn.Close() // nothing to do about an error
			return 0
		}
		again = min(again, left)
	}
	return again
}

// candidate is a connection that may be closed, and when its phase began.
type candidate struct {
	conn  *Conn
	phase phase
	since time.Duration
}

// oldestByPhase returns the connection that has been in a phase for the longest
// time, for each phase but the last, in the order in which they are closed.
func (l *Listener) oldestByPhase() [phaseWorking]candidate {
	var oldest [phaseWorking]candidate
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		p, since := c.phaseSince()
		if p != phaseWorking && (oldest[p].conn == nil || since < oldest[p].since) {
			oldest[p] = candidate{c, p, since}
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
		_ = largest.Close() // nothing to do about an error
	}
}

// Len is how many connections there are.
func (l *Listener) Len() int { return len(l.slots) }

// Close closes the listener and lets Accept return.
func (l *Listener) Close() error {
	l.close.Do(func() { close(l.done) })
	return l.Listener.Close()
}
