package h2

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
)

func out(method string) *http1.Outgoing {
	return &http1.Outgoing{Method: method, Path: "/a", Host: "crm.example"}
}

// stream is a request body; closed is set when the transport closes it.
type appBody struct {
	io.Reader
	once   sync.Once
	closed chan struct{}
}

func newBody(r io.Reader) *appBody { return &appBody{Reader: r, closed: make(chan struct{})} }
func (b *appBody) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

// read reads an answer to its end.
func read(t testing.TB, a *http1.Answer, err error) (string, error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(a.Body)
	if cerr := a.Body.Close(); cerr != nil {
		t.Error(cerr)
	}
	return string(b), err
}

func TestTransport_writesRequests(t *testing.T) {
	for name, test := range map[string]struct {
		out  *http1.Outgoing
		want string // fields sorted by name, and the body
	}{
		"GET": {
			&http1.Outgoing{Method: "GET", Path: "/a%2Fb/:c", Query: "x=1;y&%zz", Host: "x:1", Header: http1.Header{{Name: "X-A", Value: "1"}, {Name: "x-a", Value: "2"}, {Name: "TE", Value: "trailers"}}},
			":authority=x:1 :method=GET :path=/a%2Fb/:c?x=1;y&%zz :scheme=http te=trailers x-a=1 x-a=2",
		},
		"an empty query":      {&http1.Outgoing{Method: "GET", Path: "/", ForceQuery: true, Host: "x"}, ":authority=x :method=GET :path=/? :scheme=http"},
		"a caller's agent":    {&http1.Outgoing{Method: "GET", Path: "/", Host: "x", Header: http1.Header{{Name: "user-agent", Value: "a"}}}, ":authority=x :method=GET :path=/ :scheme=http user-agent=a"},
		"POST without a body": {&http1.Outgoing{Method: "POST", Path: "/", Host: "x"}, ":authority=x :method=POST :path=/ :scheme=http content-length=0"},
		"a kept body":         {&http1.Outgoing{Method: "POST", Path: "/", Host: "x", Kept: []byte("hello"), Length: 5}, ":authority=x :method=POST :path=/ :scheme=http content-length=5 hello"},
		"a kept body with a trailer": { // UL9: RFC 9113, section 8.1
			&http1.Outgoing{Method: "POST", Path: "/", Host: "x", Kept: []byte("hello"), Length: 5, Header: http1.Header{{Name: "Trailer", Value: "X-T"}}, Trailer: func() http1.Header {
				return http1.Header{{Name: "X-T", Value: "t"}, {Name: "Authorization", Value: "no"}}
			}},
			":authority=x :method=POST :path=/ :scheme=http content-length=5 trailer=X-T hello x-t=t",
		},
		"a body of a length": {&http1.Outgoing{Method: "PUT", Path: "/", Host: "x", Body: newBody(strings.NewReader("hello")), Length: 5}, ":authority=x :method=PUT :path=/ :scheme=http content-length=5 hello"},
		"a stream with a trailer": {
			&http1.Outgoing{Method: "POST", Path: "/", Host: "x", Body: newBody(strings.NewReader("hello")), Length: -1, Trailer: func() http1.Header {
				return http1.Header{{Name: "X-T", Value: "t"}, {Name: "Authorization", Value: "no"}}
			}},
			":authority=x :method=POST :path=/ :scheme=http hello x-t=t",
		},
		"an empty stream with a trailer": {
			&http1.Outgoing{Method: "POST", Path: "/", Host: "x", Body: newBody(strings.NewReader("")), Length: -1, Trailer: func() http1.Header { return http1.Header{{Name: "X-T", Value: "t"}} }},
			":authority=x :method=POST :path=/ :scheme=http x-t=t",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan string, 1)
			addr := target(t, func(p *peer) {
				h, s := p.awaitHead()
				var parts []string
				for _, f := range h.Fields {
					parts = append(parts, f.Name+"="+f.Value)
				}
				slices.Sort(parts)
				for end := h.StreamEnded(); !end; {
					f, err := p.next()
					if err != nil {
						break
					}
					if d, ok := f.(*http2.DataFrame); ok {
						end = d.StreamEnded()
						parts = append(parts, string(d.Data()))
					} else if h, ok := f.(*http2.MetaHeadersFrame); ok {
						end = true
						for _, f := range h.Fields {
							parts = append(parts, f.Name+"="+f.Value)
						}
					}
				}
				got <- strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " ")
				p.headers(s, true, ":status", "200")
				p.drain()
			})
			a, err := transport(t, TransportConfig{}).RoundTrip(t.Context(), addr, test.out, nil)
			if _, err := read(t, a, err); err != nil {
				t.Error(err)
			}
			if s := <-got; s != test.want {
				t.Errorf("got  %s\nwant %s", s, test.want)
			}
			if b, ok := test.out.Body.(*appBody); ok {
				await(t, "the body to be closed", b.closed)
			}
		})
	}
}

