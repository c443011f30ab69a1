package admin

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// limited is a listener with at most cap(slots) connections open. One more takes
// the place of the one that has asked for nothing for the longest time, so that
// whoever opens connections and says nothing keeps no probe out; where all are
// being answered, it waits, and further ones do in the system's queue.
type limited struct {
	net.Listener
	slots chan struct{}
	freed chan struct{} // a connection is no longer answered
	close sync.Once
	done  chan struct{}

	mu    sync.Mutex
	conns map[*limitedConn]struct{}
}

func limit(l net.Listener, n int) *limited {
	return &limited{
		Listener: l, slots: make(chan struct{}, n), freed: make(chan struct{}, 1), done: make(chan struct{}), conns: map[*limitedConn]struct{}{},
	}
}

func (l *limited) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	for {
		select {
		case l.slots <- struct{}{}:
			return l.enter(inner), nil
		default:
			l.makeRoom()
		}
		select {
		case l.slots <- struct{}{}:
			return l.enter(inner), nil
		case <-l.freed:
		case <-l.done:
			_ = inner.Close() // nobody will answer it
			return nil, net.ErrClosed
		}
	}
}

func (l *limited) enter(inner net.Conn) *limitedConn {
	c := &limitedConn{Conn: inner, l: l, since: time.Now()}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
	return c
}

// makeRoom closes the connection that has asked for nothing for the longest time.
func (l *limited) makeRoom() {
	var oldest *limitedConn
	l.mu.Lock()
	for c := range l.conns {
		if !c.busy && (oldest == nil || c.since.Before(oldest.since)) {
			oldest = c
		}
	}
	l.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close() // it is given up
	}
}

func (l *limited) Close() error {
	l.close.Do(func() { close(l.done) })
	return l.Listener.Close()
}

// limitedConn gives its place back when it is closed, once.
type limitedConn struct {
	net.Conn
	l     *limited
	once  sync.Once
	since time.Time // it was opened, or answered last; guarded by l.mu
	busy  bool      // it is being answered; guarded by l.mu
}

func (c *limitedConn) Close() error {
	defer c.once.Do(func() {
		c.l.mu.Lock()
		delete(c.l.conns, c)
		c.l.mu.Unlock()
		<-c.l.slots
	})
	return c.Conn.Close()
}

func (c *limitedConn) answering(busy bool) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if c.busy, c.since = busy, time.Now(); !busy {
		select {
		case c.l.freed <- struct{}{}:
		default:
		}
	}
}

type connKey struct{}

// withConn is http.Server's ConnContext: it lets marked find the connection.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// marked has the connection count as busy from the beginning of an answer.
func marked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*limitedConn); ok {
			c.answering(true)
		}
		next.ServeHTTP(w, r)
	})
}

// unmark is http.Server's ConnState: the connection is busy until its answer has
// gone out, which is later than the end of the handler.
func unmark(c net.Conn, state http.ConnState) {
	if l, ok := c.(*limitedConn); ok && state == http.StateIdle {
		l.answering(false)
	}
}
