package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// TransportConfig says how servers are connected to. Zero values stand for the
// defaults that are named.
type TransportConfig struct {
	Dial           func(ctx context.Context, network, address string) (net.Conn, error) // of net.Dialer
	TLS            func() *tls.Config                                                   // for the next connection; nil: plain
	ConnectTimeout time.Duration                                                        // TLS included; 5 s
	ResponseHeader time.Duration                                                        // from the end of the request to the head of the answer; 0: what ctx leaves
	Idle           time.Duration                                                        // of an unused connection; 90 s
	MaxIdle        int                                                                  // unused connections kept, in all; 256
	MaxAge         time.Duration                                                        // of a connection that is used again; 0: any
	MaxHead        int                                                                  // bytes of an answer's head; 64 KiB
	HeadSetting    string                                                               // what sets MaxHead, for an error
	BodyIdle       time.Duration                                                        // a body of which nothing moves; 5 min
	// RefuseUnasked refuses an answer that began before its request: one that is
	// there when a new connection is first used, and, on Linux, one on a connection
	// that served before which begins while the server's system has not taken all of
	// the request. It is for callers to whom a wrong answer is worse than none.
	RefuseUnasked bool
}

// Transport makes attempts at requests, each on a connection of its pool. It never
// sends a request twice, whatever happens to a connection: how often a request is
// made is for the caller to decide. It is safe for concurrent use.
type Transport struct {
	cfg  TransportConfig
	pool pool
}

// NewTransport fills in the defaults.
func NewTransport(cfg TransportConfig) *Transport {
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{{&cfg.ConnectTimeout, 5 * time.Second}, {&cfg.Idle, 90 * time.Second}, {&cfg.BodyIdle, 5 * time.Minute}} {
		if *d.value <= 0 {
			*d.value = d.usual
		}
	}
	if cfg.MaxIdle <= 0 {
		cfg.MaxIdle = 256
	}
	if cfg.MaxHead <= 0 {
		cfg.MaxHead = 64 << 10
	}
	if cfg.HeadSetting == "" {
		cfg.HeadSetting = "is read"
	}
	t := &Transport{cfg: cfg}
	t.pool.idleTimeout, t.pool.limit, t.pool.maxAge = cfg.Idle, cfg.MaxIdle, cfg.MaxAge
	return t
}

// Close closes unused connections; those in use are closed when they come back.
func (t *Transport) Close() { t.pool.close() }

// RoundTrip makes one attempt at endpoint, a host and a port. It returns when the head
// of the answer is there, or with an error of type *Error. ctx covers the attempt, the
// body of the answer included. interim gets 1xx answers on the way; nil drops them.
func (t *Transport) RoundTrip(ctx context.Context, endpoint string, out *Outgoing, interim func(int, Header)) (*Answer, error) {
	if out.Raw == nil {
		if err := Fit(out); err != nil {
			unsent(out)
			return nil, &Error{Reason: ReasonUnfit, Err: err}
		}
	}
	for {
		var c *clientConn
		if !out.NewConnection {
			c = t.pool.take(endpoint)
		}
		used := c != nil
		if !used {
			var err error
			if c, err = t.connect(ctx, endpoint, out.Deadline); err != nil {
				unsent(out)
				return nil, &Error{Reason: t.why(ctx, err, ReasonConnect), Err: fmt.Errorf("connect to %s: %w", endpoint, Plain(err))}
			}
		}
		c.used = used
		c.begin(ctx, out.Deadline)
		a, err := c.roundTrip(out, interim)
		if err == nil {
			return a, nil
		}
		if c.drop(); !errors.Is(err, errStale) {
			return nil, err
		}
	}
}

// closeBody says that a body will not be read.
func closeBody(out *Outgoing) {
	if out.Body != nil {
		_ = out.Body.Close() // nothing was read of it
	}
}

// unsent says that nothing of a request will be read.
func unsent(out *Outgoing) {
	closeBody(out)
	if out.Sent != nil {
		out.Sent()
	}
}

// connect dials, and shakes hands where TLS is asked for.
func (t *Transport) connect(ctx context.Context, endpoint string, deadline time.Time) (*clientConn, error) {
	begin := time.Now()
	limit := begin.Add(t.cfg.ConnectTimeout)
	if !deadline.IsZero() && deadline.Before(limit) {
		limit = deadline
	}
	ctx, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	nc, err := t.cfg.Dial(ctx, "tcp", endpoint)
	if err != nil {
		return nil, err
	}
	if err := nc.SetDeadline(time.Time{}); err != nil {
		_ = nc.Close() // no attempt on it could be ended
		return nil, err
	}
	s := newSocket(nc)
	if t.cfg.TLS != nil {
		secure := tls.Client(s, t.cfg.TLS())
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = nc.Close() // the handshake says what is wrong
			return nil, handshakeFailed(ctx, err)
		}
		s.plain, nc = false, secure
	}
	return newClientConn(t, endpoint, nc, s, begin), nil
}

// handshakeFailed says in words what crypto/tls says in none.
func handshakeFailed(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the server closed the connection in the TLS handshake: %w", err)
	case ctx.Err() != nil:
		return fmt.Errorf("the TLS handshake did not end in time: %w", err)
	}
	return err
}

// why finds the reason of a failure: the caller's leaving, a limit of ours, or what
// else it would be.
func (t *Transport) why(ctx context.Context, err error, otherwise Reason) Reason {
	switch {
	case errors.Is(context.Cause(ctx), context.Canceled):
		return ReasonGone
	case ctx.Err() != nil:
		return ReasonTimeout
	case otherwise == ReasonConnect, otherwise == ReasonBody:
		return otherwise
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ReasonTimeout
	}
	return otherwise
}
