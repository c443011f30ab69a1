package http1

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Limits bound what one application connection may use. A zero field means its default,
// which is the last part of its comment.
type Limits struct {
	Head        int           // bytes of a head; 32 KiB
	HeadSetting string        // the name of the setting of Head, for error texts
	HeadTimeout time.Duration // to read a head, and for a new connection to send its first byte; 10 s
	Idle        time.Duration // between two requests; 2 min
	Body        time.Duration // between two reads of a request's body; 30 s
	Write       time.Duration // one write of an answer, unless a call's context bounds it; 30 s
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Head:        positive(l.Head, 32<<10),
		HeadSetting: cmp.Or(l.HeadSetting, "the server takes"),
		HeadTimeout: positive(l.HeadTimeout, 10*time.Second),
		Idle:        positive(l.Idle, 2*time.Minute),
		Body:        positive(l.Body, 30*time.Second),
		Write:       positive(l.Write, 30*time.Second),
	}
}

// positive is v, or usual if v is not positive.
func positive[T int | time.Duration](v, usual T) T {
	if v <= 0 {
		return usual
	}
	return v
}

// Server serves connections of applications. Its fields are set before the first
// ServeConn and do not change after.
type Server struct {
	Limits  Limits
	Handler Handler
	// Refuse answers a malformed request, after which the connection is closed. err says
	// what is wrong, for a person to read.
	Refuse func(w ResponseWriter, status int, err error)
	// HTTP2 serves a connection that begins with the preface of HTTP/2, which it reads
	// again, and returns when the connection is done. nil: such connections are refused.
	HTTP2 func(net.Conn)

	bodyIdle atomic.Int64 // a time.Duration, in place of Limits.Body if longer

	mu       sync.Mutex
	conns    map[*serverConn]struct{}
	stopping atomic.Bool    // set with mu held
	running  sync.WaitGroup // one for each of conns
}

// ServeConn serves a connection until it ends, and closes it. The context of its calls
// ends when ctx does, or when the application goes away.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) {
	c := newServerConn(s, nc)
	if !s.enter(c) {
		_ = nc.Close() // the server is stopping
		return
	}
	defer s.leave(c)
	c.ctx.Begin(ctx)
	defer c.ctx.End(context.Canceled)
	c.serve()
	c.returnBuffers()
}

func (s *Server) enter(c *serverConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Load() {
		return false
	}
	if s.conns == nil {
		s.conns = map[*serverConn]struct{}{}
	}
	s.conns[c] = struct{}{}
	s.running.Add(1)
	return true
}

func (s *Server) leave(c *serverConn) {
	_ = c.nc.Close() // it may be closed already
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.running.Done()
}

// BodiesMayPause lets the body of a request pause for d, if that is longer than
// Limits.Body. It may be called at any time.
func (s *Server) BodiesMayPause(d time.Duration) { s.bodyIdle.Store(int64(d)) }

// MakeRoom closes one in roomShare of the waiting connections, so that in a flood not
// every new connection makes it look at all of them.
const roomShare = 32

// MakeRoom closes some of the connections without a call, and reports whether there were
// any. Those that never sent a request are closed first, and among them those that have
// waited longest. A listener at its limit calls it, so that silent applications do not
// keep others out.
func (s *Server) MakeRoom() bool {
	type candidate struct {
		c     *serverConn
		asked bool
		since time.Time
	}
	var all []candidate
	s.mu.Lock()
	for c := range s.conns {
		c.waitMu.Lock()
		if c.waits == idle || c.waits == half {
			all = append(all, candidate{c, c.asked, c.since})
		}
		c.waitMu.Unlock()
	}
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b candidate) int {
		switch {
		case a.asked == b.asked:
			return a.since.Compare(b.since)
		case b.asked:
			return -1
		}
		return 1
	})
	for _, a := range all[:(len(all)+roomShare-1)/roomShare] {
		a.c.evict()
	}
	return len(all) > 0
}

// Shutdown closes idle connections at once and the others after their call. It returns
// when none is left. When ctx ends, it closes the rest and returns the error of ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopping.Store(true)
	for c := range s.conns {
		c.stop()
	}
	s.mu.Unlock()
	defer context.AfterFunc(ctx, s.closeAll)()
	s.running.Wait()
	return ctx.Err()
}

func (s *Server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.ctx.End(context.Canceled)
		_ = c.nc.Close() // its time is over
	}
}

// errGone ends a connection without an answer.
var errGone = errors.New("the application closed the connection")
