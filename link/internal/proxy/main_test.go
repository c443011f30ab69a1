package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/resilience"
	"github.com/lsm/fiso/link/internal/target"
	"github.com/lsm/fiso/link/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// one is an Endpoints with a single address.
type one string

func (o one) Pick(context.Context, []string) (string, func(resilience.Outcome), error) {
	return string(o), func(resilience.Outcome) {}, nil
}
func (one) Close() {}

// trip is a transport without a network.
type trip func(ctx context.Context, endpoint string, out *http1.Outgoing, interim func(int, http1.Header)) (*http1.Answer, error)

func (f trip) RoundTrip(ctx context.Context, endpoint string, out *http1.Outgoing, interim func(int, http1.Header)) (*http1.Answer, error) {
	a, err := f(ctx, endpoint, out, interim)
	if out.Body != nil {
		_ = out.Body.Close()
	}
	return a, err
}
func (trip) Close() {}

// always gives every attempt the same answer.
func always(status int, body string, fields ...string) trip {
	return func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
		return answer(status, body, fields...), nil
	}
}

func answer(status int, body string, fields ...string) *http1.Answer {
	return &http1.Answer{Status: status, Header: header(fields...), Length: int64(len(body)), Body: io.NopCloser(strings.NewReader(body))}
}

func header(fields ...string) (h http1.Header) {
	for i := 0; i+1 < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	return h
}

// everything reads the whole body of an attempt.
func sentBody(out *http1.Outgoing) (string, error) {
	if out.Body == nil {
		return string(out.Kept), nil
	}
	b, err := io.ReadAll(out.Body)
	return string(b), err
}

// recorder is an application without a network.
type recorder struct {
	status   int
	header   http1.Header
	body     bytes.Buffer
	interims []int
	informed http1.Header // header of the last interim answer
	flushes  int
	begun    bool
	ended    bool
	trailer  http1.Header
	fail     error // error of Write and Head
	upgraded io.ReadWriteCloser
}

func (w *recorder) Inform(status int, h http1.Header) error {
	w.informed = h
	w.interims = append(w.interims, status)
	return nil
}

func (w *recorder) Head(status int, h http1.Header, _ int64) error {
	w.status, w.header, w.begun = status, h, true
	return w.fail
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.fail != nil {
		return 0, w.fail
	}
	return w.body.Write(p)
}
func (w *recorder) Flush() error { w.flushes++; return w.fail }
func (w *recorder) End(t http1.Header) error {
	w.ended, w.trailer = true, t
	return w.fail
}
func (w *recorder) Begun() bool           { return w.begun }
func (w *recorder) Bound(context.Context) {}
func (w *recorder) Unbound()              {}
func (w *recorder) Upgrade(h http1.Header) (io.ReadWriteCloser, error) {
	w.status, w.header, w.begun = 101, h, true
	return w.upgraded, w.fail
}

// request returns a request as a listener makes it.
func request(method, path, body string, fields ...string) *http1.Request {
	return &http1.Request{
		Method: method, Target: path, Host: "localhost:3500", Header: header(fields...), Length: int64(len(body)),
		Body: strings.NewReader(body), Interrupt: func() {}, Trailer: func() http1.Header { return nil },
	}
}

var parsed sync.Map // *spec.Target by settings; immutable

// parse returns the target crm with further settings.
func parse(t testing.TB, settings string) *spec.Target {
	t.Helper()
	if s, ok := parsed.Load(settings); ok {
		return s.(*spec.Target)
	}
	text := "targets:\n  - name: crm\n    protocol: http\n    host: crm.example\n    retry: {initialInterval: 1ms}\n"
	for l := range strings.Lines(settings) {
		text += "    " + strings.TrimRight(l, "\n") + "\n"
	}
	if strings.Contains(settings, "retry:") {
		text = strings.Replace(text, "    retry: {initialInterval: 1ms}\n", "", 1)
	}
	if strings.Contains(settings, "protocol:") {
		text = strings.Replace(text, "    protocol: http\n", "", 1)
	}
	if strings.Contains(settings, "topic:") {
		text = "asyncBrokers: [kafka:9092]\n" + text
	}
	if strings.Contains(settings, "protocol: kafka") {
		text = strings.Replace(text, "    host: crm.example\n", "", 1)
	}
	c := &spec.Config{} // not Parse, which refuses keys of later versions
	err := config.Decode("config.yaml", []byte(text), c, config.Interpolate(), config.Env(func(string) (string, bool) { return "", false }))
	if err != nil {
		t.Fatal(err)
	}
	parsed.Store(settings, &c.Targets[0])
	return &c.Targets[0]
}

func newTargetOf(t testing.TB, settings string, parts target.Parts) *target.Target {
	t.Helper()
	if parts.Endpoints == nil {
		parts.Endpoints = one("10.0.0.1:80")
	}
	to, err := target.New(parse(t, settings), parts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(to.Close)
	return to
}

// newTarget returns an HTTP/1.1 target for that server.
func newTarget(t testing.TB, address, settings string) *target.Target {
	t.Helper()
	return newTargetOf(t, settings, target.Parts{Endpoints: one(address), Transport: http1.NewTransport(http1.TransportConfig{})})
}

// makeCall makes one call without a network, and returns its result.
func makeCall(ctx context.Context, to *target.Target, r *http1.Request) (*recorder, CallRecord) {
	w := &recorder{}
	return w, serveTo(ctx, to, w, r)
}

func serveTo(ctx context.Context, to *target.Target, w http1.ResponseWriter, r *http1.Request) (record CallRecord) {
	p := Proxy{Guard: Guard{Loopback: true}, Target: only(to), Observe: func(r CallRecord) { record = r }}
	p.ServeCall(ctx, w, r)
	return record
}

func only(to *target.Target) func(string) (*target.Target, func()) {
	return func(name string) (*target.Target, func()) {
		if name != to.Spec.Name {
			return nil, nil
		}
		return to, func() {}
	}
}

// serve runs a proxy for one target, and returns its address.
func serve(t testing.TB, p *Proxy, to *target.Target) string {
	t.Helper()
	p.Target = only(to)
	s := &http1.Server{Handler: p, Refuse: func(w http1.ResponseWriter, status int, err error) {
		problem := call.NewProblem(call.CodeOf(status), "", err.Error())
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

// dial opens an application's connection, which is closed at the end of the test.
func dial(t testing.TB, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

var errBroken = errors.New("broken")
