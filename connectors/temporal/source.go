package temporal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/lsm/fiso/common/backoff"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

// ActivityName is the name by which workflows call the source.
const ActivityName = "fiso.publish"

const defaultDrain = 20 * time.Second

// Source receives events from workflows. It is a connector.Source, Reporter and
// Checker.
type Source struct {
	cfg    SourceConfig
	opts   SourceOptions
	log    *slog.Logger
	server *endpoint
	codec  *codec
	health health

	// acceptAfter is how long a poll must wait without an error before the source counts
	// as accepted by the server.
	acceptAfter time.Duration
	restart     backoff.Policy // between a worker that failed and the next one
	newWorker   func(client.Client, string, worker.Options) worker.Worker

	handling     chan struct{} // holds a token while the handler runs
	drainExpired chan struct{} // closed when Run stops waiting for events in flight
	expireDrain  func()        // closes drainExpired; may be called twice
	flights      flights
	attempts     sync.WaitGroup // calls of publish

	mu         sync.Mutex
	ended      bool
	ctx        context.Context // of Run; nil before
	assignment *connector.Assignment
	handle     connector.Handler
}

var (
	_ connector.Source   = (*Source)(nil)
	_ connector.Reporter = (*Source)(nil)
	_ connector.Checker  = (*Source)(nil)
)

// SourceOptions are options for Go programs. The zero value is right for most.
type SourceOptions struct {
	// Name is the stream in the position of messages, and part of the worker's identity
	// on the server; default: the task queue.
	Name string
	// Logger logs failures, those of the SDK too. nil: nothing is logged.
	Logger *slog.Logger
	// Dial opens connections instead of a net.Dialer. It is given the configured address;
	// the source adds TLS.
	Dial DialFunc
	// DrainTimeout is how long Run waits, after its context has ended, for events that
	// were handed over. 0: 20s.
	DrainTimeout time.Duration
}

// NewSource builds a source without connecting. It fills in defaults, and fails if the
// configuration is not valid or a TLS file cannot be read.
func NewSource(cfg SourceConfig, opts SourceOptions) (*Source, error) {
	config.Defaults(&cfg)
	s, err := newSource(cfg, opts)
	if err != nil {
		return nil, fmt.Errorf("temporal source: %w", err)
	}
	return s, nil
}

func newSource(cfg SourceConfig, opts SourceOptions) (*Source, error) {
	if cfg.Address == "" {
		return nil, errors.New("address is required")
	}
	if err := errors.Join(cfg.Validate(), cfg.TLS.Validate(), cfg.Auth.OAuth2.TLS.Validate(), cfg.Codec.TLS.Validate()); err != nil {
		return nil, err
	}
	s := &Source{
		cfg: cfg, opts: opts, log: opts.Logger,
		acceptAfter: 3 * time.Second,
		restart:     backoff.Policy{Initial: 500 * time.Millisecond, Max: 10 * time.Second, Jitter: 0.2},
		newWorker:   worker.New,
		handling:    make(chan struct{}, 1), drainExpired: make(chan struct{}),
		flights: newFlights(4 * cfg.MaxInFlight),
	}
	s.expireDrain = sync.OnceFunc(func() { close(s.drainExpired) })
	s.opts.Name = cmp.Or(opts.Name, cfg.TaskQueue)
	s.opts.DrainTimeout = cmp.Or(max(opts.DrainTimeout, 0), defaultDrain)
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.codec, err = newCodec(cfg.Codec, cfg.Namespace); err != nil {
		return nil, err
	}
	if s.server, err = newEndpoint(&cfg.ClientConfig, opts.Dial); err != nil {
		return nil, err
	}
	s.health.set(aspectServer, errors.New("not connected yet"))
	return s, nil
}

// SourceGuarantees is what every Source guarantees: the workers of a task queue share its
// calls. Whether an event that was not settled comes again is up to the retry policy of the
// workflow, so the source does not promise it. Calls run side by side, so there is no order
// between them; a workflow that awaits each call has its order.
var SourceGuarantees = connector.Guarantees{Assigns: true}

// Guarantees returns SourceGuarantees.
func (s *Source) Guarantees() connector.Guarantees { return SourceGuarantees }

// Run takes calls of the activity and hands their events to handle, one at a time, until
// ctx ends. Events in flight are then settled within the drain timeout; the others fail
// their attempt, so that Temporal gives it to another worker. When the server cannot be
// reached, or refuses the credentials or the namespace, Status says so and Run tries again.
// Run returns an error only if it is called twice.
func (s *Source) Run(ctx context.Context, handle connector.Handler) error {
	if err := s.start(ctx, handle); err != nil {
		return err
	}
	var clock sync.WaitGroup
	clock.Go(func() { s.limitDrain(ctx) })
	for retry := 1; ctx.Err() == nil; retry++ {
		began := time.Now()
		err := s.runWorker(ctx)
		if ctx.Err() != nil {
			break
		}
		s.report(aspectServer, err)
		if time.Since(began) > time.Minute {
			retry = 0 // it worked for a while
		}
		wait(ctx, s.restart.Delay(retry))
	}
	s.end()
	clock.Wait()
	return nil
}

// limitDrain ends the drain when its time is over.
func (s *Source) limitDrain(ctx context.Context) {
	<-ctx.Done()
	timer := time.NewTimer(s.opts.DrainTimeout)
	defer timer.Stop()
	select {
	case <-timer.C:
		s.expireDrain()
	case <-s.drainExpired:
	}
}

// end gives up what is still in flight, and waits until no attempt is left.
func (s *Source) end() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.expireDrain()
	s.attempts.Wait()
	if left := s.flights.inFlight(); left > 0 {
		s.log.Warn("temporal source stopped with unsettled events", "source", s.opts.Name, "events", left)
	}
	s.health.stop()
	s.codec.close()
	s.server.close()
}

// begin counts an attempt in. It reports false if Run has ended.
func (s *Source) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.attempts.Add(1)
	return true
}

// start makes sure that Run runs only once.
func (s *Source) start(ctx context.Context, handle connector.Handler) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx != nil {
		return errors.New("temporal source: Run was called before; make a new source")
	}
	s.ctx, s.handle = ctx, handle
	s.assignment = connector.NewAssignment(ctx, s.opts.Name)
	return nil
}

// wait waits for a time, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Status reports why the source does not receive events, if so.
func (s *Source) Status() connector.Status { return s.health.status() }