// L7: HTTP/1.1 framing fields of an HTTP/2 answer are not passed on, because a caller over
// HTTP/1.1 could read the answer in two ways
// (https://github.com/netty/netty/security/advisories/GHSA-wm47-8v5p-wjpj, of requests).
func TestTransport_readsAnswers(t *testing.T) {
	addr := target(t, func(p *peer) {
		for {
			_, s := p.awaitHead()
			if s == 0 {
				return
			}
			p.headers(s, false, ":status", "100")
			p.headers(s, false, ":status", "103", "link", "</a>", "connection", "x", "content-length", "5", "transfer-encoding", "chunked")
			p.headers(s, false, ":status", "201", "content-length", "2", "x-a", "1", "x-a", "2", "connection", "close", "keep-alive", "1",
				"transfer-encoding", "chunked") // is framing in HTTP/1.1, to which the answer may be passed on
			_ = p.WriteData(s, false, []byte("hi")) // a failure shows in the answer
			p.headers(s, true, "grpc-status", "0", "set-cookie", "no")
		}
	})
	var interims []string
	tr := transport(t, TransportConfig{})
	for range 3 { // over one connection
		interims = nil
		a, err := tr.RoundTrip(t.Context(), addr, out("GET"), func(s int, h http1.Header) { interims = append(interims, fmt.Sprint(s, h)) })
		if b, err := read(t, a, err); b != "hi" || err != nil {
			t.Error(b, err)
		}
		if a.Status != 201 || a.Length != 2 || fmt.Sprint(a.Header) != "[{X-A 1} {X-A 2}]" || fmt.Sprint(a.Trailer()) != "[{Grpc-Status 0}]" {
			t.Errorf("%d %d %v %v", a.Status, a.Length, a.Header, a.Trailer())
		}
		if fmt.Sprint(interims) != "[103 [{Link </a>}]]" {
			t.Error(interims)
		}
	}
	a, err := tr.RoundTrip(t.Context(), addr, out("HEAD"), nil)
	if b, err := read(t, a, err); b != "" || err != nil || a.Length != 2 {
		t.Error(b, err, a.Length)
	}
}

