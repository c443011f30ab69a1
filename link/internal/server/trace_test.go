package server

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lsm/fiso/common/telemetry"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/proxy"
)

const (
	aTrace  = "0af7651916cd43dd8448eb211c80319c"
	aParent = "b7ad6b7169203331"
)

// post makes a call with a canary wherever a caller can put one.
func post(t *testing.T, url string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("canary-body"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Traceparent", "00-"+aTrace+"-"+aParent+"-01")
	req.Header.Set("X-Own", "canary-header")
	req.Header.Set("User-Agent", "canary-agent")
	req.Header.Set("Authorization", "Bearer canary-caller")
	req.Header.Set("Idempotency-Key", "canary-key")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body) // only what the upstream received matters
	_ = resp.Body.Close()                 // as above
}

// secretive is an upstream that fails once, and whose answers hold canaries.
func secretive(t *testing.T) (address string, parents func() []string) {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.Header.Get("Traceparent"))
		w.Header().Set("X-Answer", "canary-answer")
		if len(seen) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, "canary-payload") // a caller that left shows in the test
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), func() []string { mu.Lock(); defer mu.Unlock(); return seen }
}

// serveOnce runs a server for one call, and returns its log.
func serveOnce(t *testing.T, o Options, level slog.Level, up string) string {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	o.File = filepath.Join(t.TempDir(), "config.yaml")
	text := head + "targets:\n" + aTarget("crm", up, ", auth: {type: bearer, secretRef: {filePath: "+token+"}}, retry: {initialInterval: 1ms}")
	if err := errors.Join(os.WriteFile(token, []byte("canary-token"), 0o600), os.WriteFile(o.File, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	var log book
	o.Logger = telemetry.Logger(&log, level, false)
	addr := make(chan string, 1)
	o.OnListening = func(calls, _ net.Addr) { addr <- calls.String() }
	i, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- i.Run(ctx) }()
	post(t, "http://"+<-addr+"/link/crm/canary-path?key=canary-query")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	return log.String()
}

// L10: spans hold no credential, no query, no path, no field and no body.
func TestServer_sendsTracesWithoutSecrets(t *testing.T) {
	var mu sync.Mutex
	var sent bytes.Buffer
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = sent.ReadFrom(r.Body) // missing bytes show below
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	shutdown, provider, err := telemetry.Tracing(t.Context(), "fiso-link", "v1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	up, parents := secretive(t)
	log := serveOnce(t, Options{Tracing: provider}, slog.LevelDebug, up)
	if err := shutdown(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	id, err := hex.DecodeString(aTrace)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{string(id), "POST /link/crm", "http.request.resend_count", "http.response.status_code", "network.peer.address"} {
		if !strings.Contains(sent.String(), want) {
			t.Errorf("the collector was not sent %q", want)
		}
	}
	for name, text := range map[string]string{"spans": sent.String(), "log": log} {
		if i := strings.Index(text, "canary"); i >= 0 {
			t.Errorf("%s show %q", name, text[i:min(i+20, len(text))])
		}
	}
	if !strings.Contains(log, `"msg":"call","trace_id":"`+aTrace+`","span_id":"`) || strings.Contains(log, aParent) {
		t.Errorf("the line of the call lacks its span: %s", log)
	}
	got := parents()
	if len(got) != 2 || got[0] == got[1] || !strings.HasPrefix(got[0], "00-"+aTrace) || !strings.HasPrefix(got[1], "00-"+aTrace) {
		t.Errorf("the attempts carried %q", got)
	}
}

// Without tracing, the application's trace context is forwarded and appears in log
// lines.
func TestServer_leavesATraceAloneWithoutTraces(t *testing.T) {
	up, parents := secretive(t)
	log := serveOnce(t, Options{}, slog.LevelDebug, up)
	want := "00-" + aTrace + "-" + aParent + "-01"
	if got := parents(); len(got) != 2 || got[0] != want || got[1] != want {
		t.Errorf("the attempts carried %q", got)
	}
	if !strings.Contains(log, `"msg":"call","trace_id":"`+aTrace+`"`) || strings.Contains(log, "canary") {
		t.Errorf("the line of the call: %s", log)
	}
	up, _ = secretive(t)
	if log = serveOnce(t, Options{}, slog.LevelInfo, up); strings.Contains(log, `"msg":"call"`) {
		t.Errorf("the log tells of every call unasked: %s", log)
	}
}

// A panic is logged at every log level, with the trace of its call.
func TestServer_tellsOfItsOwnFaults(t *testing.T) {
	var log book
	i := &Server{o: Options{Logger: telemetry.Logger(&log, slog.LevelError, false)}, metrics: newMetrics(prometheus.NewRegistry())}
	i.observe(proxy.CallRecord{Target: "crm", Method: "GET", Status: 500, Code: call.Internal, Stack: "goroutine 1", Traceparent: "00-" + aTrace + "-" + aParent + "-01"})
	for _, want := range []string{`"level":"error"`, "please report it", `"trace_id":"` + aTrace + `"`, `"stack":"goroutine 1"`, `"code":"INTERNAL"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s lacks %s", log.String(), want)
		}
	}
}
