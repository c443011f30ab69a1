package server

import (
	"bufio"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/link/spec"
)

// http2Client is an HTTP/2 client with prior knowledge.
func http2Client(t *testing.T) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	c := &http.Transport{Protocols: protocols}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// post makes a call over HTTP/2, and returns its answer and the body.
func (l *link) post(c *http.Transport, path string, fields ...string) (*http.Response, string) {
	l.t.Helper()
	r, err := http.NewRequestWithContext(l.t.Context(), "POST", "http://"+l.calls+path, strings.NewReader("hello"))
	if err != nil {
		l.t.Fatal(err)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	resp, err := c.RoundTrip(r)
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Error(err)
	}
	return resp, string(b)
}

// speaking answers with the protocol of the request.
func speaking(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", "12")
	}
	fmt.Fprintf(w, "%s %s %s", r.Proto, r.Host, b)
}

// secureServer is a TLS server, with the target's settings for it.
func secureServer(t *testing.T, h2 bool) (addr, tls string) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(speaking))
	s.EnableHTTP2 = h2
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.Listener.Addr().String(), ", tls: {caFile: " + ca + ", serverName: example.com}"
}

// plain is an HTTP/2 server without TLS.
func plain(t *testing.T) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(speaking))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestHTTP2_eitherSideMaySpeakIt(t *testing.T) {
	encrypted, settings := secureServer(t, true)
	without, settings1 := secureServer(t, false)
	h2c := plain(t)
	l := start(t, "targets:\n"+aTarget("http", upstream(t, "x"), "")+
		fmt.Sprintf("  - {name: h2c, protocol: h2c, host: crm.example, endpoints: ['%s']}\n", h2c)+
		fmt.Sprintf("  - {name: grpc, protocol: grpc, host: crm.example, endpoints: ['%s']%s}\n", encrypted, settings)+
		fmt.Sprintf("  - {name: https, host: crm.example, endpoints: ['%s']%s}\n", encrypted, settings)+
		fmt.Sprintf("  - {name: https1, host: crm.example, endpoints: ['%s']%s, circuitBreaker: {failureThreshold: 1}}\n", without, settings1))
	c := http2Client(t)
	for _, test := range []struct{ target, kind, want, code string }{
		{"http", "", "x", ""},
		{"h2c", "", "HTTP/2.0 crm.example hello", ""},
		{"grpc", "", "HTTP/2.0 crm.example hello", ""},
		{"https", "", "HTTP/1.1 crm.example hello", ""},
		{"https", "application/grpc", "HTTP/2.0 crm.example hello", ""},
		{"https1", "application/grpc", "", "BAD_REQUEST"},
		{"https1", "", "HTTP/1.1 crm.example hello", ""}, // the breaker does not count it
		{"nowhere", "", "UNKNOWN_TARGET", "UNKNOWN_TARGET"},
	} {
		resp, body := l.post(c, "/link/"+test.target+"/", "Content-Type", test.kind)
		if resp.ProtoMajor != 2 || !strings.Contains(body, test.want) || resp.Header.Get("fiso-error") != test.code {
			t.Errorf("%s %s: %s %q %v", test.target, test.kind, resp.Proto, body, resp.Header)
		}
	}
	if status, body := l.call("h2c/"); status != 200 || body != "HTTP/2.0 crm.example " {
		t.Error("from HTTP/1.1:", status, body)
	}
	l.shows(`fiso_link_requests_total{method="POST",mode="sync",status="200",target="h2c"} 1`,
		`fiso_link_requests_total{method="POST",mode="stream",status="200",target="https"} 1`, `fiso_link_requests_total{method="POST",mode="sync",status="404",target="unknown"} 1`,
		`fiso_link_request_duration_seconds_count{method="POST",target="grpc"} 1`, `fiso_link_circuit_state{target="https1"} 0`)
}

