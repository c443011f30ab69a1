package h2

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/lsm/fiso/common/http1"
)

// client returns net/http's client for HTTP/2 with prior knowledge.
func client(t testing.TB) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	c := &http.Transport{Protocols: protocols, DisableCompression: true}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func TestServer_passesARequestOnAndTheAnswerBack(t *testing.T) {
	addr := listen(t, &Server{Handler: handler(func(_ context.Context, w http1.ResponseWriter, r *http1.Request) {
		_ = w.Inform(103, http1.Header{{Name: "Link", Value: "</a>"}}) // a failure shows in the client
		b, err := io.ReadAll(r.Body)
		if !w.Begun() {
			_ = w.Head(201, http1.Header{{Name: "X-A", Value: "1"}, {Name: "x-a", Value: "2"}, {Name: "Connection", Value: "close"}}, -1)
		}
		fmt.Fprintf(w, "%s %s %s %s %v %v %d %v %s %v", r.Method, r.Target, r.Host, b, err, r.HTTP2, r.Length, r.Header.Get("X-B"), r.Trailer().Get("X-T"), r.Remote != nil)
		if w.Head(500, nil, 0) == nil {
			t.Error("a second head")
		}
		_ = w.Inform(103, nil) // too late, so it has no effect
		if _, err := w.Upgrade(nil); err == nil {
			t.Error("an upgrade")
		}
		_ = w.End(http1.Header{{Name: "X-Sum", Value: "s"}}) // a failure shows in the client
	})})
	body := io.MultiReader(strings.NewReader("he"), strings.NewReader("llo"))
	hint := ""
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
		hint = fmt.Sprint(status, h)
		return nil
	}})
	req, err := http.NewRequestWithContext(ctx, "POST", "http://"+addr+"/", body)
	if err != nil {
		t.Fatal(err)
	}
	req.URL.Opaque, req.Host = "/a%2Fb//%C3/../c?x=1;y&%zz", "localhost:1"
	req.Header.Set("X-B", "b")
	req.Trailer = http.Header{"X-T": {"t"}}
	resp, err := client(t).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // it has been read
	b, err := io.ReadAll(resp.Body)
	want := "POST /a%2Fb//%C3/../c?x=1;y&%zz localhost:1 hello <nil> true -1 b t true"
	if string(b) != want || err != nil || resp.StatusCode != 201 || resp.Trailer.Get("X-Sum") != "s" {
		t.Errorf("%d %s %v %v", resp.StatusCode, b, err, resp.Trailer)
	}
	if len(resp.Header) != 1 || fmt.Sprint(resp.Header["X-A"]) != "[1 2]" {
		t.Errorf("net/http added to the header: %v", resp.Header)
	}
	if hint != "103 map[Link:[</a>]]" {
		t.Errorf("the interim answer: %s", hint)
	}
}

func TestServer_carriesBothWaysAtOnce(t *testing.T) {
	addr := listen(t, &Server{Handler: handler(func(_ context.Context, w http1.ResponseWriter, r *http1.Request) {
		_ = w.Head(200, nil, -1) // a failure shows in the client
		_ = w.Flush()            // likewise
		buf := make([]byte, 10)
		for {
			n, err := r.Body.Read(buf)
			if err != nil {
				break
			}
			_, _ = w.Write([]byte(strings.ToUpper(string(buf[:n])))) // likewise
			_ = w.Flush()                                            // likewise
		}
		_ = w.End(nil) // likewise
	})})
	out, in := io.Pipe()
	req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://"+addr+"/", out)
	resp, err := client(t).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // it has been read
	buf := make([]byte, 10)
	for _, word := range []string{"one", "two", "three"} {
		_, _ = io.WriteString(in, word) // a failure shows in the answer
		if n, err := io.ReadFull(resp.Body, buf[:len(word)]); string(buf[:n]) != strings.ToUpper(word) {
			t.Fatal(string(buf[:n]), err)
		}
	}
	_ = in.Close() // never fails
	if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
		t.Error(rest, err)
	}
}

