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

// Limits of the listener. A scrape of all metrics takes milliseconds; a caller that
// needs longer is stuck or hostile.
const (
	maxConnections = 64
	maxHeaderBytes = 16 << 10
	readTimeout    = 10 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 2 * time.Minute
	// slowCallerTimeout is how long a caller may take to read a part of its answer while
	// other callers wait for a connection. It has a tenth of that to send its request.
	// A probe times out after a second.
	slowCallerTimeout = 250 * time.Millisecond
	// shutdownTimeout is how long answers under way may take after the context of Run has
	// ended. Then their connections are closed.
	shutdownTimeout = 2 * time.Second
)

// Options configure a Server.
type Options struct {
	// Addr is the address to listen on, host:port. Port 0 chooses a free port.
	Addr string
	// Setting names the setting of the address, for errors, such as "--metrics-addr or
	// FISO_METRICS_ADDR". "" is "another address".
	Setting string
	// Registry holds the metrics of /metrics; nil is an empty one.
	Registry *prometheus.Registry
	// Ready is called for each request of /readyz, from any goroutine. It must not block.
	// Nil is always ready.
	Ready func() Report
	// Logger logs errors of the server; it may be nil.
	Logger *slog.Logger
}

// Server is the server on the metrics port. It listens from New on, and answers
// during Run.
type Server struct {
	listener net.Listener
	mux      *http.ServeMux
	http     *http.Server
}

// New opens the port, so that a port in use is an error before anything starts. The
// caller calls Run, or Close if Run is never called.
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

// listenError says what to do about an address that cannot be opened.
func listenError(o Options, err error) error {
	setting := o.Setting
	if setting == "" {
		setting = "another address"
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("metrics address %s is in use by another process: stop it, or set %s", o.Addr, setting)
	}
	return fmt.Errorf("listen on metrics address %q (set %s to change it): %w", o.Addr, setting, err)
}

// Handle adds a handler for a pattern of http.ServeMux; "GET /{$}" is the page for
// people. The handler gets only GET and HEAD, and all limits apply. Handle is called
// before Run, and panics if the pattern is taken, as ServeMux does. The context of a
// request ends with that of Run, and the handler must then return. A handler that
// streams extends its write deadline by http.ResponseController.
func (s *Server) Handle(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }

// Addr returns the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run answers until ctx ends. Then it gives answers under way two seconds, closes all
// connections and returns nil. It returns an error only if the listener breaks. It is
// called once.
func (s *Server) Run(ctx context.Context) error {
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(connlimit.New(s.listener, maxConnections, slowCallerTimeout)) }()
	select {
	case err := <-served:
		_ = s.http.Close() // err is the cause
		return fmt.Errorf("serve metrics: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if s.http.Shutdown(grace) != nil {
		_ = s.http.Close() // calls that exceed the timeout
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

// Close closes the listener. It is for a Server that never runs.
func (s *Server) Close() error { return s.listener.Close() }
