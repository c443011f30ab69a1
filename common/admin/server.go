package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/lsm/fiso/common/connlimit"
)

// Limits of the listener. A scrape of all metrics is a matter of
// milliseconds; who needs longer is stuck, or means no good.
const (
	maxConnections = 64
	maxHeaderBytes = 16 << 10
	readTimeout    = 10 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 2 * time.Minute
	// slowCallerTimeout is how long a caller may take to read a part of its answer
	// where others wait for its connection, and a tenth of it to send its
	// request; a probe waits for a second.
	slowCallerTimeout = 250 * time.Millisecond
	// shutdownTimeout is how long answers under way may take once Run is to
	// end; then their connections are closed.
	shutdownTimeout = 2 * time.Second
)

// Options say what a Server shows and where.
type Options struct {
	// Addr is the address to listen on, host:port. Port 0 takes a free one.
	Addr string
	// Setting is what a person changes to move the server to another port,
	// for the error when it is in use; such as "--metrics-addr or
	// FISO_METRICS_ADDR". "" leaves it at "another address".
	Setting string
	// Registry is what /metrics shows; nil shows nothing.
	Registry *prometheus.Registry
	// Ready is asked at each /readyz, from any goroutine; it must not block.
	// Nil is always ready.
	Ready func() Report
	// Logger is told what goes wrong within the server; nil for nobody.
	Logger *slog.Logger
}

// Server is the server on the metrics port. It listens from New on, and
// answers while Run does.
type Server struct {
	listener net.Listener
	mux      *http.ServeMux
	http     *http.Server
}

// New listens, so that a port in use is known before anything starts. Whoever
// has a Server calls Run, or Close if it does not come to that.
func New(o Options) (*Server, error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(context.Background(), "tcp", o.Addr)
	if err != nil {
		return nil, listenError(o, err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Ready == nil {
		o.Ready = func() Report { return Report{Ready: true} }
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	errorLog := slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn)
	s := &Server{listener: listener, mux: http.NewServeMux()}
	s.mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { serveText(w, http.StatusOK, "ok\n") })
	s.mux.Handle("/readyz", serveReady(o.Ready))
	s.mux.Handle("/metrics", promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{
		ErrorLog: errorLog, ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 8,
	}))
	handler := allowOnlyReads(s.mux)
	if addr, ok := listener.Addr().(*net.TCPAddr); ok && addr.IP.IsLoopback() {
		handler = refuseWebPages(handler)
	}
	s.http = &http.Server{
		Handler: refuseBodies(handler), ErrorLog: errorLog, MaxHeaderBytes: maxHeaderBytes,
		ConnContext: connlimit.ConnContext, ConnState: connlimit.ConnState,
		ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
	}
	return s, nil
}

// listenError says what to do about an address that cannot be had.
func listenError(o Options, err error) error {
	setting := o.Setting
	if setting == "" {
		setting = "another address"
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("metrics address %s is in use by another process: stop that, or set %s", o.Addr, setting)
	}
	return fmt.Errorf("listen on metrics address %q (set %s to change it): %w", o.Addr, setting, err)
}

// Handle mounts a handler beside those of the server, by the patterns of
// http.ServeMux; "GET /{$}" is the page for people. Only GET and HEAD reach it,
// and all limits hold. It is called before Run, and panics on a pattern that is
// taken, as ServeMux does. The context of a request ends with Run's, and the
// handler must return then; one that streams moves its write deadline on by
// http.ResponseController.
func (s *Server) Handle(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }

// Addr is the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run answers until ctx ends, then lets answers under way finish for two
// seconds, closes what is left, and returns nil. It returns an error only if
// the listener breaks. It is called once.
func (s *Server) Run(ctx context.Context) error {
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(connlimit.New(s.listener, maxConnections, slowCallerTimeout)) }()
	select {
	case err := <-served:
		_ = s.http.Close() // the error that broke it is the one to tell
		return fmt.Errorf("serve metrics: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if s.http.Shutdown(grace) != nil {
		_ = s.http.Close() // whoever is still there had its time
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

// Close gives the address back. It is for a Server that never runs.
func (s *Server) Close() error { return s.listener.Close() }
