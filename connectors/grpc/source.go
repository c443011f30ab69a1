package grpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

const defaultDrain = 20 * time.Second

// Source receives events by gRPC. Several sources share a port through Listeners.
//
// # What the source promises
//
//   - Each event is answered once, after it was settled: with OK when it was settled
//     with nil, else with UNAVAILABLE and a delay. An event that is too large or not a
//     valid CloudEvent is answered with INVALID_ARGUMENT, and one for which there is no
//     room with RESOURCE_EXHAUSTED. None of them ends the stream.
//   - Events of a key are handed over in the order in which a stream or a Publish sends
//     them. After one of them was handed back, later ones of this key on this stream are
//     handed back too, until the first one is sent again.
//   - Each stream has a credit of its own. A producer that sends twice its credit, or does
//     not read its results, is disconnected.
//   - When the context of Run ends, producers are told in the stream. Events that were
//     handed over are answered if they are settled within the drain timeout; the others
//     are handed back. Streams of other sources on the port do not notice.
type Source struct {
	cfg       SourceConfig
	name      string
	auth      authorizer
	digester  digester
	listeners *Listeners
	logger    *slog.Logger
	drain     time.Duration
	listening func(net.Addr)

	ended        chan struct{} // closed when the source takes no more events
	drainExpired chan struct{} // closed when Run stops waiting for events in flight
	idle         chan struct{} // closed when the source has ended and nothing is unsettled
	closeIdle    func()
	unsettled    atomic.Int64 // events accepted and not settled
	ending       atomic.Bool
	calls        sync.WaitGroup // streams and calls of this source

	mu       sync.Mutex
	state    sourceState
	problem  string    // for Status
	drainEnd time.Time // when drainExpired is closed, at the latest
	listener *listener // set while state is serving or ending

	assignment *connector.Assignment // of all messages; set by Run
	handle     connector.Handler

	readyMu sync.Mutex
	ready   []*intake     // with pending events, in turn
	wake    chan struct{} // one token: ready is not empty
}

// sourceState only moves forward.
type sourceState int

const (
	sourceCreated sourceState = iota
	sourceStarted             // Run was called
	sourceServing             // calls are taken
	sourceEnding
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
	// Name is the flow that producers name in the metadata fiso-flow, and the stream in
	// the position of messages; default: grpc.
	Name string
	// Logger logs failures. nil: nothing is logged.
	Logger *slog.Logger
	// DrainTimeout is how long Run waits, after its context has ended, for messages
	// that were handed over, and the grace that an old stream gets. 0: 20s.
	DrainTimeout time.Duration
	// Listening is called with the address once the source takes calls. It is for
	// programs that listen on port 0.
	Listening func(net.Addr)
}

// NewSource builds a source without listening. It fills in defaults, and fails if the
// configuration is not valid.
func NewSource(cfg SourceConfig, opts SourceOptions) (*Source, error) {
	config.Defaults(&cfg)
	if err := errors.Join(cfg.Validate(), cfg.TLS.Validate()); err != nil {
		return nil, fmt.Errorf("grpc source: %w", err)
	}
	s := &Source{
		cfg: cfg, name: opts.Name, auth: newAuthorizer(cfg.Auth), digester: newDigester(),
		listeners: opts.Listeners, logger: opts.Logger, drain: opts.DrainTimeout, listening: opts.Listening,
		ended: make(chan struct{}), drainExpired: make(chan struct{}), idle: make(chan struct{}),
		wake: make(chan struct{}, 1), problem: "not listening yet",
	}
	s.closeIdle = sync.OnceFunc(func() { close(s.idle) })
	if s.name == "" {
		s.name = "grpc"
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

// SourceGuarantees is what every Source guarantees: the order by key. A producer keeps
// an event until it is told that the event is settled, and otherwise sends it again.
var SourceGuarantees = connector.Guarantees{Orders: true}

// Guarantees returns SourceGuarantees.
func (s *Source) Guarantees() connector.Guarantees { return SourceGuarantees }

// Run listens and hands messages to handle until ctx ends. The streams of the source are
// then drained within the drain timeout. Run fails if it cannot listen.
func (s *Source) Run(ctx context.Context, handle connector.Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.start(ctx, handle); err != nil {
		return err
	}
	l, err := s.listeners.join(s)
	if err != nil {
		s.setProblem(err.Error())
		return fmt.Errorf("grpc source: %w", err)
	}
	defer s.listeners.leave(l)
	dispatched := make(chan struct{})
	go func() {
		defer close(dispatched)
		s.dispatch(ctx)
	}()
	if s.listening != nil {
		s.listening(l.socket.Addr())
	}
	select {
	case <-ctx.Done():
	case <-l.done:
		err = fmt.Errorf("grpc source: listen %s: %w", s.cfg.Listen, l.err)
	}
	l.unroute(s)
	s.stop(err)
	cancel()
	s.await(dispatched)
	return err
}

// start makes sure that Run runs only once.
func (s *Source) start(ctx context.Context, handle connector.Handler) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != sourceCreated {
		return errors.New("grpc source: Run was called before; make a new source")
	}
	s.state, s.handle = sourceStarted, handle
	s.assignment = connector.NewAssignment(ctx, s.name)
	return nil
}

// serve makes the source take calls of a listener.
func (s *Source) serve(l *listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.listener, s.problem = sourceServing, l, ""
}

// stop makes the source take no more events, and tells its calls.
func (s *Source) stop(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.problem, s.drainEnd = sourceEnding, "stopped", time.Now().Add(s.drain)
	if cause != nil {
		s.problem = cause.Error()
	}
	s.ending.Store(true)
	close(s.ended)
	if s.unsettled.Load() == 0 {
		s.closeIdle()
	}
}

// await waits for events in flight and for the dispatcher, up to the drain timeout, then
// ends the calls that are left.
func (s *Source) await(dispatched <-chan struct{}) {
	timer := time.NewTimer(s.drain)
	defer timer.Stop()
	calls := make(chan struct{})
	go func() {
		defer close(calls)
		s.calls.Wait()
	}()
	for _, done := range []<-chan struct{}{dispatched, s.idle, calls} {
		select {
		case <-done:
			continue
		case <-timer.C:
			s.logger.Warn("grpc source stopped with unsettled events", "flow", s.name, "events", s.unsettled.Load())
		}
		break
	}
	close(s.drainExpired)
	<-calls
}

// enter counts a call in. It reports false if the source takes no calls.
func (s *Source) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != sourceServing {
		return false
	}
	s.calls.Add(1)
	return true
}

// exit counts a call out.
func (s *Source) exit() { s.calls.Done() }

// grace returns how long a call of a source that ends may still take.
func (s *Source) grace() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(0, time.Until(s.drainEnd))
}

// reserve takes bytes from the budget of the listener, or reports that there are none.
func (s *Source) reserve(bytes int64) bool { return s.listener.buffered.reserve(bytes) }

func (s *Source) release(bytes int64) { s.listener.buffered.release(bytes) }

// began counts an event in, finished counts it out.
func (s *Source) began() { s.unsettled.Add(1) }

func (s *Source) finished() {
	if s.unsettled.Add(-1) == 0 && s.ending.Load() {
		s.closeIdle()
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