func TestServer_framesAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		method string
		status int
		length int64
		write  string
		header string // of the answer
	}{
		"a length":                  {"GET", 200, 2, "hi", "content-length=2"},
		"none":                      {"GET", 200, 0, "", "content-length=0"},
		"a stream":                  {"GET", 200, -1, "hi", ""},
		"HEAD":                      {"HEAD", 200, 7, "hi", "content-length=7"},
		"HEAD of a stream":          {"HEAD", 200, -1, "hi", ""},
		"204":                       {"GET", 204, 0, "", ""},
		"204 with a length":         {"GET", 204, 5, "", ""},
		"304 with that of the body": {"GET", 304, 5, "", "content-length=5"},
	} {
		t.Run(name, func(t *testing.T) {
			addr := listen(t, &Server{Handler: handler(func(_ context.Context, w http1.ResponseWriter, _ *http1.Request) {
				_ = w.Head(test.status, nil, test.length) // a failure shows in the client
				_, _ = io.WriteString(w, test.write)      // likewise
				_ = w.End(nil)                            // likewise
			})})
			p := application(t, addr)
			p.headers(1, true, ":method", test.method, ":scheme", "http", ":authority", "localhost", ":path", "/")
			h, _ := p.awaitHead()
			if h == nil {
				t.Fatal("no answer")
			}
			var got []string
			for _, f := range h.RegularFields() {
				got = append(got, f.Name+"="+f.Value)
			}
			if s := strings.Join(got, " "); s != test.header || h.PseudoValue("status") != fmt.Sprint(test.status) {
				t.Errorf("%s, %s", h.PseudoValue("status"), s)
			}
			if h.StreamEnded() {
				return
			}
			if how, _, body := p.ending(1); how != "end" || body != test.write {
				t.Errorf("%s %q", how, body)
			}
		})
	}
}

// A gRPC head that ends the stream (Trailers-Only) still does after Flush: clients read
// its status only there.
func TestServer_aHeadThatIsTheEndStaysOne(t *testing.T) {
	addr := listen(t, &Server{Handler: handler(func(_ context.Context, w http1.ResponseWriter, _ *http1.Request) {
		_ = w.Head(200, http1.Header{{Name: "Content-Type", Value: "application/grpc"}, {Name: "Grpc-Status", Value: "5"}}, 0)
		_ = w.Flush()  // waits for End
		_ = w.End(nil) // a failure shows in the client
	})})
	p := application(t, addr)
	p.headers(1, true, get("/")...)
	h, _ := p.awaitHead()
	if h == nil || !h.StreamEnded() || len(h.RegularFields()) != 2 {
		t.Errorf("%v", h)
	}
}

