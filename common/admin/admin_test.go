package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/lsm/fiso/common/connlimit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a server until the end of the test.
func start(t *testing.T, o Options, mount ...func(*Server)) *Server {
	t.Helper()
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mount {
		m(s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

// answer is a complete response.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request on a new connection.
func do(t *testing.T, url, method string, header ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		} else {
			r.Header.Set(header[i], header[i+1])
		}
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(body)}
}

// at returns the URL of a path.
func at(s *Server, path string) string { return "http://" + s.Addr().String() + path }

// UL11: a fault in a process that is ready is not shown as ok.
// U22: the answer of a server cannot control the terminal.
func TestServer_answersWhatItIsAsked(t *testing.T) {
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "fiso_test_total", Help: "A test."})
	registry.MustRegister(counter)
	counter.Add(7)
	var report atomic.Pointer[Report]
	s := start(t, Options{Registry: registry, Ready: func() Report { return *report.Load() }}, func(s *Server) {
		s.Handle("GET /{$}", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { serveText(w, 200, "page") }))
	})
	bad := Report{
		Checks: []Check{{Name: "flow order-events", OK: true}, {Name: "flow x", Reason: "dead letter topic refused:\nTOPIC_AUTHORIZATION_FAILED"}},
		Notes:  []string{"orders.yaml:3:5: unknown key\r\n  line"},
	}
	const verbose = "[ok] flow order-events\n[not ready] flow x: dead letter topic refused: TOPIC_AUTHORIZATION_FAILED\nnote: orders.yaml:3:5: unknown key   line\nnot ready\n"
	const full = `{"ready":false,"checks":[{"name":"flow order-events","ok":true},{"name":"flow x","ok":false,"reason":"dead letter topic refused:\nTOPIC_AUTHORIZATION_FAILED"}],"notes":["orders.yaml:3:5: unknown key\r\n  line"]}` + "\n"
	good := Report{Ready: true}
	degraded := Report{Ready: true, Checks: []Check{{Name: "target crm", Reason: "circuit open"}}}
	steering := Report{Ready: true, Checks: []Check{{Name: "target crm", Reason: "it answers \x1b[2J"}}}
	for _, tc := range []struct {
		method, path string
		report       Report
		status       int
		body         string // "" for any
	}{
		{"GET", "/healthz", bad, 200, "ok\n"},
		{"HEAD", "/healthz", bad, 200, ""},
		{"GET", "/readyz", good, 200, "ready\n"},
		{"GET", "/readyz", bad, 503, "not ready\n"},
		{"GET", "/readyz?verbose", bad, 503, verbose},
		{"GET", "/readyz?verbose=true", good, 200, "ready\n"},
		{"GET", "/readyz?verbose", degraded, 200, "[degraded] target crm: circuit open\nready\n"},
		{"GET", "/readyz?verbose", steering, 200, `[degraded] target crm: it answers \x1b[2J` + "\nready\n"},
		{"GET", "/readyz?verbose=false", bad, 503, "not ready\n"},
		{"GET", "/readyz?verbose&output=json", bad, 503, full},
		{"GET", "/readyz?verbose&output=json", good, 200, `{"ready":true,"checks":[],"notes":[]}` + "\n"},
		{"GET", "/readyz?output=json", bad, 503, `{"ready":false}` + "\n"},
		{"GET", "/", good, 200, "page"},
		{"GET", "/nothing", good, 404, ""},
		{"POST", "/healthz", good, 405, "method not allowed: use GET or HEAD\n"},
		{"DELETE", "/", good, 405, ""},
	} {
		t.Run(tc.method+" "+tc.path, func(t *testing.T) {
			report.Store(&tc.report)
			got := do(t, at(s, tc.path), tc.method)
			if got.status != tc.status || tc.body != "" && got.body != tc.body {
				t.Errorf("%d %q, want %d %q", got.status, got.body, tc.status, tc.body)
			}
			if strings.HasSuffix(tc.path, "json") && (got.header.Get("Content-Type") != "application/json" || !json.Valid([]byte(got.body))) {
				t.Errorf("%s is no JSON: %q", got.header.Get("Content-Type"), got.body)
			}
			if tc.status == 405 && got.header.Get("Allow") != "GET, HEAD" {
				t.Errorf("Allow is %q", got.header.Get("Allow"))
			}
		})
	}
	got := do(t, at(s, "/metrics"), "GET")
	if got.status != 200 || !strings.Contains(got.body, "\nfiso_test_total 7\n") {
		t.Errorf("/metrics: %d %s", got.status, got.body)
	}
}

