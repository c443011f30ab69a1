package grpc

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/lsm/fiso/common/connlimit"
)

// slowTimeout is how long a write to a connection may take before another connection may
// take its place. For the first call of a connection it is a tenth of that.
const slowTimeout = 10 * time.Second

// shutTimeout is how long a listener without sources takes at most to send its last
// answers.
const shutTimeout = time.Second

// Listeners lets several sources of a process share a port. Producers then name the flow
// in the metadata fiso-flow. Make it with NewListeners. Its owner must call Close.
type Listeners struct {
	logger *slog.Logger  // nil: that of the source that opens the port
	single bool          // only one source uses it: the port closes with the source
	linger time.Duration // 0: routeLinger; set by tests

	mu     sync.Mutex
	open   map[string]*listener // by listen address as configured
	closed bool
}

// NewListeners returns listeners without a port. A nil logger logs nothing.
func NewListeners(logger *slog.Logger) *Listeners {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Listeners{logger: logger}
}

// listener is one open port with its flows.
type listener struct {
	address  string
	settings sourceSettings
	socket   net.Listener
	server   *grpc.Server
	health   *health.Server
	codec    codec
	linger   time.Duration
	done     chan struct{} // closed when the server has stopped
	err      error         // why it stopped; read after done is closed

	workers  sync.WaitGroup // readers and writers of streams
	calls    atomic.Int64   // streams and calls at once
	buffered byteBudget     // events received and not settled
	frames   frameBudget    // messages that have not arrived in full

	mu     sync.Mutex
	routes map[string]*route // by flow

	used  int         // sources on this port; guarded by Listeners.mu
	timer *time.Timer // closes the port after linger; guarded by Listeners.mu
}

// join gives s its route on its address, and opens the port if it is not open.
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
		if l != nil {
			ls.shut(l)
		}
		var err error
		if l, err = ls.listen(s.cfg.Listen, want, cmp.Or(ls.logger, s.logger)); err != nil {
			return nil, err
		}
	}
	if key := l.settings.firstDifference(want); key != "" {
		return nil, fmt.Errorf("listen %s: another source listens there with a different %s; give both the same, or another address", s.cfg.Listen, key)
	}
	s.serve(l)
	if !l.addRoute(s) {
		return nil, fmt.Errorf("listen %s: another source has the name %s already; give this one a name of its own", l.address, s.name)
	}
	if opened { // after addRoute, so that no call gets NOT_FOUND
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
		l.timer = time.AfterFunc(l.linger, func() {
			ls.mu.Lock()
			defer ls.mu.Unlock()
			if l.used == 0 && ls.open[l.address] == l {
				ls.shut(l)
			}
		})
	}
}

// Close closes all listeners at once. Sources that still run return an error, so end
// their contexts first.
func (ls *Listeners) Close() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.closed = true
	for _, l := range ls.open {
		ls.shut(l)
	}
}

// shut closes a listener and waits until its server and all goroutines have stopped. If
// all sources have left, answers on their way get a short time to be sent.
func (ls *Listeners) shut(l *listener) {
	delete(ls.open, l.address)
	if l.timer != nil {
		l.timer.Stop()
	}
	l.health.Shutdown()
	graceful := make(chan struct{})
	if l.used > 0 {
		close(graceful)
	} else {
		go func() {
			defer close(graceful)
			l.server.GracefulStop()
		}()
		timer := time.NewTimer(shutTimeout)
		select {
		case <-graceful:
		case <-timer.C:
		}
		timer.Stop()
	}
	l.server.Stop()
	<-graceful
	<-l.done
	l.workers.Wait()
}

// listen opens a port. Calls are answered once serve is called.
func (ls *Listeners) listen(address string, s sourceSettings, logger *slog.Logger) (*listener, error) {
	l := &listener{
		address: address, settings: s, codec: newCodec(), linger: cmp.Or(ls.linger, routeLinger),
		done: make(chan struct{}), routes: map[string]*route{}, health: health.NewServer(),
		buffered: byteBudget{limit: int64(s.maxBuffered)},
		frames: frameBudget{limit: int64(s.maxBuffered), closed: func(bytes int64) {
			logger.Warn("grpc source closed a connection: too many bytes of unfinished messages", "listen", address, "bytes", bytes, "limit", int64(s.maxBuffered))
		}},
	}
	l.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	if ls.single {
		l.linger = 0
	}
	var err error
	if l.server, err = l.newServer(); err != nil {
		return nil, fmt.Errorf("listen %s: %w", address, err)
	}
	if l.socket, err = net.Listen("tcp", address); err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("listen %s: the address is in use by another program, or by a source that writes it differently; "+
				"free it, or change listen: %w", address, err)
		}
		return nil, fmt.Errorf("listen %s: %w", address, err)
	}
	if ls.open == nil {
		ls.open = map[string]*listener{}
	}
	ls.open[address] = l
	return l, nil
}

// serve starts to answer calls.
func (l *listener) serve() {
	bounded := connlimit.New(l.socket, l.settings.maxConnections, slowTimeout)
	go func() {
		defer close(l.done)
		l.err = l.server.Serve(bounded)
	}()
}

func (l *listener) stopped() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// setHealth tells the health service about a flow and about the port. Called with mu
// held.
func (l *listener) setHealth(name string) {
	statusFor := func(serving bool) healthpb.HealthCheckResponse_ServingStatus {
		if serving {
			return healthpb.HealthCheckResponse_SERVING
		}
		return healthpb.HealthCheckResponse_NOT_SERVING
	}
	any := false
	for _, r := range l.routes {
		any = any || r.live(0)
	}
	l.health.SetServingStatus(name, statusFor(l.routes[name].live(0)))
	l.health.SetServingStatus("", statusFor(any))
}