// L3 and L7 over HTTP/2, and https://github.com/grpc/grpc-go/security/advisories (CVE-2026-33186):
// a :path without its slash slips past rules that begin with one.
func TestServer_refusesWhatIsMalformed(t *testing.T) {
	long := strings.Repeat("x", 20<<10)
	many := get("/")
	for range maxFields + 1 {
		many = append(many, "a", "b")
	}
	for name, test := range map[string]struct {
		fields []string
		status string // "": the stream is reset
		body   bool   // there is one
	}{
		"a method that is no token":   {[]string{":method", "GET /evil", ":scheme", "http", ":authority", "a", ":path", "/"}, "400", false},
		"no slash":                    {[]string{":method", "POST", ":scheme", "http", ":authority", "a", ":path", "pkg.Service/Method"}, "", false},
		"asterisk":                    {[]string{":method", "OPTIONS", ":scheme", "http", ":authority", "a", ":path", "*"}, "400", false},
		"absolute form":               {[]string{":method", "GET", ":scheme", "http", ":authority", "a", ":path", "http://b/"}, "400", false},
		"opaque":                      {[]string{":method", "GET", ":scheme", "http", ":authority", "a", ":path", "http:http://b/"}, "400", false},
		"fragment":                    {get("/a#b"), "400", false},
		"space in the path":           {get("/a b"), "400", false},
		"beyond ASCII in the path":    {get("/ä"), "400", false},
		"no path":                     {[]string{":method", "GET", ":scheme", "http", ":authority", "a"}, "", false},
		"an empty path":               {get(""), "", false},
		"no method":                   {[]string{":scheme", "http", ":authority", "a", ":path", "/"}, "", false},
		"no scheme":                   {[]string{":method", "GET", ":authority", "a", ":path", "/"}, "", false},
		"two paths":                   {get("/", ":path", "/b"), "", false},
		"an unknown pseudo-field":     {get("/", ":evil", "b"), "", false},
		"a pseudo-field after others": {[]string{":method", "GET", ":scheme", "http", "a", "b", ":authority", "a", ":path", "/"}, "", false},
		"CONNECT":                     {[]string{":method", "CONNECT", ":authority", "a:1"}, "400", false},
		"CONNECT with a path":         {[]string{":method", "CONNECT", ":scheme", "http", ":authority", "a:1", ":path", "/"}, "", false},
		"extended CONNECT":            {[]string{":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "a:1", ":path", "/"}, "", false},
		"no authority":                {[]string{":method", "GET", ":scheme", "http", ":path", "/"}, "400", false},
		"an authority that is none":   {[]string{":method", "GET", ":scheme", "http", ":authority", "a/b", ":path", "/"}, "400", false},
		"a user in the authority":     {[]string{":method", "GET", ":scheme", "http", ":authority", "localhost@evil", ":path", "/"}, "", false},
		"another Host":                {get("/", "host", "evil"), "400", false},
		"two Hosts":                   {get("/", "host", "localhost", "host", "localhost"), "400", false},
		"two lengths":                 {get("/", "content-length", "1", "content-length", "2"), "400", true},
		"a length that is no number":  {get("/", "content-length", "+1"), "400", true},
		"a length without a body":     {get("/", "content-length", "1"), "400", false},
		"upper case":                  {get("/", "X-A", "b"), "", false},
		"a line break in a value":     {get("/", "x-a", "b\r\nc: d"), "", false},
		"a space in a name":           {get("/", "x a", "b"), "", false},
		"connection":                  {get("/", "connection", "x-a"), "400", false},
		"transfer-encoding":           {get("/", "transfer-encoding", "chunked"), "400", true},
		"upgrade":                     {get("/", "upgrade", "h2c"), "400", false},
		"keep-alive":                  {get("/", "keep-alive", "1"), "400", false},
		"proxy-connection":            {get("/", "proxy-connection", "a"), "400", false},
		"http2-settings":              {get("/", "http2-settings", "AAMAAABkAARAAAAA"), "400", false},
		"an expectation":              {get("/", "expect", "miracles"), "417", false}, // UL9: RFC 9110, section 10.1.1
		"te other than trailers":      {get("/", "te", "gzip"), "400", false},
		"a list over the limit":       {get("/", "a", long, "b", long), "431", false},
		"a list far over the limit":   {get("/", "a", long, "b", long, "c", long, "d", long), "431", false},
		"too many fields":             {many, "431", false},
	} {
		t.Run(name, func(t *testing.T) {
			served := false
			addr := listen(t, &Server{Limits: Limits{Head: 38 << 10}, Handler: handler(func(_ context.Context, w http1.ResponseWriter, _ *http1.Request) {
				served = true
				answer(w, 200, "")
			})})
			p := application(t, addr)
			block := p.block(test.fields...)
			_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:min(len(block), 16000)], EndHeaders: len(block) <= 16000, EndStream: !test.body})
			for i := 16000; i < len(block); i += 16000 {
				_ = p.WriteContinuation(1, i+16000 >= len(block), block[i:min(len(block), i+16000)]) // a failure shows in the answer
			}
			how, status, _ := p.ending(1)
			if status != test.status || test.status == "" && how == "end" || served {
				t.Errorf("%s, status %q, served %v", how, status, served)
			}
		})
	}
}

func TestServer_takesWhatIsWellFormed(t *testing.T) {
	for name, fields := range map[string][]string{
		"te trailers":        get("/", "te", "trailers"),
		"the same Host":      get("/", "host", "LOCALHOST"),
		"Host alone":         {":method", "GET", ":scheme", "http", ":path", "/", "host", "localhost"},
		"a method of others": {":method", "PROPFIND", ":scheme", "https", ":authority", "[::1]:1", ":path", "/"},
		"cookies in crumbs":  get("/", "cookie", "a=b", "cookie", "c=d"),
		"UTF-8 in the query": get("/?q=ä"), // UL9
	} {
		t.Run(name, func(t *testing.T) {
			addr := listen(t, &Server{Handler: handler(func(_ context.Context, w http1.ResponseWriter, r *http1.Request) {
				answer(w, 200, r.Host+r.Header.Get("Cookie"))
			})})
			p := application(t, addr)
			p.headers(1, true, fields...)
			if how, status, body := p.ending(1); how != "end" || status != "200" || body == "" || name == "cookies in crumbs" && body != "localhosta=b; c=d" {
				t.Errorf("%s %s %q", how, status, body)
			}
		})
	}
}
