package http1

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// TransportConfig configures a Transport. A zero field means its default, which is the
// last part of its comment.
type TransportConfig struct {
	Dial           func(ctx context.Context, network, address string) (net.Conn, error) // that of net.Dialer
	TLS            func() *tls.Config                                                   // for the next connection; nil: plain
	ConnectTimeout time.Duration                                                        // TLS included; 5 s
	ResponseHeader time.Duration                                                        // from the end of the request to the head of the answer; 0: what ctx leaves
	Idle           time.Duration                                                        // of an unused connection; 90 s
	MaxIdle        int                                                                  // unused connections kept, in all; 256
	MaxAge         time.Duration                                                        // of a connection that is used again; 0: any
	MaxHead        int                                                                  // bytes of an answer's head; 64 KiB
	HeadSetting    string                                                               // the name of the setting of MaxHead, for error texts
	BodyIdle       time.Duration                                                        // between two reads of a body; 5 min
	// RefuseUnasked refuses an answer that began before its request: on a new connection,
	// one that is there before the request is sent, and on a used one, on Linux only, one
	// that begins while the server's system has not acknowledged the whole request. It is
	// for callers to whom a wrong answer is worse than none.
	RefuseUnasked bool
}

// Transport makes attempts at requests over a pool of connections. It never sends a
// request twice; retries are the caller's decision. It is safe for concurrent use.
type Transport struct {
	cfg  TransportConfig
	pool pool
}

// NewTransport makes a Transport.
func NewTransport(cfg TransportConfig) *Transport {
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	cfg.ConnectTimeout = positive(cfg.ConnectTimeout, 5*time.Second)
	cfg.Idle = positive(cfg.Idle, 90*time.Second)
	cfg.BodyIdle = positive(cfg.BodyIdle, 5*time.Minute)
	cfg.MaxIdle = positive(cfg.MaxIdle, 256)
	cfg.MaxHead = positive(cfg.MaxHead, 64<<10)
	cfg.HeadSetting = cmp.Or(cfg.HeadSetting, "is read")
	return &Transport{cfg: cfg, pool: pool{idleTimeout: cfg.Idle, limit: cfg.MaxIdle, maxAge: cfg.MaxAge}}
}

// Close closes unused connections. Those in use are closed after their attempt.
func (t *Transport) Close() { t.pool.close() }

// RoundTrip makes one attempt at endpoint, a host and a port. It returns when it has read
// the head of the answer, or with an error of type *Error. ctx covers the attempt and the
// body of the answer. interim gets the 1xx answers; nil drops them.
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

// closeBody is called when nothing more is read of the body.
func closeBody(out *Outgoing) {
	if out.Body != nil {
		_ = out.Body.Close() // nothing depends on it
	}
}

// unsent is called when nothing of a request is sent.
func unsent(out *Outgoing) {
	closeBody(out)
	if out.Sent != nil {
		out.Sent()
	}
}

// connect dials, and makes the TLS handshake if TLS is configured.
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
		_ = nc.Close() // attempts on it could not be aborted
		return nil, err
	}
	s := newSocket(nc)
	if t.cfg.TLS != nil {
		secure := tls.Client(s, t.cfg.TLS())
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = nc.Close() // err says what is wrong
			return nil, handshakeFailed(ctx, err)
		}
		s.plain, nc = false, secure
	}
	return newClientConn(t, endpoint, nc, s, begin), nil
}

// handshakeFailed explains errors of a handshake whose text does not.
func handshakeFailed(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the server closed the connection in the TLS handshake: %w", err)
	case ctx.Err() != nil:
		return fmt.Errorf("the TLS handshake did not end in time: %w", err)
	}
	return err
}

// why is the reason of a failure: the end of ctx, a deadline, or otherwise.
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

// Plain is err without the addresses that net adds, which differ for every connection.
func Plain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err
	}
	return err
}
