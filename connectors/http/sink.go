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
)

// maxAnswer and maxBatchAnswer are how much of an answer is read, in bytes.
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
	pool       *pool
	calls      sync.Pool // of *call

	mu      sync.Mutex
	running int
	closed  bool
	idle    chan struct{} // closed when the last call after Close ends
}

var (
	_ connector.BatchSink = (*Sink)(nil)
	_ connector.Checker   = (*Sink)(nil)
)

// SinkOptions are for Go programs; the zero value is right for most.
type SinkOptions struct {
	// Dial opens a connection instead of a net.Dialer. TLS goes on top of it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// NewSink builds a sink and connects to nothing yet. It fills in defaults, and
// fails when the configuration is at fault or a TLS file cannot be read.
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
	return &Sink{
		target: t, credential: newCredential(cfg.Auth), verdicts: table,
		mode: cfg.Mode, timeout: cfg.Timeout,
		pool: &pool{
			dialer: opts.Dial, address: t.address, tls: t.tls,
			dialTimeout: cfg.ConnectTimeout, idleTimeout: cfg.IdleTimeout, maxAge: cfg.MaxAge,
			slots: make(chan struct{}, cfg.MaxConnections), busy: map[*conn]struct{}{},
		},
		calls: sync.Pool{New: func() any { return new(call) }},
		idle:  make(chan struct{}),
	}, nil
}

// Send delivers one event in one request; in batch mode, in a batch of one.
// See the package comment for the classes of its errors.
func (s *Sink) Send(ctx context.Context, e *cloudevent.Event) error {
	c, err := s.begin()
	if err != nil {
		return err
	}
	defer s.end(c)
	c.one[0] = e
	if s.mode != ModeBatch {
		return s.post(ctx, c, c.one[:], nil)
	}
	// A server that gives each event of a batch its verdict gives a batch of
	// one its verdict too: a 207 by itself delivers nothing.
	var errs []error
	err = s.post(ctx, c, c.one[:], func(cn *conn) (taken bool) {
		errs, taken = s.judgeEach(cn, c.secret, 1)
		return taken
	})
	if err == nil && len(errs) > 0 {
		return errs[0]
	}
	return err
}

// post sends one request with events, and returns the verdict on all of them.
// Each, if not nil, is given the answer first, and may take the verdict over by
// returning true.
func (s *Sink) post(ctx context.Context, c *call, events []*cloudevent.Event, each func(*conn) bool) error {
	var err error
	if c.secret, err = s.credential.reveal(); err != nil {
		return fmt.Errorf("%s: %w", s.target.name, err)
	}
	contentType := c.encode(s.mode, events)
	var single *cloudevent.Event
	if len(events) == 1 {
		single = events[0]
	}
	c.writeHead(s.target, &s.credential, s.mode, contentType, single)
	limit := maxAnswer
	if each != nil {
		limit = maxBatchAnswer
	}
	return s.exchange(ctx, c, limit, func(cn *conn) error {
		if each != nil && each(cn) {
			return nil
		}
		return s.judge(cn, c.secret)
	})
}

// exchange runs one request over one connection and gives the answer to use,
// for as long as use runs.
func (s *Sink) exchange(ctx context.Context, c *call, limit int, use func(*conn) error) error {
	deadline := time.Now().Add(s.timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := ctx.Err(); err != nil {
		return s.transportError(ctx, err)
	}
	cn, err := s.pool.acquire(ctx, deadline)
	if err != nil {
		return s.transportError(ctx, err)
	}
	defer s.pool.release(cn)
	head, body := c.head, c.body
	if len(body) <= oneWrite {
		c.head = append(c.head, body...)
		head, body = c.head, nil
	}
	if err := cn.exchange(ctx, deadline, head, body, limit); err != nil {
		return s.transportError(ctx, err)
	}
	return use(cn)
}

// judge turns an answer into nil or an error with a class.
func (s *Sink) judge(cn *conn, secret string) error {
	status := cn.resp.StatusCode()
	if s.verdicts.of(status) == delivered {
		return nil
	}
	var detail string
	if status/100 == 3 {
		detail = redirectDetail(string(cn.resp.Header.Peek("Location")))
	} else {
		detail = snippet(s.credential.redact(cn.resp.Body(), secret))
	}
	err := newStatusError(s.target.name, status, detail)
	return s.verdicts.classified(err, string(cn.resp.Header.Peek("Retry-After")))
}

// transportError puts a failure without an answer in words. It is temporary,
// or an interruption when ctx was cancelled.
func (s *Sink) transportError(ctx context.Context, err error) error {
	if ctxErr := ctx.Err(); ctxErr != nil {
		return fmt.Errorf("%s: %w", s.target.name, ctxErr)
	}
	if s.pool.isClosed() {
		return fmt.Errorf("%s: %w", s.target.name, connector.ErrClosed)
	}
	return connector.AsTemporary(fmt.Errorf("%s: %w", s.target.name, err), 0)
}

// begin counts a call in, unless the sink is closed.
func (s *Sink) begin() (*call, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("%s: %w", s.target.name, connector.ErrClosed)
	}
	s.running++
	return s.calls.Get().(*call), nil
}

func (s *Sink) end(c *call) {
	c.one[0], c.secret = nil, ""
	if cap(c.head) <= keepBuffer && cap(c.body) <= keepBuffer {
		s.calls.Put(c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	if s.closed && s.running == 0 {
		close(s.idle)
	}
}

// Close waits for calls under way until ctx ends, then closes all connections.
// It may be called many times, also at once.
func (s *Sink) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		if s.running == 0 {
			close(s.idle)
		}
	}
	s.mu.Unlock()
	defer s.pool.close()
	select {
	case <-s.idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: closed with calls under way: %w", s.target.name, ctx.Err())
	}
}
