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
	// long a request waits for the next source of its path, so that requests are not
	// refused while a source restarts.
	pathLinger = 5 * time.Second
	// slowTimeout is how long a caller may take to send its body before another caller
	// may take its place. For the head of its first request it is a tenth of that.
	slowTimeout = time.Second
	// answerWriteTimeout is how long a caller may take to read its answer.
	answerWriteTimeout = 10 * time.Second
)

// Listeners lets several sources of a process share a port by path. The zero value is
// ready to use. Its owner must call Close.
type Listeners struct {
	mu           sync.Mutex
	open         map[string]*listener // by listen address as configured
	closed       bool
	stopReplaced chan struct{}  // closed by Close; nil: no listener was replaced
	replaced     sync.WaitGroup // the goroutines of listeners that were replaced
	single       bool           // only one source uses it: the port closes with the source
	linger       time.Duration  // 0: pathLinger; set by tests
}

// settings is the part of a configuration that belongs to the port.
type settings struct {
	tls                 config.TLS
	read, headers, idle time.Duration
	maxHeaderBytes      config.Bytes
	maxConnections      int
}

// firstDifference returns the first key in which two settings differ, or "".
func (s settings) firstDifference(o settings) string {
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

// paths are the routes of a port. They outlive its listener.
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
	bounded  *connlimit.Listener // the socket with a limit of connections
	server   *nethttp.Server
	loopback bool
	done     chan struct{} // closed when the server has stopped
	err      error         // why it stopped; read after done is closed

	linger time.Duration

	*paths
	used  int         // sources on this port; guarded by Listeners.mu
	timer *time.Timer // closes the port after linger; guarded by Listeners.mu
}

// join gives s its path on its address, and opens the port if it is not open.
func (ls *Listeners) join(s *Source) (*listener, error) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		return nil, errors.New("the listeners are closed")
	}
	want := s.cfg.settings()
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
	if key := l.settings.firstDifference(want); key != "" {
		return nil, fmt.Errorf("listen %s: another source listens there with a different %s; give both the same, or another address", s.cfg.Listen, key)
	}
	if err := l.addPath(s); err != nil {
		return nil, err
	}
	if opened { // after addPath, so that no caller gets 404
		l.serve()
	}
	l.used++
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	return l, nil
}

// leave undoes join. When the last source leaves, the port closes: at once if it is not
// shared, else after linger.
func (ls *Listeners) leave(l *listener) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l.used--
	switch {
	case l.used > 0 || ls.open[l.address] != l:
	case ls.single:
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

// lingers returns how long a listener stays open without a source.
func (ls *Listeners) lingers() time.Duration {
	if ls.single {
		return 0
	}
	return cmp.Or(ls.linger, pathLinger)
}

// Close closes all listeners at once. Sources that still run return an error, so end
// their contexts first.
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
	if ls.stopReplaced != nil {
		close(ls.stopReplaced)
	}
	ls.replaced.Wait()
}

// shut closes a listener and waits until its server has stopped. Requests that no
// source has taken are answered 503. Answers being written get a short time to finish.
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

// listen opens a port, or takes over an open one. Requests are answered once serve is
// called.
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
			return nil, fmt.Errorf("listen %s: the address is in use by another program, or by a source that writes it differently; "+
				"free it, or change listen: %w", address, err)
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

// addPath assigns the path of s to s.
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

// removePath frees the path of s.
func (l *listener) removePath(s *Source) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	l.routes[s.cfg.Path].unsetSource(s)
}

// ServeHTTP answers a request. It has only one exit, which writes an answer: net/http
// says 200 if a handler returns without one.
func (l *listener) ServeHTTP(w nethttp.ResponseWriter, r *nethttp.Request) {
	reply := l.respond(w, r)
	// A ResponseWriter without support for deadlines leaves the write unbounded.
	_ = nethttp.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerWriteTimeout))
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