// L11: whatever breaks, and wherever, the transport sends a request once. It reports
// that nothing was sent exactly if the target has certainly not acted on it.
// https://github.com/golang/go/issues/19943, https://github.com/traefik/traefik/issues/8990
func TestTransport_makesOneAttemptWhateverBreaks(t *testing.T) {
	reset := func(code http2.ErrCode) func(p *peer, s uint32) {
		return func(p *peer, s uint32) { _ = p.WriteRSTStream(s, code); p.drain() } // a failure shows in the transport
	}
	goAway := func(last func(s uint32) uint32, code http2.ErrCode) func(p *peer, s uint32) {
		return func(p *peer, s uint32) { _ = p.WriteGoAway(last(s), code, []byte("debug")) } // likewise
	}
	before, including := func(s uint32) uint32 { return s - 2 }, func(s uint32) uint32 { return s }
	for name, test := range map[string]struct {
		do     func(p *peer, stream uint32)
		reason http1.Reason
		sent   bool
	}{
		"refused":                          {reset(http2.ErrCodeRefusedStream), call.ReasonRefused, false},
		"reset as cancelled":               {reset(http2.ErrCodeCancel), http1.ReasonReset, true},
		"reset by an internal error":       {reset(http2.ErrCodeInternal), http1.ReasonReset, true},
		"reset by a protocol error":        {reset(http2.ErrCodeProtocol), http1.ReasonGarbage, true},
		"reset without an error":           {reset(http2.ErrCodeNo), http1.ReasonReset, true},
		"told to be calm":                  {reset(http2.ErrCodeEnhanceYourCalm), http1.ReasonReset, true},
		"going away before it":             {goAway(before, http2.ErrCodeNo), call.ReasonUnserved, false},
		"going away with an error before":  {goAway(before, http2.ErrCodeEnhanceYourCalm), call.ReasonUnserved, false},
		"going away after it, and closing": {goAway(including, http2.ErrCodeNo), http1.ReasonReset, true},
		"closing":                          {func(*peer, uint32) {}, http1.ReasonReset, true},
		"a head that is no head":           {func(p *peer, s uint32) { p.headers(s, false, "a", "b"); p.drain() }, http1.ReasonGarbage, true},
		"a status that is no number":       {func(p *peer, s uint32) { p.headers(s, true, ":status", "abc"); p.drain() }, http1.ReasonGarbage, true},
		"a status out of bounds":           {func(p *peer, s uint32) { p.headers(s, true, ":status", "1000"); p.drain() }, http1.ReasonGarbage, true},
		"data before a head":               {func(p *peer, s uint32) { _ = p.WriteData(s, true, []byte("x")); p.drain() }, http1.ReasonGarbage, true},
		"interim answers without end": {func(p *peer, s uint32) {
			for range 100 {
				p.headers(s, false, ":status", "103")
			}
			p.drain()
		}, http1.ReasonGarbage, true},
		"an interim answer that ends": {func(p *peer, s uint32) { p.headers(s, true, ":status", "103"); p.drain() }, http1.ReasonGarbage, true},
		"another protocol":            {func(p *peer, s uint32) { p.headers(s, false, ":status", "101"); p.drain() }, http1.ReasonGarbage, true},
		"a push": {func(p *peer, s uint32) {
			_ = p.WritePushPromise(http2.PushPromiseParam{StreamID: s, PromiseID: 2, BlockFragment: p.block(get("/")...), EndHeaders: true}) // a failure shows in the transport
			p.drain()
		}, http1.ReasonReset, true},
		"a frame that is too large": {func(p *peer, s uint32) {
			_, _ = p.Write([]byte{0xff, 0xff, 0xff, 0, 0, 0, 0, 0, byte(s)}) // a failure shows in the transport
			p.drain()
		}, http1.ReasonReset, true},
		"a header list that is too large": {func(p *peer, s uint32) {
			p.headers(s, false, ":status", "200", "a", strings.Repeat("x", 5000), "b", strings.Repeat("x", 5000))
			p.drain()
		}, http1.ReasonGarbage, true},
		"a header block without end (CVE-2023-45288)": {func(p *peer, s uint32) {
			err := p.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: p.block(":status", "200")})
			for part := p.block("x", strings.Repeat("y", 4000)); err == nil; {
				err = p.WriteContinuation(s, false, part)
			}
		}, http1.ReasonReset, true},
	} {
		t.Run(name, func(t *testing.T) {
			var executions atomic.Int32
			addr := target(t, func(p *peer) {
				for { // the first request of a connection is answered; the second is under test
					_, s := p.awaitHead()
					if s == 0 {
						return
					}
					if s == 1 {
						p.headers(s, true, ":status", "200")
						continue
					}
					executions.Add(1)
					test.do(p, s)
					return
				}
			})
			tr := transport(t, TransportConfig{MaxHead: 8 << 10})
			a, err := tr.RoundTrip(t.Context(), addr, out("GET"), nil)
			if _, err := read(t, a, err); err != nil {
				t.Fatal(err)
			}
			o := out("POST")
			o.Kept, o.Length = []byte("x"), 1
			o.Header.Add("Idempotency-Key", "k") // net/http's own pool would retry
			_, err = tr.RoundTrip(t.Context(), addr, o, nil)
			if r, sent := reason(t, err); r != test.reason || sent != test.sent {
				t.Errorf("%v, sent %v", err, sent)
			}
			if strings.Contains(err.Error(), "debug") {
				t.Error("the target's words are in the error:", err)
			}
			if n := executions.Load(); n != 1 {
				t.Errorf("%d executions", n)
			}
		})
	}
}

// An application can send a header that is larger than the target accepts. That is not
// a fault of the target, and a retry does not help.
func TestTransport_aHeaderThatTheTargetDoesNotTakeIsUnfit(t *testing.T) {
	addr := plainTarget(t, func(c net.Conn) {
		p := newPeer(t, c)
		_, _ = io.ReadFull(c, make([]byte, len(http2.ClientPreface)))                    // a failure shows in what follows
		_ = p.WriteSettings(http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: 100}) // likewise
		p.drain()
	})
	o := out("GET")
	o.Header.Add("X-Large", strings.Repeat("x", 100))
	_, err := transport(t, TransportConfig{}).RoundTrip(t.Context(), addr, o, nil)
	if r, sent := reason(t, err); r != http1.ReasonUnfit || sent {
		t.Error(err, sent)
	}
}

