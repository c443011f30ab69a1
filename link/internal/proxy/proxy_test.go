package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

func TestProxy_passesACallOnAndTheAnswerBack(t *testing.T) {
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", fmt.Sprintf("%s %s %s %s %v", r.Method, r.RequestURI, r.Host, b, r.Header["X-Team"]))
		w.WriteHeader(201)
		_, _ = io.WriteString(w, "made")
	})
	addr := serve(t, &Proxy{}, newTarget(t, up, "basePath: /base\nheaders: {set: {X-Team: orders}}"))
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+addr+"/link/crm/api/v2/a%3ab?x=1;y&z", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // the test is over
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
			resp, err := http.DefaultTransport.RoundTrip(req)
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
		defer func() { _ = c.Close() }() // the test is over
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
	defer func() { _ = c.Close() }() // the test is over
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
