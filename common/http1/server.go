package http1

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Limits bound what an application may take. Zero values stand for the
// defaults that are named.
type Limits struct {
	Head        int           // bytes of a head; 32 KiB
	HeadSetting string        // what sets Head, for an error
	HeadTimeout time.Duration // from the first byte of a head to its last, and to the first one of a connection; 10 s
	Idle        time.Duration // between two requests; 2 min
	Body        time.Duration // between two reads of a request's body; 30 s
	Write       time.Duration // one write of an answer that no call's context bounds; 30 s
}

func (l Limits) withDefaults() Limits {
	if l.Head <= 0 {
		l.Head = 32 << 10
	}
	if l.HeadSetting == "" {
		l.HeadSetting = "the server takes"
	}
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{{&l.HeadTimeout, 10 * time.Second}, {&l.Idle, 2 * time.Minute}, {&l.Body, 30 * time.Second}, {&l.Write, 30 * time.Second}} {
		if *d.value <= 0 {
			*d.value = d.usual
		}
	}
	return l
}

// Server answers connections of applications. Its fields are set before the
// first ServeConn and not changed after.
type Server struct {
	Limits  Limits
	Handler Handler
	// Refuse answers a request that is malformed, of which nothing else is to
	// be believed; the connection is closed after it. err says what is wrong, in
	// a sentence for a person.
	Refuse func(w ResponseWriter, status int, err error)
	// HTTP2 takes a connection over that begins with HTTP/2's preface, of
	// which what was read is read again, and returns when it is done with. nil:
	// such connections are refused.
	HTTP2 func(net.Conn)

	bodyIdle atomic.Int64 // a longer Limits.Body

	mu       sync.Mutex
	conns    map[*serverConn]struct{}
	stopping atomic.Bool // set with mu held
	left     sync.Cond   // the last connection has gone; L is &mu
}

// ServeConn serves a connection until it ends, and closes it. Calls on it get a
// context that ends when ctx does, or when the application goes away.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) {
	c := newServerConn(s, nc)
	if !s.enter(c) {
		_ = nc.Close() // we are stopping; the application will try another time
		return
	}
	defer s.leave(c)
	c.ctx.Begin(ctx)
	defer c.ctx.End(context.Canceled)
	c.serve()
	c.watch.end()
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
	return true
}

func (s *Server) leave(c *serverConn) {
	_ = c.nc.Close() // it may be closed already
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if len(s.conns) == 0 && s.left.L != nil {
		s.left.Broadcast()
	}
}

// BodiesMayPause says that a request's body may pause for so long, if that is
// longer than Limits.Body: as long as streams of some target may. It may be
// called at any time.
func (s *Server) BodiesMayPause(d time.Duration) { s.bodyIdle.Store(int64(d)) }

// roomShare is the share of waiting connections that make room at once, so that
// a flood costs a look at all of them now and then, and not for each that comes.
const roomShare = 32

// MakeRoom closes connections on which no call is under way: those that never
// asked for anything first, and of these the ones that have waited longest. It
// is for a listener that has as many as it may: a caller that says nothing, or
// half a head, must not keep those out who ask. It reports whether there were any.
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
		if a.asked != b.asked {
			if b.asked {
				return -1
			}
			return 1
		}
		return a.since.Compare(b.since)
	})
	for _, a := range all[:(len(all)+roomShare-1)/roomShare] {
		a.c.evict()
	}
	return len(all) > 0
}

// Shutdown lets calls under way end, and their connections with them; idle ones
// are closed at once. It returns when no connection is left, or closes what is
// left when ctx ends and returns its error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopping.Store(true)
	s.left.L = &s.mu
	for c := range s.conns {
		c.stop()
	}
	s.mu.Unlock()
	defer context.AfterFunc(ctx, s.closeAll)()

	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.conns) > 0 {
		s.left.Wait()
	}
	return ctx.Err()
}

func (s *Server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.ctx.End(context.Canceled)
		_ = c.nc.Close() // what is left has had its time
	}
}

func (s *Server) isStopping() bool { return s.stopping.Load() }

// errGone is why a connection ends without a word: the application left.
var errGone = errors.New("the application closed the connection")
