package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/h1"
	"github.com/lsm/fiso/link/internal/resilience"
	"github.com/lsm/fiso/link/internal/target"
	"github.com/lsm/fiso/link/spec"
)

// one is the endpoints of a target with a single one.
type one string

func (o one) Pick(context.Context, []string) (string, func(resilience.Outcome), error) {
	return string(o), func(resilience.Outcome) {}, nil
}
func (one) Close() {}

// newTarget is a target named crm of that server, with settings of its own.
func newTarget(t testing.TB, address, settings string) *target.Target {
	t.Helper()
	text := "targets:\n  - name: crm\n    protocol: http\n    host: crm.example\n    retry: {initialInterval: 1ms}\n"
	for l := range strings.Lines(settings) {
		text += "    " + strings.TrimRight(l, "\n") + "\n"
	}
	if strings.Contains(settings, "retry:") {
		text = strings.Replace(text, "    retry: {initialInterval: 1ms}\n", "", 1)
	}
	c, err := spec.Parse("config.yaml", []byte(text), config.Env(func(string) (string, bool) { return "", false }))
	if err != nil {
		t.Fatal(err)
	}
	tr := h1.NewTransport(h1.TransportConfig{ConnectTimeout: c.Targets[0].Timeouts.Connect})
	to, err := target.New(&c.Targets[0], target.Parts{Endpoints: one(address), Transport: tr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(to.Close)
	return to
}

// serve runs a proxy for one target, and returns its address.
func serve(t testing.TB, p *Proxy, to *target.Target) string {
	t.Helper()
	p.Target = func(name string) (*target.Target, func()) {
		if name != to.Spec.Name {
			return nil, nil
		}
		return to, func() {}
	}
	s := &h1.Server{Handler: p, Refuse: func(w call.ResponseWriter, code call.Code, err error) {
		problem := call.NewProblem(code, "", err.Error())
		b := problem.JSON()
		_ = w.Head(problem.Status, problem.Header(), int64(len(b)))
		_, _ = w.Write(b)
		_ = w.End(nil)
	}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { s.ServeConn(ctx, c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		over, stop := context.WithTimeout(context.Background(), 5*time.Second)
		defer stop()
		cancel()
		_ = s.Shutdown(over)
		all.Wait()
	})
	return l.Addr().String()
}

func upstream(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestProxy_passesACallOnAndTheAnswerBack(t *testing.T) {
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", fmt.Sprintf("%s %s %s %s %v", r.Method, r.RequestURI, r.Host, b, r.Header["X-Team"]))
		w.WriteHeader(201)
		_, _ = io.WriteString(w, "made")
	})
	addr := serve(t, &Proxy{}, newTarget(t, up, "basePath: /base\nheaders: {set: {X-Team: orders}}"))
	resp, err := http.Post("http://"+addr+"/link/crm/api/v2/a%3ab?x=1;y&z", "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 201 || string(b) != "made" {
		t.Errorf("%d %s %v", resp.StatusCode, b, err)
	}
	if got, want := resp.Header.Get("X-Seen"), "POST /base/api/v2/a%3Ab?x=1;y&z crm.example hello [orders]"; got != want {
		t.Errorf("the target saw %s", got)
	}
}

func TestProxy_retriesWhatIsSafe(t *testing.T) {
	for name, test := range map[string]struct {
		method, body string
		key          bool
		want         int
	}{
		"GET":             {"GET", "", false, 3},
		"PUT":             {"PUT", "x", false, 3},
		"POST":            {"POST", "x", false, 1},
		"POST with a key": {"POST", "x", true, 3},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			seen := 0
			up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.ReadAll(r.Body)
				mu.Lock()
				seen++
				mu.Unlock()
				w.WriteHeader(503)
			})
			addr := serve(t, &Proxy{}, newTarget(t, up, ""))
			req, _ := http.NewRequestWithContext(t.Context(), test.method, "http://"+addr+"/link/crm/", strings.NewReader(test.body))
			if test.key {
				req.Header.Set("Idempotency-Key", "1")
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != 503 || seen != test.want {
				t.Errorf("%d, after %d executions", resp.StatusCode, seen)
			}
		})
	}
}

func TestProxy_carriesAWebSocket(t *testing.T) {
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil || r.Header.Get("Upgrade") != "websocket" {
			t.Error(err, r.Header)
			return
		}
		defer c.Close()
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhi")
		_ = rw.Flush()
		line, _ := rw.ReadString('\n')
		fmt.Fprint(rw, strings.ToUpper(line))
		_ = rw.Flush()
	})
	addr := serve(t, &Proxy{}, newTarget(t, up, ""))
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /link/crm/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatal(resp, err)
	}
	fmt.Fprintf(c, "ping\n")
	rest, _ := io.ReadAll(r)
	if string(rest) != "hiPING\n" {
		t.Errorf("got %q", rest)
	}
}
