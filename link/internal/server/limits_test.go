package server

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// largeServer answers with a field of the size that the request gives.
func largeServer(t *testing.T, h2c bool, closed func()) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var size int
		_, _ = fmt.Sscanf(r.URL.Query().Get("answer"), "%d", &size)
		w.Header().Set("X-Large", strings.Repeat("x", size))
	}))
	if h2c {
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
	}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed && closed != nil {
			closed()
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// UL11: limits of heads were not configurable, and an answer over the limit was
// reported as not HTTP.
func TestLimits_ofHeadsAreThoseOfTheConfiguration(t *testing.T) {
	one, two := largeServer(t, false, nil), largeServer(t, true, nil)
	targets := func(more string) string {
		return "targets:\n" + fmt.Sprintf("  - {name: one, protocol: http, host: crm.example, endpoints: ['%s'], retry: {maxAttempts: 1}, circuitBreaker: {enabled: false}%s}\n", one, more) +
			fmt.Sprintf("  - {name: two, protocol: h2c, host: crm.example, endpoints: ['%s'], retry: {maxAttempts: 1}, circuitBreaker: {enabled: false}%s}\n", two, more)
	}
	usual := start(t, targets(""))
	large := start(t, "maxHeaderBytes: 100KiB\n"+targets(", maxResponseHeaderBytes: 200KiB"))
	const k = 1 << 10
	for _, row := range []struct {
		name            string
		l               *link
		request, answer int
		status          int
		says            string
	}{
		{"within the defaults", usual, 25 * k, 60 * k, 200, ""},
		{"a request over the default", usual, 40 * k, 0, 431, "maxHeaderBytes"},
		{"an answer over the default", usual, 0, 100 * k, 502, "maxResponseHeaderBytes"},
		{"a request within its limit", large, 80 * k, 0, 200, ""},
		{"a request over its limit", large, 110 * k, 0, 431, "maxHeaderBytes"},
		{"an answer within its limit", large, 0, 150 * k, 200, ""},
		{"an answer over its limit", large, 0, 250 * k, 502, "maxResponseHeaderBytes"},
	} {
		for by, transport := range map[string]*http.Transport{"HTTP/1.1": {MaxResponseHeaderBytes: 1 << 20}, "HTTP/2": http2Client(t)} {
			transport.MaxResponseHeaderBytes = 1 << 20
			t.Cleanup(transport.CloseIdleConnections)
			for _, target := range []string{"one", "two"} {
				t.Run(row.name+", from "+by+" to "+target, func(t *testing.T) {
					r, err := http.NewRequestWithContext(t.Context(), "GET", fmt.Sprintf("http://%s/link/%s/?answer=%d", row.l.calls, target, row.answer), nil)
					if err != nil {
						t.Fatal(err)
					}
					r.Header.Set("X-Large", strings.Repeat("x", row.request))
					resp, err := transport.RoundTrip(r)
					if err != nil {
						t.Fatal(err)
					}
					defer func() { _ = resp.Body.Close() }() // it is read
					b, err := io.ReadAll(resp.Body)
					if err != nil || resp.StatusCode != row.status || !strings.Contains(string(b), row.says) || strings.Contains(string(b), "not HTTP") || row.status == 200 && len(resp.Header.Get("X-Large")) != row.answer {
						t.Errorf("%d %s (%v)", resp.StatusCode, b, err)
					}
				})
			}
		}
	}
}

// UL11: how long an unused connection to a target is kept was not configurable.
func TestLimits_anUnusedConnectionIsClosedAsConfigured(t *testing.T) {
	for name, h2c := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			closed := make(chan struct{}, 1)
			addr := largeServer(t, h2c, func() {
				select {
				case closed <- struct{}{}:
				default:
				}
			})
			protocol := map[bool]string{false: "http", true: "h2c"}[h2c]
			l := start(t, fmt.Sprintf("targets:\n  - {name: x, protocol: %s, host: crm.example, endpoints: ['%s'], timeouts: {idleConnection: 20ms}}\n", protocol, addr))
			if status, body := l.call("x/"); status != 200 {
				t.Fatal(status, body)
			}
			select {
			case <-closed:
			case <-time.After(10 * time.Second):
				t.Error("the connection is still there")
			}
		})
	}
}