func TestHTTP2_isGuardedAsEver(t *testing.T) {
	l := start(t, "targets:\n"+aTarget("x", upstream(t, "x"), ""))
	for name, fields := range map[string][]string{
		"ORIGIN_NOT_ALLOWED": {"Origin", "https://evil.example"},
		"BAD_REQUEST":        {"Te", "gzip"},
	} {
		resp, body := l.post(http2Client(t), "/link/x/", fields...)
		if !strings.Contains(body, name) && !(name == "BAD_REQUEST" && resp.StatusCode == 400) {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
	r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+l.calls+"/link/x/", nil)
	r.Host = "evil.example"
	resp, err := http2Client(t).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() // its head says it
	if resp.Header.Get("fiso-error") != "HOST_NOT_ALLOWED" {
		t.Error(resp.Header)
	}
}

// L6: https://github.com/golang/go/issues/80416. HTTP/2 begins with its preface only: a
// request with Upgrade is an HTTP/1.1 request, and what follows it is read as the next
// one.
func TestHTTP2_isNotUpgradedTo(t *testing.T) {
	seen := make(chan http.Header, 1)
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }))
	defer up.Close()
	l := start(t, "targets:\n"+aTarget("x", up.Listener.Addr().String(), ""))
	c, err := net.Dial("tcp", l.calls)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()                    // the test is over
	_ = c.SetDeadline(time.Now().Add(10 * time.Second)) // fails with what follows
	fmt.Fprint(c, "GET /link/x/a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAA\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	if h := <-seen; h.Get("Upgrade")+h.Get("Http2-Settings")+h.Get("Connection") != "" {
		t.Error("the target saw", h)
	}
	if resp, err = http.ReadResponse(in, nil); err != nil || resp.StatusCode != 400 {
		t.Error("a preface that is no beginning:", resp, err)
	}
	_ = resp.Body.Close() // its head says it
}

func TestHTTP2_streamsEndByTheDrainDeadline(t *testing.T) {
	stopping := make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n\n") // the application sees it
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == "/long" {
			<-r.Context().Done()
			return
		}
		select {
		case <-stopping:
		case <-r.Context().Done():
		}
	}))
	defer up.Close()
	for path, whole := range map[string]bool{"short": true, "long": false} {
		t.Run(path, func(t *testing.T) {
			l := start(t, "targets:\n"+aTarget("x", up.Listener.Addr().String(), ""), func(i *Server) {
				if whole { // even on a slow machine
					i.cfg.DrainTimeout = 10 * time.Second
				}
			})
			r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+l.calls+"/link/x/"+path, nil)
			resp, err := http2Client(t).RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }() // it was read
			stopped := make(chan error, 1)
			go func() { stopped <- l.stop() }()
			if whole {
				eventually(t, "the drain", func() bool { code, _ := get(t, "http://"+l.admin+"/readyz"); return code == 503 })
				close(stopping)
			}
			b, err := io.ReadAll(resp.Body)
			if !strings.HasPrefix(string(b), "data") || (err == nil) != whole {
				t.Errorf("%q %v", b, err)
			}
			if err := <-stopped; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCheck_asksForTheHealthOfAServerOfGRPC(t *testing.T) {
	for name, test := range map[string]struct {
		status, trailer string
		body            []byte
		want            string
	}{
		"serving":          {"", "0", []byte{0, 0, 0, 0, 2, 8, 1}, ""},
		"not serving":      {"", "0", []byte{0, 0, 0, 0, 2, 8, 2}, "not serving"},
		"without a health": {"12", "", nil, ""},
		"not let in":       {"16", "", nil, "is the credential right"},
		"in trouble":       {"", "14", nil, "grpc-status 14"},
		"not gRPC":         {"", "", []byte("hi"), "which is not a gRPC answer"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if b, _ := io.ReadAll(r.Body); r.Method != "POST" || r.URL.Path != "/grpc.health.v1.Health/Check" || string(b) != "\x00\x00\x00\x00\x00" {
					t.Errorf("%s %s %q", r.Method, r.URL.Path, b)
				}
				if test.status != "" {
					w.Header().Set("Grpc-Status", test.status)
				}
				_, _ = w.Write(test.body) // the check sees it
				if test.trailer != "" {
					w.Header().Set(http.TrailerPrefix+"Grpc-Status", test.trailer)
				}
			}))
			s.Config.Protocols = new(http.Protocols)
			s.Config.Protocols.SetUnencryptedHTTP2(true)
			s.Start()
			defer s.Close()
			cfg, err := spec.Parse("config.yaml", []byte("targets: [{name: x, protocol: grpc, host: '"+s.Listener.Addr().String()+"'}]"))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			steps, err := Check(ctx, cfg)
			if err != nil {
				t.Fatal(err)
			}
			last := steps[len(steps)-1]
			if (last.Err == nil) != (test.want == "") || last.Err != nil && !strings.Contains(last.Err.Error(), test.want) {
				t.Errorf("%s: %v", last.Name, last.Err)
			}
		})
	}
}
