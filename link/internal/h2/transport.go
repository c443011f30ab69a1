package h2

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/h1"
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
	MaxHead        int                                                                  // bytes of an answer's header list; 64 KiB
}

func (c TransportConfig) withDefaults() TransportConfig {
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{{&c.ConnectTimeout, 5 * time.Second}, {&c.Idle, 90 * time.Second}, {&c.Age, 10 * time.Minute}, {&c.Ping, 30 * time.Second}} {
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
	t.pool = newPool(t.cfg.Age, t.connect)
	return t
}

type dialledKey struct{}

// Close closes unused connections, and lets those in use end.
func (t *Transport) Close() { t.pool.close() }

// RoundTrip makes one attempt.
func (t *Transport) RoundTrip(ctx context.Context, endpoint string, out *call.Outgoing, interim func(int, call.Header)) (*call.Answer, error) {
	if err := fit(out); err != nil {
		closeBody(out)
		return nil, &call.Error{Reason: call.Unfit, Err: err}
	}
	c, err := t.pool.take(ctx, endpoint)
	if err != nil {
		closeBody(out)
		return nil, &call.Error{Reason: why(ctx, err, call.Connect), Err: fmt.Errorf("connect to %s: %w", endpoint, h1.Plain(err))}
	}
	a := &attempt{ctx: ctx, conn: c, interim: interim}
	r, err := c.http.RoundTrip(a.request(t.scheme, out)) //nolint:bodyclose // answer closes it
	a.passed()
	if err != nil {
		defer a.end()
		return nil, a.failed(err)
	}
	return a.answer(r)
}

// end gives back what the attempt holds.
func (a *attempt) end() {
	if a.sending != nil {
		a.aborts.Remove()
		_ = a.sending.Close() // where net/http has not
	}
	a.conn.release()
}

func closeBody(out *call.Outgoing) {
	if out.Body != nil {
		_ = out.Body.Close() // nothing was read of it
	}
}

// fit refuses what HTTP/2 cannot say.
func fit(out *call.Outgoing) error {
	if out.Upgrade != "" {
		return errNoUpgrade
	}
	if out.Host == "" || len(out.Path) > 1 && out.Path[1] == '/' {
		return errors.New("the request has no host, or a path that looks like one")
	}
	return h1.Fit(out)
}

// informed is an interim answer.
type informed struct {
	status int
	header call.Header
}

// attempt is one request on its way.
type attempt struct {
	ctx     context.Context
	conn    *pooled
	interim func(int, call.Header)
	begun   atomic.Bool // its head is being written
	sending *sending    // of a body that streams; nil: none does
	aborts  call.Hook   // of sending, on ctx

	mu       sync.Mutex
	headed   bool // the real answer is there, or none will be
	interims int
	informed chan informed // to whoever passes them on; nil: there was none
	informs  sync.WaitGroup
}

// request is the request in the words of net/http. The path goes out as it is.
func (a *attempt) request(scheme string, out *call.Outgoing) *http.Request {
	r := &http.Request{
		Method: out.Method, Host: out.Host, Proto: "HTTP/2.0", ProtoMajor: 2, Header: make(http.Header, len(out.Header)+1), ContentLength: out.Length,
		URL: &url.URL{Scheme: scheme, Host: out.Host, Opaque: out.Path, RawQuery: out.Query, ForceQuery: out.ForceQuery},
	}
	toHTTP(r.Header, out.Header)
	if _, ok := r.Header["User-Agent"]; !ok {
		r.Header["User-Agent"] = []string{""} // none, and not net/http's
	}
	switch {
	case out.Body != nil:
		if out.Trailer != nil {
			r.Trailer = http.Header{}
		}
		a.sending = send(out, r.Trailer)
		r.Body = a.sending
		// net/http does not look at ctx while it waits for a body, of which the
		// answer may be under way.
		a.aborts.Do = func() { _ = a.sending.Close() }
		a.aborts.On(a.ctx)
	case len(out.Kept) > 0:
		if out.Trailer != nil { // the body was read to its end
			r.Trailer = http.Header{}
			r.Header.Del("Trailer") // net/http announces what it has
			toHTTP(r.Trailer, h1.LateFields(append(call.Header(nil), out.Trailer()...)))
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(out.Kept)), int64(len(out.Kept))
	default:
		r.ContentLength = 0
	}
	return r.WithContext(httptrace.WithClientTrace(a.ctx, &httptrace.ClientTrace{
		WroteHeaderField: func(string, []string) { a.begun.Store(true) },
		WroteHeaders:     func() { a.begun.Store(true) },
		Got1xxResponse:   a.inform,
	}))
}

// fault is an answer that breaks the rules.
type fault string

func (f fault) Error() string { return string(f) }

const (
	errInterims = fault("the answer never got past interim (1xx) ones")
	errSwitch   = fault("the answer changes to a protocol that was not asked for")
)

// inform is called by the goroutine that reads for every call on the connection,
// which must wait for no application: another one passes interim answers on.
func (a *attempt) inform(status int, h textproto.MIMEHeader) error {
	if status == http.StatusSwitchingProtocols {
		return errSwitch
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.interims++; a.interims > maxInterim {
		return errInterims
	}
	if a.headed || a.interim == nil || status == http.StatusContinue {
		return nil
	}
	if a.informed == nil {
		a.informed = make(chan informed, maxInterim)
		a.informs.Go(func() {
			for i := range a.informed {
				a.interim(i.status, i.header)
			}
		})
	}
	a.informed <- informed{status, endToEnd(http.Header(h))} // there is room for all
	return nil
}

// passed waits until the interim answers were passed on.
func (a *attempt) passed() {
	a.mu.Lock()
	a.headed = true
	if a.informed != nil {
		close(a.informed)
	}
	a.mu.Unlock()
	a.informs.Wait()
}