// The first stream of a connection is treated in the same way, though nothing was
// served before it.
func TestTransport_theFirstStreamMayBeRefusedToo(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(p *peer)
		want http1.Reason
	}{
		"reset":      {func(p *peer) { _ = p.WriteRSTStream(1, http2.ErrCodeRefusedStream) }, call.ReasonRefused}, // a failure shows in the transport
		"going away": {func(p *peer) { _ = p.WriteGoAway(0, http2.ErrCodeNo, nil) }, call.ReasonUnserved},         // likewise
	} {
		t.Run(name, func(t *testing.T) {
			addr := target(t, func(p *peer) { p.awaitHead(); test.do(p); p.drain() })
			_, err := transport(t, TransportConfig{}).RoundTrip(t.Context(), addr, out("GET"), nil)
			if r, sent := reason(t, err); r != test.want || sent {
				t.Error(err, sent)
			}
		})
	}
}

func TestTransport_anAnswerThatBreaksSaysSo(t *testing.T) {
	for name, test := range map[string]struct {
		do     func(p *peer, s uint32)
		reason http1.Reason
	}{
		"reset":                  {func(p *peer, s uint32) { _ = p.WriteRSTStream(s, http2.ErrCodeInternal); p.drain() }, http1.ReasonReset},
		"refused, too late":      {func(p *peer, s uint32) { _ = p.WriteRSTStream(s, http2.ErrCodeRefusedStream); p.drain() }, call.ReasonRefused},
		"closed":                 {func(*peer, uint32) {}, http1.ReasonReset},
		"going away, and closed": {func(p *peer, s uint32) { _ = p.WriteGoAway(s, http2.ErrCodeNo, nil) }, http1.ReasonReset},
		"shorter than announced": {func(p *peer, s uint32) { _ = p.WriteData(s, true, nil); p.drain() }, http1.ReasonReset},
		"longer than announced":  {func(p *peer, s uint32) { _ = p.WriteData(s, true, make([]byte, 200)); p.drain() }, http1.ReasonReset},
		"a second head":          {func(p *peer, s uint32) { p.headers(s, false, ":status", "200"); p.drain() }, http1.ReasonReset},
	} {
		t.Run(name, func(t *testing.T) {
			addr := target(t, func(p *peer) {
				_, s := p.awaitHead()
				p.headers(s, false, ":status", "200", "content-length", "100")
				_ = p.WriteData(s, false, []byte("half")) // a failure shows in the answer
				test.do(p, s)
			})
			a, err := transport(t, TransportConfig{}).RoundTrip(t.Context(), addr, out("GET"), nil)
			b, err := read(t, a, err)
			if r, sent := reason(t, err); r != test.reason || !sent || !strings.HasPrefix(b, "half") {
				t.Errorf("%q %v", b, err)
			}
		})
	}
}

// L11: a target that does not begin with HTTP/2 settings gets no request, because the
// request might be lost there and not be retried (https://github.com/golang/go/issues/19943).
func TestTransport_sendsNothingBeforeItIsGreeted(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(c net.Conn)
		says string
	}{
		"silence":       {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, "deadline exceeded"},
		"closing":       {func(net.Conn) {}, "closed the connection before it sent HTTP/2 settings"},
		"HTTP/1.1":      {func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); _, _ = io.Copy(io.Discard, c) }, "does not offer HTTP/2"},
		"another frame": {func(c net.Conn) { _ = newPeer(t, c).WritePing(false, [8]byte{}); _, _ = io.Copy(io.Discard, c) }, "does not offer HTTP/2"},
		"no streams": {func(c net.Conn) {
			_ = newPeer(t, c).WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0}) // a failure shows in the transport
			_, _ = io.Copy(io.Discard, c)
		}, "takes no streams"},
		"something else": {func(c net.Conn) { fmt.Fprint(c, "SSH-2.0-OpenSSH_9.6\r\n"); _, _ = io.Copy(io.Discard, c) }, "does not offer HTTP/2"},
	} {
		t.Run(name, func(t *testing.T) {
			body := newBody(strings.NewReader("x"))
			o := out("POST")
			o.Body, o.Length = body, 1
			_, err := transport(t, TransportConfig{ConnectTimeout: 100 * time.Millisecond}).RoundTrip(t.Context(), plainTarget(t, test.do), o, nil)
			if r, sent := reason(t, err); r != http1.ReasonConnect || sent || !strings.Contains(err.Error(), test.says) {
				t.Error(err, sent)
			}
			await(t, "the body to be closed", body.closed)
		})
	}
	_, err := transport(t, TransportConfig{}).RoundTrip(t.Context(), "127.0.0.1:1", out("GET"), nil)
	if r, sent := reason(t, err); r != http1.ReasonConnect || sent {
		t.Error(err)
	}
}

