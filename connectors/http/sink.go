package http

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/http1"
)

// maxAnswer and maxBatchAnswer limit how many bytes of an answer are read.
const (
	maxAnswer      = 64 << 10
	maxBatchAnswer = 1 << 20
)

// Sink delivers events to one URL. It is safe for concurrent use.
type Sink struct {
	target     *target
	credential credential
	verdicts   *verdicts
	mode       string
	timeout    time.Duration
	headers    func(ctx context.Context, e *cloudevent.Event) ([]connector.Header, error) // nil: none
	transport  *http1.Transport
	slots      chan struct{} // a token for each call that has a connection or dials one
	contexts   contexts
	requests   sync.Pool // of *requestWriter
	exchanges  sync.Pool // of *exchange

	mu      sync.Mutex
	running int // calls under way
	closed  bool
	idle    chan struct{} // closed when the sink is closed and no call is under way
}

var (
	_ connector.BatchSink = (*Sink)(nil)
	_ connector.Checker   = (*Sink)(nil)
)

// SinkOptions are options for Go programs. The zero value is right for most.
type SinkOptions struct {
	// Dial opens connections instead of a net.Dialer. The sink adds TLS.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Headers returns additional headers for the request of an event.
	// SinkConfig.CheckHeader says which names are allowed, and CheckHeaderValue which
	// values. Send returns its error: mark it with connector.AsUnsendable if a retry
	// cannot help. It is not called in batch mode, where a request has many events. nil: none.
	Headers func(ctx context.Context, e *cloudevent.Event) ([]connector.Header, error)
}

// NewSink builds a sink without connecting. It fills in defaults, and fails if the
// configuration is not valid or a TLS file cannot be read.
func NewSink(cfg SinkConfig, opts SinkOptions) (*Sink, error) {
	config.Defaults(&cfg)
	if cfg.URL == "" {
		return nil, errors.New("http sink: url is required")
	}
	if err := errors.Join(cfg.Validate(), cfg.TLS.Validate()); err != nil {
		return nil, fmt.Errorf("http sink: %w", err)
	}
	t, err := newTarget(&cfg)
	if err != nil {
		return nil, fmt.Errorf("http sink: %w", err)
	}
	table, err := newVerdicts(cfg.RetryOn, cfg.RejectOn)
	if err != nil {
		return nil, fmt.Errorf("http sink: %w", err)
	}
	if opts.Dial == nil {
		opts.Dial = (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext
	}
	s := &Sink{
		target: t, credential: newCredential(cfg.Auth), verdicts: table,
		mode: cfg.Mode, timeout: cfg.Timeout, headers: opts.Headers,
		transport: http1.NewTransport(http1.TransportConfig{
			Dial: opts.Dial, TLS: t.tls, ConnectTimeout: cfg.ConnectTimeout, Idle: cfg.IdleTimeout, MaxIdle: cfg.MaxConnections, MaxAge: cfg.MaxAge,
			MaxHead: maxAnswerHeader, HeadSetting: "16KiB", BodyIdle: bodyIdle, RefuseUnasked: true,
		}),
		slots: make(chan struct{}, cfg.MaxConnections),
		idle:  make(chan struct{}),
	}
	s.exchanges.New = func() any { return &exchange{out: http1.Outgoing{Method: cfg.Method, Borrow: true}} }
	s.requests.New = func() any {
		r := new(requestWriter)
		r.release = func() {
			if cap(r.buf) <= keepBuffer {
				s.requests.Put(r)
			}
		}
		return r
	}
	return s, nil
}

// Send delivers one event in one request; in batch mode, in a batch of one. The package
// comment describes its errors.
func (s *Sink) Send(ctx context.Context, e *cloudevent.Event) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.end()
	one := [1]*cloudevent.Event{e}
	if s.mode != ModeBatch {
		headers, err := s.headersOf(ctx, e)
		if err != nil {
			return err
		}
		return s.post(ctx, headers, one[:], nil)
	}
	// A server that answers a batch with a verdict for each event does so for a batch
	// of one, too. The 207 alone delivers nothing.
	var errs []error
	err := s.post(ctx, nil, one[:], func(x *exchange, secret string) (taken bool) {
		errs, taken = s.judgeEach(x, secret, 1)
		return taken
	})
	if err == nil && len(errs) > 0 {
		return errs[0]
	}
	return err
}

// headersOf returns the additional headers of an event.
func (s *Sink) headersOf(ctx context.Context, e *cloudevent.Event) ([]connector.Header, error) {
	if s.headers == nil {
		return nil, nil
	}
	headers, err := s.headers(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.target.name, err)
	}
	for _, h := range headers {
		if err := CheckHeaderValue(h.Value); err != nil {
			return nil, connector.AsUnsendable(fmt.Errorf("%s: header %s: %w", s.target.name, h.Key, err))
		}
	}
	return headers, nil
}

// post sends one request with events and returns the verdict on all of them. If each is
// not nil, it gets the answer first; by returning true it takes over the verdict. A
// request that no server saw, because its reused connection was closed, is sent once
// more on a new connection.
func (s *Sink) post(ctx context.Context, headers []connector.Header, events []*cloudevent.Event, each func(x *exchange, secret string) bool) error {
	secret, err := s.credential.reveal()
	if err != nil {
		return fmt.Errorf("%s: %w", s.target.name, err)
	}
	if err := ctx.Err(); err != nil {
		return s.transportError(ctx, err)
	}
	limit := maxAnswer
	if each != nil {
		limit = maxBatchAnswer
	}
	deadline := time.Now().Add(s.timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := s.takeSlot(ctx, deadline); err != nil {
		return s.transportError(ctx, err)
	}
	defer func() { <-s.slots }()
	shared := s.contexts.enter(ctx)
	if shared == nil {
		return s.transportError(ctx, connector.ErrClosed)
	}
	defer s.contexts.leave(shared)
	x := s.exchanges.Get().(*exchange)
	defer s.recycle(x)
	x.headers, x.out.Deadline = headers, deadline
	again, err := s.try(shared, x, secret, events, limit)
	if _, ok := errors.AsType[*cloudevent.EncodeError](err); ok {
		return fmt.Errorf("%s: %w", s.target.name, err) // nothing was sent
	}
	if again && ctx.Err() == nil {
		x.out.NewConnection = true
		_, err = s.try(shared, x, secret, events, limit)
	}
	if err != nil {
		return s.transportError(ctx, err)
	}
	if each != nil && each(x, secret) {
		return nil
	}
	return s.judge(x, secret)
}

// judge turns an answer into nil or a classified error.
func (s *Sink) judge(x *exchange, secret string) error {
	if s.verdicts.of(x.status) == delivered {
		return nil
	}
	var detail string
	if x.status/100 == 3 {
		detail = redirectDetail(x.location)
	} else {
		detail = snippet(s.credential.redact(x.body, secret))
	}
	err := newStatusError(s.target.name, x.status, detail)
	return s.verdicts.classified(err, x.retryAfter)
}

// begin counts a call in. It fails if the sink is closed.
func (s *Sink) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("%s: %w", s.target.name, connector.ErrClosed)
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

// Close waits for calls under way until ctx ends, then closes all connections. It may
// be called several times, also concurrently.
func (s *Sink) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		if s.running == 0 {
			close(s.idle)
		}
	}
	s.mu.Unlock()
	defer s.transport.Close()
	defer s.contexts.close()
	select {
	case <-s.idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: closed with calls under way: %w", s.target.name, ctx.Err())
	}
}
