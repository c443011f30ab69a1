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
	"github.com/lsm/fiso/link/internal/call"
)

// TransportConfig says how targets are connected to. Zero values stand for the
// defaults that are named.
type TransportConfig struct {
	Dial           func(ctx context.Context, network, address string) (net.Conn, error) // of net.Dialer
	TLS            *tls.Config                                                          // nil: plain, with prior knowledge; NextProtos is h2 unless it says more
	Roots          func() *x509.CertPool                                                // authorities for the next connection; nil: those of TLS
	ConnectTimeout time.Duration                                                        // TLS and the greeting of HTTP/2 included; 5 s
	ResponseHeader time.Duration                                                        // from the end of the request to the head of the answer; 0: what ctx leaves
	Idle           time.Duration                                                        // of an unused connection; 90 s
	Age            time.Duration                                                        // no call begins on an older connection, so that certificates and addresses are looked at again; 10 min
	Ping           time.Duration                                                        // a connection that says nothing is asked for a sign of life, and has half of this to give it; one that takes nothing is closed; 30 s
	LetGo          time.Duration                                                        // the library may take this long to let go of a stream that has ended, and of a connection; its connection is given up then; 10 s
	MaxHead        int                                                                  // bytes of an answer's header list; 64 KiB
}

func (c TransportConfig) withDefaults() TransportConfig {
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{{&c.ConnectTimeout, 5 * time.Second}, {&c.Idle, 90 * time.Second}, {&c.Age, 10 * time.Minute}, {&c.Ping, 30 * time.Second}, {&c.LetGo, 10 * time.Second}} {
		if *d.value <= 0 {
			*d.value = d.usual
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

// Transport makes attempts over HTTP/2: see call.Transport. An attempt fails
// with Sent false where the target is sure not to have acted on it: a stream
// that it refused (REFUSED_STREAM), or that came after the last one it served
// (GOAWAY).
type Transport struct {
	cfg    TransportConfig
	scheme string
	http   *http.Transport // makes connections, and pools none
	pool   *pool
}

// maxInterim is how many 1xx answers may come before the real one.
const maxInterim = 16

// connectionWindow is what a target may send ahead of all readers of a connection.
const connectionWindow = 64 << 20

// NewTransport fills in the defaults.
func NewTransport(cfg TransportConfig) *Transport {
	t := &Transport{cfg: cfg.withDefaults(), scheme: "http"}
	if cfg.TLS != nil {
		t.scheme = "https"
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true) // TLS is ours, and done by then
	dialled := func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, _ := ctx.Value(dialledKey{}).(net.Conn)
		return c, nil
	}
	t.http = &http.Transport{
		DialContext: dialled, DialTLSContext: dialled, Protocols: protocols, DisableCompression: true,
		ResponseHeaderTimeout: t.cfg.ResponseHeader, IdleConnTimeout: t.cfg.Idle, MaxResponseHeaderBytes: int64(t.cfg.MaxHead),
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: t.cfg.Ping, PingTimeout: t.cfg.Ping / 2,
			MaxReadFrameSize:          64 << 10, // a write that moves nothing is ended by batched
			MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: connectionWindow,
		},
	}
	_, err := http2.ConfigureTransports(t.http) //nolint:staticcheck // SA1019: what replaces it is net/http's own client, which locks itself
	if err != nil {
		panic(err) // of a transport that somebody has configured before, and nobody has
	}
	t.pool = newPool(t.cfg.Age, t.cfg.LetGo, t.connect)
	return t
}

type dialledKey struct{}

// Close closes unused connections, and lets those in use end.
func (t *Transport) Close() { t.pool.close() }

// RoundTrip makes one attempt.
func (t *Transport) RoundTrip(ctx context.Context, endpoint string, out *call.Outgoing, interim func(int, call.Header)) (*call.Answer, error) {
	if err := checkExpressible(out); err != nil {
		closeBody(out)
		return nil, &call.Error{Reason: call.Unfit, Err: err}
	}
	a := t.attempt(ctx, interim)
	go a.run(endpoint, out)
	err := a.await()
	a.passed()
	if err == nil {
		return a.answer(), nil
	}
	a.detach()
	if !a.prepared { // and will not be
		closeBody(out)
	}
	return nil, err
}

func closeBody(out *call.Outgoing) {
	if out.Body != nil {
		_ = out.Body.Close() // nothing was read of it
	}
}

// checkExpressible refuses what HTTP/2 cannot say.
func checkExpressible(out *call.Outgoing) error {
	if out.Upgrade != "" {
		return errNoUpgrade
	}
	if out.Host == "" || len(out.Path) > 1 && out.Path[1] == '/' {
		return errors.New("the request has no host, or a path that looks like one")
	}
	return http1.Fit(out)
}
