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

// Source receives events by HTTP. Many sources share a port through Listeners.
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

	handling     chan struct{} // holds a token while the handler is called
	drainExpired chan struct{} // closed when Run stops waiting for what is in flight

	mu      sync.Mutex
	state   state
	problem string        // for Status
	running int           // requests that have unsettled events
	idle    chan struct{} // closed once stopping and nothing is running
	ctx     context.Context
	reads   *connector.Assignment // all that the source takes
	handle  connector.Handler
}

// state of a source; it only ever moves forward.
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

// SourceOptions are for Go programs; the zero value is right for most.
type SourceOptions struct {
	// Listeners is shared by the sources of a process. Nil: the source has its
	// address for itself.
	Listeners *Listeners
	// Name is the stream in the position of messages; default: the path.
	Name string
	// Logger is told what goes wrong. Default: nothing is logged.
	Logger *slog.Logger
	// DrainTimeout is how long Run waits, when its context ends, for messages
	// that were handed over. Default 20s.
	DrainTimeout time.Duration
	// Listening is called once the source takes requests, with the address in
	// use. It is for those who listen on port 0.
	Listening func(net.Addr)
}

// NewSource builds a source that does not listen yet. It fills in defaults, and
// fails when the configuration is at fault.
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
		s.listeners = &Listeners{alone: true}
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.drain <= 0 {
		s.drain = defaultDrain
	}
	return s, nil
}

func (s *Source) settings() settings {
	return settings{
		tls: s.cfg.TLS, read: s.cfg.ReadTimeout, headers: s.cfg.HeaderTimeout,
		idle: s.cfg.IdleTimeout, maxHeaderBytes: s.cfg.MaxHeaderBytes, maxConnections: s.cfg.MaxConnections,
	}
}

// SourceGuarantees is what every Source guarantees: nothing beyond the contract.
// A caller keeps what it was not told is settled, and sends it again.
var SourceGuarantees = connector.Guarantees{}

// Guarantees is SourceGuarantees.
func (s *Source) Guarantees() connector.Guarantees { return SourceGuarantees }

// Run listens and hands messages to handle, those of one request in a call, until ctx ends. Those
// in flight then get the drain timeout to be settled and answered; requests that
// were not handed over go to the next source of the path, or are answered with
// 503. It fails when it cannot listen.
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

// start lets Run run once.
func (s *Source) start(ctx context.Context, handle connector.Handler) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != created {
		return errors.New("http source: Run was called before; make a new source")
	}
	s.state, s.ctx, s.handle = serving, ctx, handle
	s.reads = connector.NewAssignment(ctx, s.name)
	return nil
}

// stop refuses further requests.
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

// await waits for what is in flight, bounded.
func (s *Source) await() {
	timer := time.NewTimer(s.drain)
	defer timer.Stop()
	select {
	case <-s.idle:
	case <-timer.C:
		s.mu.Lock()
		left := s.running
		s.mu.Unlock()
		s.logger.Warn("http source: stopped with requests unsettled; their callers are told to send them again", "path", s.cfg.Path, "requests", left)
	}
	close(s.drainExpired)
}

const tooManyRequests = "too many requests are being worked on"

// full says whether enter would refuse.
func (s *Source) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == serving && s.running >= s.cfg.MaxRequests
}

// serves says whether the source has not ended.
func (s *Source) serves() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == serving
}

// enter counts a request in whose body and sender are known. It reports false
// when the source is stopping, and the request is for the next one.
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

// exit counts a request out, all of whose events are settled.
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

// Status says whether the source listens.
func (s *Source) Status() connector.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return connector.Status{Problem: s.problem}
}