func TestServer_isReadyAndEmptyByDefault(t *testing.T) {
	s := start(t, Options{})
	for _, path := range []string{"/readyz", "/metrics"} {
		if got := do(t, at(s, path), "GET"); got.status != 200 {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

// Hazard L9, https://github.com/golang/go/issues/23993: any web page can call a
// loopback listener.
func TestServer_onLoopbackRefusesWhatAWebPageCouldSend(t *testing.T) {
	s := start(t, Options{})
	own := "http://" + s.Addr().String()
	for _, tc := range []struct {
		name   string
		header []string
		status int
	}{
		{"plain", nil, 200},
		{"localhost", []string{"Host", "localhost:9090"}, 200},
		{"LOCALHOST without port", []string{"Host", "LOCALHOST"}, 200},
		{"IPv6", []string{"Host", "[::1]:9090"}, 200},
		{"IPv6 without port", []string{"Host", "[::1]"}, 200},
		{"mapped", []string{"Host", "[::ffff:127.0.0.1]:1"}, 200},
		{"another of the network", []string{"Host", "127.9.9.9"}, 200},
		{"rebound name", []string{"Host", "evil.example"}, 403},
		{"name that begins well", []string{"Host", "localhost.evil.example"}, 403},
		{"another address", []string{"Host", "10.0.0.1:9090"}, 403},
		{"own origin", []string{"Origin", own}, 200},
		{"another origin", []string{"Origin", "https://evil.example"}, 403},
		{"another port", []string{"Origin", "http://127.0.0.1:1"}, 403},
		{"hidden origin", []string{"Origin", "null"}, 403},
		{"origin that is no URL", []string{"Origin", "http://%zz"}, 403},
		{"image on another page", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, 403},
		{"frame on another page", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, 403},
		{"page on another port", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"own page", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"link from another page", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := do(t, at(s, "/healthz"), "GET", tc.header...); got.status != tc.status {
				t.Errorf("%d %q, want %d", got.status, got.body, tc.status)
			}
		})
	}
}

func TestServer_elsewhereIsCalledByAnyName(t *testing.T) {
	s := start(t, Options{Addr: "0.0.0.0:0"})
	_, port, err := net.SplitHostPort(s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if got := do(t, "http://127.0.0.1:"+port+"/healthz", "GET", "Host", "fiso.prod.svc:9090", "Origin", "https://console.example"); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestNew_saysWhatToChangeWhenItCannotListen(t *testing.T) {
	taken, err := New(Options{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	addr := taken.Addr().String()
	for _, tc := range []struct {
		o    Options
		want string
	}{
		{Options{Addr: addr, Setting: "--metrics-addr or FISO_METRICS_ADDR"}, "metrics address " + addr + " is in use by another process: stop it, or set --metrics-addr or FISO_METRICS_ADDR"},
		{Options{Addr: addr}, "or set another address"},
		{Options{Addr: "no port"}, `listen on metrics address "no port" (set another address to change it): listen tcp`},
	} {
		if s, err := New(tc.o); err == nil || !strings.HasPrefix(err.Error(), tc.want) && !strings.HasSuffix(err.Error(), tc.want) {
			t.Errorf("%v, %v, want %s", s, err, tc.want)
		}
	}
	if err := taken.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	again, err := New(Options{Addr: addr})
	if err != nil {
		t.Fatalf("the address was not given back: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func TestServer_boundsWhatACallerMayTake(t *testing.T) {
	s := start(t, Options{})
	for name, d := range map[string]time.Duration{
		"ReadHeaderTimeout": s.http.ReadHeaderTimeout, "ReadTimeout": s.http.ReadTimeout,
		"WriteTimeout": s.http.WriteTimeout, "IdleTimeout": s.http.IdleTimeout,
	} {
		if d <= 0 || d > 2*time.Minute {
			t.Errorf("%s is %v", name, d)
		}
	}
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // a test
	// Exactly what the server reads before it refuses (net/http allows 4 KiB more):
	// unread bytes would reset the connection before the client reads the answer.
	const begin = "GET /healthz HTTP/1.1\r\nX-Long: "
	if _, err := io.WriteString(c, begin+strings.Repeat("x", maxHeaderBytes+4096-len(begin))); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 431 ") {
		t.Errorf("headers beyond the limit: %q, %v", line, err)
	}
}

// L14, https://nvd.nist.gov/vuln/detail/CVE-2007-6750 (Slowloris): a caller that fills
// the metrics port with connections makes the probes fail, and the process is killed.
// U13: so did 64 requests whose body never came, and 64 callers that did not read
// their answers.
func TestServer_closesAnIdleConnectionForANewOne(t *testing.T) {
	for _, row := range []struct{ name, said string }{
		{"says nothing", ""},
		{"half a request line", "GET /heal"},
		{"half a head", "GET /healthz HTTP/1.1\r\nHost:"},
		{"a length and no body", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"},
		{"a length and no body, by POST", "POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"},
		{"a huge length", "GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n"},
		{"chunks that do not come", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"a promise of a body", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"},
		{"asked once, then idle", probe},
		{"does not read", "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := start(t, Options{}, func(s *Server) {
				s.Handle("/large", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 16<<20)) }))
			})
			for range maxConnections + 8 {
				dial(t, s, row.said)
			}
			begin := time.Now()
			if line, err := firstLine(dial(t, s, probe)); err != nil || line != "HTTP/1.1 200 OK\r\n" {
				t.Fatalf("%q, %v", line, err)
			}
			// A caller that does not read has slowCallerTimeout, again for each connection.
			if took := time.Since(begin); took > readTimeout/2 {
				t.Errorf("a probe took %v", took)
			}
		})
	}
}

// U31: each connection beyond the limit waited for 250 ms, so 500 idle connections
// delayed a probe by two seconds, and a kubelet waits for one.
func TestServer_aFloodOfConnectionsHoldsUpNoProbe(t *testing.T) {
	s := start(t, Options{})
	for range 500 {
		dial(t, s, "")
	}
	begin := time.Now()
	if line, err := firstLine(dial(t, s, probe)); err != nil || line != "HTTP/1.1 200 OK\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("a probe took %v", took)
	}
}

const probe = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"

// dial opens a connection until the end of the test, and sends said.
func dial(t *testing.T, s *Server, said string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, said); err != nil {
		t.Fatal(err)
	}
	return c
}

