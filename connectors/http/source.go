package http

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	nethttp "net/http"
	"strings"
	"sync"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

const defaultDrain = 20 * time.Second

// Source receives events by HTTP. Several sources share a port through Listeners.
type Source struct {
	cfg       SourceConfig
	name      string
	auth      *authorizer
	decoder   decoder
	browsers  *nethttp.CrossOriginProtection
	listeners *Listeners
	logger    *slog.Logger
	drain     time.Duration
	listening func(net.Addr)

	handling     chan struct{} // holds a token while the handler runs
	drainExpired chan struct{} // closed when Run stops waiting for requests in flight

	mu         sync.Mutex
	state      state
	problem    string        // for Status
	running    int           // requests with unsettled events
	idle       chan struct{} // closed when the source is ending and running is 0
	ctx        context.Context
	assignment *connector.Assignment // of all messages
	handle     connector.Handler
}

// state of a source. It only moves forward.
type state int

const (
	created state = iota
	serving
	ending
)

var (
	_ connector.Source   = (*Source)(nil)
	_ connector.Reporter = (*Source)(nil)
)

// SourceOptions are options for Go programs. The zero value is right for most.
type SourceOptions struct {
	// Listeners is shared by the sources of a process. nil: the source has its port for
	// itself.
	Listeners *Listeners
	// Name is the stream in the position of messages; default: the path.
	Name string
	// Logger logs failures. nil: nothing is logged.
	Logger *slog.Logger
	// DrainTimeout is how long Run waits, after its context has ended, for messages
	// that were handed over. 0: 20s.
	DrainTimeout time.Duration
	// Listening is called with the address once the source takes requests. It is for
	// programs that listen on port 0.
	Listening func(net.Addr)
}

// NewSource builds a source without listening. It fills in defaults, and fails if the
// configuration is not valid.
func NewSource(cfg SourceConfig, opts SourceOptions) (*Source, error) {
	config.Defaults(&cfg)
	if err := errors.Join(cfg.Validate(), cfg.TLS.Validate()); err != nil {
		return nil, fmt.Errorf("http source: %w", err)
	}
	s := &Source{
		cfg: cfg, name: opts.Name, auth: newAuthorizer(cfg.Auth), decoder: decoder{maxEvents: cfg.MaxBatchEvents},
		browsers:  nethttp.NewCrossOriginProtection(),
		listeners: opts.Listeners, logger: opts.Logger, drain: opts.DrainTimeout, listening: opts.Listening,
		handling: make(chan struct{}, 1), drainExpired: make(chan struct{}), idle: make(chan struct{}),
		problem: "not listening yet",
	}
	if s.name == "" {
		s.name = cfg.Path
	}
	if s.auth.kind == authHMAC {
		s.decoder.secret = strings.ToLower(s.auth.header)
	}
	if s.listeners == nil {
		s.listeners = &Listeners{single: true}
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.drain <= 0 {
		s.drain = defaultDrain
	}
	return s, nil
}

func (c *SourceConfig) settings() settings {
	return settings{
		tls: c.TLS, read: c.ReadTimeout, headers: c.HeaderTimeout,
		idle: c.IdleTimeout, maxHeaderBytes: c.MaxHeaderBytes, maxConnections: c.MaxConnections,
	}
}

// ListenerDifference returns the first key that keeps two sources from sharing a
// listener, or "".
func (c *SourceConfig) ListenerDifference(other *SourceConfig) string {
	return c.settings().firstDifference(other.settings())
}

// SourceGuarantees is what every Source guarantees: nothing beyond the contract. A
// caller keeps an event until it is told that the event is settled, and otherwise sends
// it again.
var SourceGuarantees = connector.Guarantees{}

// Guarantees returns SourceGuarantees.
func (s *Source) Guarantees() connector.Guarantees { return SourceGuarantees }

// Run listens and hands messages to handle, those of one request in one call, until ctx
// ends. Messages in flight are then settled and answered within the drain timeout.
// Requests that were not handed over go to the next source of the path, or are answered
// with 503. Run fails if it cannot listen.
func (s *Source) Run(ctx context.Context, handle connector.Handler) error {
	if err := s.start(ctx, handle); err != nil {
		return err
	}
	l, err := s.listeners.join(s)
	if err != nil {
		s.setProblem(err.Error())
		return fmt.Errorf("http source: %w", err)
	}
	defer s.listeners.leave(l)
	s.setProblem("")
	if s.listening != nil {
		s.listening(l.socket.Addr())
	}
	select {
	case <-ctx.Done():
	case <-l.done:
		err = fmt.Errorf("http source: listen %s: %w", s.cfg.Listen, l.err)
	}
	l.removePath(s)
	s.stop(err)
	s.await()
	return err
}

// start makes sure that Run runs only once.
func (s *Source) start(ctx context.Context, handle connector.Handler) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != created {
		return errors.New("http source: Run was called before; make a new source")
	}
	s.state, s.ctx, s.handle = serving, ctx, handle
	s.assignment = connector.NewAssignment(ctx, s.name)
	return nil
}

// stop makes the source refuse further requests.
func (s *Source) stop(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.problem = ending, "stopped"
	if cause != nil {
		s.problem = cause.Error()
	}
	if s.running == 0 {
		close(s.idle)
	}
}

// await waits for requests in flight, up to the drain timeout.
func (s *Source) await() {
	timer := time.NewTimer(s.drain)
	defer timer.Stop()
	select {
	case <-s.idle:
	case <-timer.C:
		s.mu.Lock()
		left := s.running
		s.mu.Unlock()
		s.logger.Warn("http source stopped with unsettled requests", "path", s.cfg.Path, "requests", left)
	}
	close(s.drainExpired)
}

const tooManyRequests = "too many requests are being processed"

// full reports whether enter would refuse a request.
func (s *Source) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == serving && s.running >= s.cfg.MaxRequests
}

// serves reports whether the source is running.
func (s *Source) serves() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == serving
}

// enter counts in a request whose body has been read and whose sender has been checked.
// It reports false if the source is ending and the request is for the next one.
func (s *Source) enter() (bool, *problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state != serving:
		return false, nil
	case s.running >= s.cfg.MaxRequests:
		return true, busy(tooManyRequests)
	}
	s.running++
	return true, nil
}

// exit counts out a request whose events are all settled.
func (s *Source) exit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	if s.state == ending && s.running == 0 {
		close(s.idle)
	}
}

func (s *Source) setProblem(problem string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problem = problem
}

// Status reports why the source does not listen, if so.
func (s *Source) Status() connector.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return connector.Status{Problem: s.problem}
}
