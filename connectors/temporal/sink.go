package temporal

import (
	"context"
	"errors"
	"fmt"
	"sync"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

// Sink starts, signals or updates a workflow for each event. It is safe for concurrent
// use.
type Sink struct {
	cfg      SinkConfig
	opts     SinkOptions
	name     string // for errors: the address
	identity string // by which the server's histories name the sink
	conn     *connection
	codec    *codec
	pace     *pacer
	retry    *commonpb.RetryPolicy
	ctx      context.Context // ends with the wait of Close
	cut      context.CancelCauseFunc

	mu      sync.Mutex
	running int // calls under way
	closed  bool
	idle    chan struct{} // closed when the sink is closed and no call is under way
	release sync.Once
}

var (
	_ connector.Sink    = (*Sink)(nil)
	_ connector.Checker = (*Sink)(nil)
)

// SinkOptions are options for Go programs. Call is required.
type SinkOptions struct {
	// Call computes what to send for an event.
	Call CallFunc
	// Flow and SinkName are parts of the request id. Two flows, and two sinks of one
	// flow, that get the same event must differ in one of them; for the same sink they
	// must never change. Flow also begins the default workflow id.
	Flow, SinkName string
	// Dial opens connections instead of a net.Dialer. It is given the configured address;
	// the sink adds TLS.
	Dial DialFunc
	// OnConflict is called for each event of action start whose workflow another event
	// has started: accepted reports whether the event counts as delivered. nil: ignored.
	OnConflict func(accepted bool)
	// TaskQueues and SearchAttributes (types by name) are those that are known without
	// an event. Check looks for them on the server.
	TaskQueues       []string
	SearchAttributes map[string]string
}

// NewSink builds a sink without connecting. It fills in defaults, and fails if the
// configuration is not valid or a TLS file cannot be read.
func NewSink(cfg SinkConfig, opts SinkOptions) (*Sink, error) {
	config.Defaults(&cfg)
	s, err := newSink(cfg, opts)
	if err != nil {
		return nil, fmt.Errorf("temporal sink: %w", err)
	}
	return s, nil
}

func newSink(cfg SinkConfig, opts SinkOptions) (*Sink, error) {
	if cfg.Address == "" {
		return nil, errors.New("address is required")
	}
	if opts.Call == nil {
		return nil, errors.New("SinkOptions.Call is required: it says which workflow an event is for")
	}
	if err := errors.Join(cfg.Validate(), cfg.TLS.Validate(), cfg.Auth.OAuth2.TLS.Validate(), cfg.Codec.TLS.Validate()); err != nil {
		return nil, err
	}
	if err := checkExpected(&opts); err != nil {
		return nil, err
	}
	cfg.withDefaults()
	if opts.OnConflict == nil {
		opts.OnConflict = func(bool) {}
	}
	s := &Sink{
		cfg: cfg, opts: opts, name: "temporal " + cfg.Address, identity: identityOf(&opts),
		pace: newPacer(cfg.PerWorkflow.MaxPerSecond), retry: cfg.Retry.policy(), idle: make(chan struct{}),
	}
	var err error
	if s.codec, err = newCodec(cfg.Codec, cfg.Namespace); err != nil {
		return nil, err
	}
	if s.conn, err = newConnection(&cfg.ClientConfig, opts.Dial); err != nil {
		return nil, err
	}
	s.ctx, s.cut = context.WithCancelCause(context.Background())
	return s, nil
}

func checkExpected(opts *SinkOptions) error {
	for name, kind := range opts.SearchAttributes {
		if _, ok := searchTypeOf(kind); !ok {
			return fmt.Errorf("search attribute %q: %q is none of the types %v", name, kind, SearchAttributeTypes())
		}
	}
	return nil
}

func identityOf(opts *SinkOptions) string {
	id := "fiso"
	for _, part := range []string{opts.Flow, opts.SinkName} {
		if part != "" {
			id += "/" + part
		}
	}
	return id
}

// errAttempt is the cause of an attempt that took too long.
var errAttempt = errors.New("no answer within timeouts.attempt")

// Send makes one attempt to deliver an event. README.md has the table of its errors.
func (s *Sink) Send(ctx context.Context, e *cloudevent.Event) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.end()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.ctx, func() { cancel(context.Cause(s.ctx)) })()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	c, err := s.callOf(ctx, e)
	if err != nil {
		return err
	}
	r, err := s.requestOf(c, e)
	if err != nil {
		return err
	}
	if err := s.pace.wait(ctx, c.WorkflowID); err != nil {
		return s.describe(r, fmt.Errorf("wait for perWorkflow.maxPerSecond: %w", callEnded(ctx)))
	}
	attempt, done := context.WithTimeoutCause(ctx, s.cfg.Timeouts.Attempt, errAttempt)
	defer done()
	outgoing, err := s.prepare(attempt, r)
	if err != nil {
		if cause := callEnded(attempt); cause != nil {
			err = cause
		}
		return s.describe(r, err)
	}
	return s.send(outgoing, r)
}

// prepare encrypts the payloads and returns a context with the credential. Its errors
// have classes.
func (s *Sink) prepare(ctx context.Context, r *request) (context.Context, error) {
	if err := s.codec.encode(ctx, r.secret...); err != nil {
		return nil, err
	}
	outgoing, err := s.conn.outgoing(ctx)
	if err != nil && ctx.Err() != nil && callEnded(ctx) == nil {
		err = connector.AsUnavailable(err, 0) // the attempt ended while a token was fetched
	}
	return outgoing, err
}

// callEnded returns why a call ended from outside, or nil if it did not. Whatever its
// cause, a cancelled context is an interruption, and no failure of the event.
func callEnded(ctx context.Context) error {
	cause := context.Cause(ctx)
	switch {
	case cause == nil || errors.Is(cause, errAttempt):
		return nil
	case errors.Is(cause, connector.ErrInterrupted):
		return cause
	}
	return ctx.Err()
}

// begin counts a call in. It fails if the sink is closed.
func (s *Sink) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("%s: %w", s.name, connector.ErrClosed)
	}
	s.running++
	return nil
}

func (s *Sink) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	if s.closed && s.running == 0 {
		close(s.idle)
	}
}

// Close waits for calls under way until ctx ends, then cuts them short and closes all
// connections. It may be called several times, also concurrently.
func (s *Sink) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		if s.running == 0 {
			close(s.idle)
		}
	}
	s.mu.Unlock()
	var err error
	select {
	case <-s.idle:
	case <-ctx.Done():
		err = fmt.Errorf("%s: closed with calls under way: %w", s.name, ctx.Err())
	}
	s.cut(connector.ErrInterrupted)
	s.release.Do(func() {
		s.codec.close()
		_ = s.conn.close() // it fails only if it is closed already
	})
	return err
}
