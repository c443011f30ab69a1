package http

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	nethttp "net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connlimit"
)

const (
	// pathLinger is how long a shared listener stays open without a source, and how
	// long a request waits for the next source of its path, so that a source that
	// restarts refuses nobody.
	pathLinger = 5 * time.Second
	// slowTimeout is how long a caller may take to send its body before its place
	// may be given to another; for the head of its first request, a tenth of it.
	slowTimeout = time.Second
	// answerWrite is how long a caller may take to read its answer.
	answerWrite = 10 * time.Second
)

// Listeners lets several sources of a process share a listener by path. The
// zero value is ready. Whoever owns it closes it.
type Listeners struct {
	mu     sync.Mutex
	open   map[string]*listener // by listen address as configured
	closed bool
	end    chan struct{}  // closed with the Listeners, if any was replaced
	ending sync.WaitGroup // listeners that were replaced
	alone  bool           // for one source: no lingering
	linger time.Duration  // 0: linger; for tests
}

// settings are those parts of a configuration that a listener has once.
type settings struct {
	tls                 config.TLS
	read, headers, idle time.Duration
	maxHeaderBytes      config.Bytes
	maxConnections      int
}

// differs names the first key in which two settings differ, or is empty.
func (s settings) differs(o settings) string {
	switch {
	case s.tls != o.tls:
		return "tls"
	case s.read != o.read:
		return "readTimeout"
	case s.headers != o.headers:
		return "headerTimeout"
	case s.idle != o.idle:
		return "idleTimeout"
	case s.maxHeaderBytes != o.maxHeaderBytes:
		return "maxHeaderBytes"
	case s.maxConnections != o.maxConnections:
		return "maxConnections"
	}
	return ""
}

// paths are the routes of a port, which outlive its listener.
type paths struct {
	mu     sync.RWMutex
	routes map[string]*route
}

func newPaths() *paths { return &paths{routes: map[string]*route{}} }

// listener is one open port with its paths.
type listener struct {
	address  string
	settings settings
	socket   net.Listener
	bounded  *connlimit.Listener // the socket, with a bound of connections
	server   *nethttp.Server
	loopback bool
	done     chan struct{} // closed when the server has stopped
	err      error         // why; read after done

	linger time.Duration

	*paths
	used  int         // sources that joined and did not leave; guarded by Listeners.mu
	timer *time.Timer // guarded by Listeners.mu
}

// join gives s its path on its address, and listens if nobody does yet.
func (ls *Listeners) join(s *Source) (*listener, error) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		return nil, errors.New("the listeners are closed")
	}
	want := s.settings()
	l := ls.open[s.cfg.Listen]
	opened := l == nil || l.stopped() || l.used == 0 && l.settings != want
	if opened {
		port, all := ls.replace(l)
		var err error
		if l, err = listen(s.cfg.Listen, port, all, want, ls.lingers(), s.logger); err != nil {
			return nil, err
		}
		if ls.open == nil {
			ls.open = map[string]*listener{}
		}
		ls.open[s.cfg.Listen] = l
	}
	if key := l.settings.differs(want); key != "" {
		return nil, fmt.Errorf("listen %s: another source listens there with a different %s; give both the same, or another address", s.cfg.Listen, key)
	}
	if err := l.addPath(s); err != nil {
		return nil, err
	}
	if opened { // not before the path is there: a caller must not hear 404
		l.serve()
	}
	l.used++
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	return l, nil
}

// leave ends what join began. The last to leave a listener closes it, after a
// while if it is shared.
func (ls *Listeners) leave(l *listener) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l.used--
	switch {
	case l.used > 0 || ls.open[l.address] != l:
	case ls.alone:
		ls.shut(l)
	default:
		l.timer = time.AfterFunc(ls.lingers(), func() {
			ls.mu.Lock()
			defer ls.mu.Unlock()
			if l.used == 0 && ls.open[l.address] == l {
				ls.shut(l)
			}
		})
	}
}

// lingers is how long a listener stays open without a source.
func (ls *Listeners) lingers() time.Duration {
	if ls.alone {
		return 0
	}
	return cmp.Or(ls.linger, pathLinger)
}

// Close closes all listeners at once. Sources that still run return an error;
// end their contexts first.
func (ls *Listeners) Close() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		return
	}
	ls.closed = true
	for _, l := range ls.open {
		ls.shut(l)
	}
	if ls.end != nil {
		close(ls.end)
	}
	ls.ending.Wait()
}

// shut closes a listener and waits until its server has stopped. Requests that
// no source has taken are told to come again. Answers that are being written get
// a moment.
func (ls *Listeners) shut(l *listener) {
	delete(ls.open, l.address)
	if l.timer != nil {
		l.timer.Stop()
	}
	l.mu.RLock()
	for _, t := range l.routes {
		t.shut()
	}
	l.mu.RUnlock()
	l.shut()
}

// listen opens a port, or goes on with one that is open; serve answers there.
func listen(address string, port *os.File, all *paths, s settings, linger time.Duration, logger *slog.Logger) (*listener, error) {
	if port != nil {
		defer port.Close() //nolint:errcheck // the socket has a descriptor of its own
	}
	l := &listener{address: address, settings: s, linger: linger, done: make(chan struct{}), paths: all}
	l.server = newServer(s, logger)
	l.server.Handler = l
	if !s.tls.IsZero() {
		var err error
		if l.server.TLSConfig, err = s.tls.Server(); err != nil {
			return nil, fmt.Errorf("listen %s: tls: %w", address, err)
		}
	}
	var err error
	if l.socket, err = open(address, port); err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("listen %s: the address is in use by another program, or by a source that writes it differently; free it, or change listen: %w", address, err)
		}
		return nil, fmt.Errorf("listen %s: %w", address, err)
	}
	if tcp, ok := l.socket.Addr().(*net.TCPAddr); ok {
		l.loopback = tcp.IP.IsLoopback()
	}
	l.bounded = connlimit.New(l.socket, connections(s.maxConnections), slowTimeout)
	return l, nil
}

func (l *listener) stopped() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// addPath gives s its path.
func (l *listener) addPath(s *Source) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.routes[s.cfg.Path]
	if t == nil {
		t = newRoute(l.linger)
		l.routes[s.cfg.Path] = t
	}
	if !t.setSource(s) {
		return fmt.Errorf("listen %s: another source has the path %s already; give this one a path of its own", l.address, s.cfg.Path)
	}
	return nil
}

// removePath takes the path from s.
func (l *listener) removePath(s *Source) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	l.routes[s.cfg.Path].unsetSource(s)
}

// ServeHTTP answers a request. It has one way out, and that writes an answer:
// where a handler returns without one, net/http says 200.
func (l *listener) ServeHTTP(w nethttp.ResponseWriter, r *nethttp.Request) {
	reply := l.respond(w, r)
	// Not every server behind w can do this; then the answer is not bounded.
	_ = nethttp.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerWrite))
	reply.write(w, r)
}

// respond passes a request to the route of its path.
func (l *listener) respond(w nethttp.ResponseWriter, r *nethttp.Request) reply {
	l.mu.RLock()
	t := l.routes[r.URL.Path]
	l.mu.RUnlock()
	if t == nil {
		return &problem{status: 404, code: codeNotFound, detail: "no source has this path", closing: true}
	}
	return t.respond(w, r, l.loopback)
}