func firstLine(c net.Conn) (string, error) {
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return "", err
	}
	return bufio.NewReader(c).ReadString('\n')
}

// U13: net/http waits for a body before it answers.
func TestServer_refusesABodyAtOnce(t *testing.T) {
	s := start(t, Options{})
	for _, row := range []struct{ name, head string }{
		{"Content-Length", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"},
		{"chunked", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"POST", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, begin := dial(t, s, row.head), time.Now()
			if err := c.SetReadDeadline(begin.Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(c) // until the server closes
			if err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 413 ") || !strings.HasSuffix(string(text), "\r\n\r\ncontent too large: send no body, this port takes none\n") {
				t.Errorf("%q, %v", text, err)
			}
			if took := time.Since(begin); took > readTimeout/2 {
				t.Errorf("the connection was closed after %v", took)
			}
		})
	}
}

func TestServer_opensNoMoreConnectionsThanItAnswers(t *testing.T) {
	finish := make(chan struct{})
	var answering atomic.Int32
	s := start(t, Options{}, func(s *Server) {
		s.Handle("/slow", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { answering.Add(1); <-finish }))
	})
	ended := make(chan error, maxConnections+1)
	ask := func() {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := io.WriteString(c, "GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		go func() {
			line, err := bufio.NewReader(c).ReadString('\n')
			if err == nil && line != "HTTP/1.1 200 OK\r\n" {
				err = errors.New(line)
			}
			ended <- err
		}()
	}
	for i := range maxConnections {
		ask()
		for end := time.Now().Add(10 * time.Second); int(answering.Load()) <= i && time.Now().Before(end); {
			runtime.Gosched()
		}
	}
	ask() // one more than the limit
	select {
	case err := <-ended:
		close(finish)
		t.Fatalf("one ended before it was answered: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	if n := answering.Load(); n != maxConnections {
		t.Errorf("%d are answered at once, want %d", n, maxConnections)
	}
	close(finish)
	for range maxConnections + 1 { // the waiting connection replaces an answered one
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestServer_stopsWhileItsConnectionsAreAllTaken(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := connlimit.New(inner, 0, slowCallerTimeout)
	c, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // a test
	got := make(chan error, 1)
	go func() { _, err := l.Accept(); got <- err }()
	if err := errors.Join(l.Close(), <-got); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept returned %v", err)
	}
	if err := l.Close(); err == nil {
		t.Error("a second Close of the listener below went well")
	}
}

func TestRun_endsRequestsUnderWayInBoundedTime(t *testing.T) {
	for name, obeys := range map[string]bool{"handler that obeys its context": true, "handler that does not": false} {
		t.Run(name, func(t *testing.T) {
			s, err := New(Options{Addr: "127.0.0.1:0"})
			if err != nil {
				t.Fatal(err)
			}
			entered, end := make(chan struct{}), make(chan struct{})
			s.Handle("/slow", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				close(entered)
				if obeys {
					<-r.Context().Done()
				} else {
					<-end
				}
			}))
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx) }()
			asked := make(chan struct{})
			go func() {
				defer close(asked)
				r, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, "http://"+s.Addr().String()+"/slow", nil)
				if err != nil {
					t.Error(err)
					return
				}
				if response, err := http.DefaultTransport.RoundTrip(r); err == nil {
					_ = response.Body.Close()
				}
			}()
			<-entered
			begin := time.Now()
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
			if took := time.Since(begin); took > shutdownTimeout+5*time.Second || !obeys && took < shutdownTimeout {
				t.Errorf("Run took %v to end", took)
			}
			close(end)
			<-asked
		})
	}
}

func TestRun_saysThatTheListenerBroke(t *testing.T) {
	s, err := New(Options{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "serve metrics: ") {
		t.Errorf("Run: %v", err)
	}
}

func TestServer_tellsItsLoggerWhatGoesWrong(t *testing.T) {
	var b bytes.Buffer
	registry := prometheus.NewRegistry()
	registry.MustRegister(brokenCollector{})
	s, err := New(Options{Addr: "127.0.0.1:0", Registry: registry, Logger: slog.New(slog.NewTextHandler(&b, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // a test
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/metrics", nil)
	s.http.Handler.ServeHTTP(httptest.NewRecorder(), r)
	if !strings.Contains(b.String(), "level=WARN") || !strings.Contains(b.String(), "broken collector") {
		t.Errorf("logged %q", b.String())
	}
}

type brokenCollector struct{}

func (brokenCollector) Describe(c chan<- *prometheus.Desc) {
	c <- prometheus.NewDesc("fiso_broken", "Broken.", nil, nil)
}

func (brokenCollector) Collect(c chan<- prometheus.Metric) {
	c <- prometheus.NewInvalidMetric(prometheus.NewDesc("fiso_broken", "Broken.", nil, nil), errors.New("broken collector"))
}
