package http1

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"
)

// TransportConfig says how targets are connected to. Zero values stand for the
// defaults that are named.
type TransportConfig struct {
	Dial           func(ctx context.Context, network, address string) (net.Conn, error) // of net.Dialer
	TLS            *tls.Config                                                          // nil: plain
	Roots          func() *x509.CertPool                                                // authorities for the next connection; nil: those of TLS
	ConnectTimeout time.Duration                                                        // TLS included; 5 s
	ResponseHeader time.Duration                                                        // from the end of the request to the head of the answer; 0: what ctx leaves
	Idle           time.Duration                                                        // of an unused connection; 90 s
	MaxIdle        int                                                                  // unused connections kept, in all; 256
	MaxHead        int                                                                  // bytes of an answer's head; 64 KiB
	HeadSetting    string                                                               // what sets MaxHead, for an error
	BodyIdle       time.Duration                                                        // a body of which nothing moves; 5 min
}

// Transport makes attempts over HTTP/1.1: see Transport.
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
	t.pool.idleTimeout, t.pool.most = cfg.Idle, cfg.MaxIdle
	return t
}

// Close closes unused connections; those in use are closed when they come back.
func (t *Transport) Close() { t.pool.close() }

// RoundTrip makes one attempt.
func (t *Transport) RoundTrip(ctx context.Context, endpoint string, out *Outgoing, interim func(int, Header)) (*Answer, error) {
	if err := fit(out); err != nil {
		closeBody(out)
		return nil, &Error{Reason: ReasonUnfit, Err: err}
	}
	for {
		c := t.pool.take(endpoint)
		used := c != nil
		if !used {
			var err error
			if c, err = t.connect(ctx, endpoint); err != nil {
				closeBody(out)
				return nil, &Error{Reason: t.why(ctx, err, ReasonConnect), Err: fmt.Errorf("connect to %s: %w", endpoint, plain(err))}
			}
		}
		c.t, c.ctx = t, ctx
		c.aborts.On(ctx)
		a, err := c.exchange(out, used, interim)
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

// connect dials, and shakes hands where TLS is asked for.
func (t *Transport) connect(ctx context.Context, endpoint string) (*upstream, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.ConnectTimeout)
	defer cancel()
	nc, err := t.cfg.Dial(ctx, "tcp", endpoint)
	if err != nil {
		return nil, err
	}
	if t.cfg.TLS != nil {
		nc = &underTLS{Conn: nc}
		secure := tls.Client(nc, Trusting(t.cfg.TLS, t.cfg.Roots))
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = nc.Close() // the handshake says what is wrong
			return nil, handshakeFailed(ctx, err)
		}
		return newUpstream(endpoint, secure), nil
	}
	return newUpstream(endpoint, nc), nil
}

// Trusting is c with the authorities of now.
func Trusting(c *tls.Config, roots func() *x509.CertPool) *tls.Config {
	if roots == nil {
		return c
	}
	c = c.Clone()
	c.RootCAs = roots()
	return c
}

// handshakeFailed says in words what crypto/tls says in none.
func handshakeFailed(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the target closed the connection in the TLS handshake: %w", err)
	case ctx.Err() != nil:
		return fmt.Errorf("the TLS handshake did not end in time: %w", err)
	}
	return err
}

// fit refuses a request that a line of HTTP/1.1 cannot hold: from HTTP/2 or from
// a credential may come what would end the line, and begin another request.
func fit(out *Outgoing) error {
	switch {
	case out.Method == "CONNECT" || out.Method == "" || !all(&isToken, out.Method):
		return errMethod
	case out.Path == "" || out.Path[0] != '/' || !all(&isTarget, out.Path) || !all(&isQuery, out.Query):
		return errTarget
	case !all(&isHostish, out.Host):
		return errHost
	case !all(&isToken, out.Upgrade):
		return errValue
	}
	for i := range out.Header {
		if err := fitField(&out.Header[i]); err != nil {
			return err
		}
	}
	return nil
}

func fitField(f *Field) error {
	switch {
	case f.Name == "" || !all(&isToken, f.Name):
		return errName
	case !all(&isValue, f.Value):
		return errValue
	case known(f.Name) != other:
		return errFraming
	}
	return nil
}

// why finds the reason of a failure: the application's leaving, a limit of ours,
// or what else it would be.
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

// plain is an error without what a net.OpError adds of addresses that change
// with every connection.
func plain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err
	}
	return err
}

// appendRequest appends the head of a request.
func appendRequest(b []byte, out *Outgoing) []byte {
	b = append(append(append(b, out.Method...), ' '), out.Path...)
	if out.Query != "" || out.ForceQuery {
		b = append(append(b, '?'), out.Query...)
	}
	b = append(append(append(b, " HTTP/1.1\r\nHost: "...), out.Host...), "\r\n"...)
	b = appendFields(b, out.Header)
	switch {
	case out.Upgrade != "":
		return append(append(append(b, "Connection: Upgrade\r\nUpgrade: "...), out.Upgrade...), "\r\n\r\n"...)
	case out.Length > 0, out.Length == 0 && mayHaveBody(out.Method):
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), out.Length, 10), "\r\n"...)
	case out.Length < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	if out.Header.Has("TE") {
		b = append(b, "Connection: TE\r\n"...) // RFC 9110, section 10.1.4
	}
	return append(b, "\r\n"...)
}

// mayHaveBody says of which methods a server expects to be told that there is
// no body (RFC 9110, section 8.6).
func mayHaveBody(method string) bool { return method == "POST" || method == "PUT" || method == "PATCH" }

// hopByHop are fields that end with this connection.
func hopByHop(name string) bool {
	switch len(name) {
	case 2:
		return Same(name, "te")
	case 7:
		return Same(name, "upgrade") || Same(name, "trailer")
	case 10:
		return Same(name, "connection") || Same(name, "keep-alive")
	case 16:
		return Same(name, "proxy-connection")
	case 18:
		return Same(name, "proxy-authenticate")
	}
	return false
}

// endToEnd removes hop-by-hop fields, and those that Connection names.
func endToEnd(h Header) Header {
	var room [4]string
	named := room[:0]
	for member := range h.Tokens("Connection") {
		named = append(named, member)
	}
	kept := h[:0]
next:
	for _, f := range h {
		if hopByHop(f.Name) {
			continue
		}
		for _, n := range named {
			if Same(f.Name, n) {
				continue next
			}
		}
		kept = append(kept, f)
	}
	return kept
}
