// Package connlimit limits the connections of an http.Server, so that callers that
// hold connections open do not keep others out:
//
//	limited := connlimit.New(listener, 1024, time.Second)
//	server := &http.Server{Handler: h, ConnContext: connlimit.ConnContext, ConnState: connlimit.ConnState}
//	err := server.Serve(limited)
//
// The handler calls Receiving and Working to report the phase of a connection's
// request. At the limit, a new connection closes an existing one, in this order:
//
//   - the connection that has been idle, since its last answer, for the longest time;
//   - the connection whose first head has been awaited for the longest time, once that
//     exceeds a tenth of slowTimeout: a client sends a head as soon as it connects, a
//     flood of connections sends none;
//   - the connection whose body or answer takes the longest time, once that exceeds
//     slowTimeout.
//
// While handlers work on all connections, a new one waits, and further ones wait in
// the system's queue.
//
// All incomplete heads together may hold 4 MiB, in bytes as received: net/http uses
// up to twenty times as much for them. Beyond that, the connection with the largest
// head is closed.
package connlimit

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// maxHeadBytes limits the incomplete heads of all connections together.
const maxHeadBytes = 4 << 20

// Listener is a net.Listener with a limited number of connections.
type Listener struct {
	net.Listener
	slots       chan struct{}
	slowTimeout time.Duration
	becameIdle  chan struct{} // signals that a request was answered
	close       sync.Once
	done        chan struct{}
	started     time.Time    // all times are relative to this
	headBytes   atomic.Int64 // in incomplete heads

	mu    sync.Mutex
	conns map[*Conn]struct{}
}

// New limits the connections of l to n. At the limit, a caller that takes longer than
// slowTimeout to send a request or to read an answer may be disconnected.
func New(l net.Listener, n int, slowTimeout time.Duration) *Listener {
	return &Listener{
		Listener: l, slowTimeout: slowTimeout, slots: make(chan struct{}, n), becameIdle: make(chan struct{}, 1), done: make(chan struct{}),
		started: time.Now(), conns: map[*Conn]struct{}{},
	}
}

// Accept waits for a connection and for a free slot.
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
			_ = inner.Close() // no handler will answer it
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

// closeOldest closes one connection, or returns how long to wait before the next try.
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
			_ = o.conn.Close() // an error changes nothing
			return 0
		}
		again = min(again, left)
	}
	return again
}

// candidate is a connection that may be closed, and the begin of its phase.
type candidate struct {
	conn  *Conn
	phase phase
	since time.Duration
}

// oldestByPhase returns, for each phase but phaseWorking, the connection that has been
// in it for the longest time. Connections are closed in that order of phases.
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

// dropLargestHead closes the connection with the largest incomplete head.
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
		_ = largest.Close() // an error changes nothing
	}
}

// Len returns the number of connections.
func (l *Listener) Len() int { return len(l.slots) }

// Close closes the listener and makes Accept return.
func (l *Listener) Close() error {
	l.close.Do(func() { close(l.done) })
	return l.Listener.Close()
}