func TestTransport_refusesWhatHTTP2CannotSay(t *testing.T) {
	for name, change := range map[string]func(o *http1.Outgoing){
		"an upgrade":            func(o *http1.Outgoing) { o.Upgrade = "websocket" },
		"no host":               func(o *http1.Outgoing) { o.Host = "" },
		"a host that is none":   func(o *http1.Outgoing) { o.Host = "a/b" },
		"a path like a host":    func(o *http1.Outgoing) { o.Path = "//evil/a" },
		"a path that is none":   func(o *http1.Outgoing) { o.Path = "a" },
		"a method that is none": func(o *http1.Outgoing) { o.Method = "A B" },
		"a line break":          func(o *http1.Outgoing) { o.Header.Add("a", "b\r\nc: d") },
	} {
		t.Run(name, func(t *testing.T) {
			o := out("GET")
			body := newBody(strings.NewReader(""))
			o.Body = body
			change(o)
			_, err := transport(t, TransportConfig{}).RoundTrip(t.Context(), "127.0.0.1:1", o, nil)
			if r, sent := reason(t, err); r != http1.ReasonUnfit || sent {
				t.Error(err)
			}
			await(t, "the body to be closed", body.closed)
		})
	}
}

func TestTransport_endsWithItsCall(t *testing.T) {
	for name, test := range map[string]struct {
		end    func() (context.Context, context.CancelFunc)
		head   bool // a head comes before the end
		reason http1.Reason
	}{
		"the application leaves":    {func() (context.Context, context.CancelFunc) { return context.WithCancel(t.Context()) }, false, http1.ReasonGone},
		"it leaves amid the answer": {func() (context.Context, context.CancelFunc) { return context.WithCancel(t.Context()) }, true, http1.ReasonGone},
		"the call's time is up": {func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(t.Context(), 100*time.Millisecond)
		}, false, http1.ReasonTimeout},
		"its time is up amid the answer": {func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(t.Context(), 100*time.Millisecond)
		}, true, http1.ReasonTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := test.end()
			defer cancel()
			how := make(chan string, 1)
			addr := target(t, func(p *peer) {
				_, s := p.awaitHead()
				if test.head {
					p.headers(s, false, ":status", "200")
				} else if test.reason == http1.ReasonGone {
					cancel()
				}
				h, _, _ := p.ending(s)
				how <- h
			})
			o := out("POST")
			waiting, interrupt := io.Pipe() // the application will send more later
			o.Body, o.Length = newBody(waiting), -1
			defer func() { _ = interrupt.Close() }() // never fails
			a, err := transport(t, TransportConfig{}).RoundTrip(ctx, addr, o, nil)
			if test.head {
				if test.reason == http1.ReasonGone {
					time.AfterFunc(20*time.Millisecond, cancel)
				}
				_, err = read(t, a, err)
			}
			if r, sent := reason(t, err); r != test.reason || !sent {
				t.Error(err, sent)
			}
			if h := <-how; h != "reset CANCEL" {
				t.Error("the target saw", h)
			}
		})
	}
}

func TestTransport_limitsTheTimeToTheHead(t *testing.T) {
	addr := target(t, func(p *peer) { p.drain() })
	_, err := transport(t, TransportConfig{ResponseHeader: 50 * time.Millisecond}).RoundTrip(t.Context(), addr, out("GET"), nil)
	if r, sent := reason(t, err); r != http1.ReasonTimeout || !sent {
		t.Error(err)
	}
}

func TestTransport_closingAnAnswerEarlyResetsItsStream(t *testing.T) {
	how := make(chan string, 1)
	addr := target(t, func(p *peer) {
		_, s := p.awaitHead()
		p.headers(s, false, ":status", "200")
		h, _, _ := p.ending(s)
		how <- h
		p.drain()
	})
	a, err := transport(t, TransportConfig{}).RoundTrip(t.Context(), addr, out("GET"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = a.Body.Close(), a.Body.Close() // the second Close has no effect
	if h := <-how; h != "reset CANCEL" {
		t.Error(h)
	}
}
