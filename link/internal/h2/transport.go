package h2

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/http2"

	"github.com/lsm/fiso/common/http1"
)

// TransportConfig says how to connect to targets. A zero value means the default in the
// comment.
type TransportConfig struct {
	Dial func(ctx context.Context, network, address string) (net.Conn, error) // net.Dialer
	// TLS is nil for HTTP/2 with prior knowledge; empty NextProtos: h2.
	TLS *tls.Config
	// Roots are the authorities for the next connection; nil: those of TLS.
	Roots func() *x509.CertPool

	ConnectTimeout time.Duration // TLS and HTTP/2 settings included; 5 s
	// ResponseHeader limits the time from the end of the request to the head of the
	// answer; 0: only ctx limits it.
	ResponseHeader time.Duration
	Idle           time.Duration // longest time of a connection without use; 90 s
	// Age limits how old a connection may be when a call begins, so that certificates
	// and addresses are checked again; 10 min.
	Age time.Duration
	// Ping is the time without data after which a connection is pinged; it has half of
	// this to answer. No write may go without progress for longer; 30 s.
	Ping time.Duration
	// ReleaseTimeout is how long the library may take to release a stream that has
	// ended, or a connection, before the connection is given up; 10 s.
	ReleaseTimeout time.Duration
	MaxHead        int // bytes of an answer's header list; 64 KiB
}

func (c TransportConfig) withDefaults() TransportConfig {
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&c.ConnectTimeout, 5 * time.Second}, {&c.Idle, 90 * time.Second}, {&c.Age, 10 * time.Minute},
		{&c.Ping, 30 * time.Second}, {&c.ReleaseTimeout, 10 * time.Second},
	} {
		if *d.value <= 0 {
			*d.value = d.standard
		}
	}
	if c.MaxHead <= 0 {
		c.MaxHead = 64 << 10
	}
	if c.TLS != nil {
		c.TLS = c.TLS.Clone()
		if len(c.TLS.NextProtos) == 0 {
			c.TLS.NextProtos = []string{"h2"}
		}
	}
	return c
}

// Transport makes attempts over HTTP/2: see call.Transport. A failed attempt has Sent
// false if the target has certainly not acted on it: it refused the stream
// (REFUSED_STREAM), or the stream came after the last one that it served (GOAWAY).
type Transport struct {
	cfg    TransportConfig
	scheme string
	http   *http.Transport // makes connections; does not pool them
	pool   *pool
}

// maxInterim is how many 1xx answers may come before the final one.
const maxInterim = 16

// connectionWindow is how many bytes a target may send ahead of all readers of a
// connection.
const connectionWindow = 64 << 20

// NewTransport returns a transport. It fills in the defaults and does not connect.
func NewTransport(cfg TransportConfig) *Transport {
	t := &Transport{cfg: cfg.withDefaults(), scheme: "http"}
	if cfg.TLS != nil {
		t.scheme = "https"
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true) // connect makes the TLS handshake itself
	dialled := func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, _ := ctx.Value(dialledKey{}).(net.Conn)
		return c, nil
	}
	t.http = &http.Transport{
		DialContext: dialled, DialTLSContext: dialled, Protocols: protocols, DisableCompression: true,
		ResponseHeaderTimeout: t.cfg.ResponseHeader, IdleConnTimeout: t.cfg.Idle, MaxResponseHeaderBytes: int64(t.cfg.MaxHead),
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: t.cfg.Ping, PingTimeout: t.cfg.Ping / 2,
			MaxReadFrameSize:          64 << 10, // the coalescer ends a write that makes no progress
			MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: connectionWindow,
		},
	}
	_, err := http2.ConfigureTransports(t.http) //nolint:staticcheck // SA1019: its replacement is the client of net/http, which deadlocks
	if err != nil {
		panic(err) // happens only if the transport is configured twice
	}
	t.pool = newPool(t.cfg.Age, t.cfg.ReleaseTimeout, t.connect)
	return t
}

type dialledKey struct{}

// Close closes unused connections and lets those in use finish.
func (t *Transport) Close() { t.pool.close() }

// RoundTrip makes one attempt.
func (t *Transport) RoundTrip(ctx context.Context, endpoint string, out *http1.Outgoing, interim func(int, http1.Header)) (*http1.Answer, error) {
	if err := checkExpressible(out); err != nil {
		closeBody(out)
		return nil, &http1.Error{Reason: http1.ReasonUnfit, Err: err}
	}
	a := t.attempt(ctx, interim)
	go a.run(endpoint, out)
	err := a.await()
	a.waitInterim()
	if err == nil {
		return a.answer(), nil
	}
	a.detach()
	if !a.prepared { // and never will be
		closeBody(out)
	}
	return nil, err
}

func closeBody(out *http1.Outgoing) {
	if out.Body != nil {
		_ = out.Body.Close() // it was not read
	}
}

// checkExpressible refuses requests that HTTP/2 cannot express.
func checkExpressible(out *http1.Outgoing) error {
	if out.Upgrade != "" {
		return errNoUpgrade
	}
	if out.Host == "" || len(out.Path) > 1 && out.Path[1] == '/' {
		return errors.New("the request has no host, or a path that looks like one")
	}
	return http1.Fit(out)
}
