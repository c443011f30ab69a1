package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// buffer holds the output, and can be read while it is written.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *buffer) says(t *testing.T, all ...string) {
	t.Helper()
	for _, want := range all {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing of\n%s", want, b)
		}
	}
}

func TestRun_keepsEveryPromise(t *testing.T) {
	var out buffer
	began := time.Now()
	sum, err := Run(t.Context(), Options{Out: &out, Length: 4 * time.Second})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %v", took)
	}
	out.says(t, "every promise was kept", "the circuit of shop is open", "the circuit of shop is closed", "429 RATE_LIMITED", "403 PATH_NOT_ALLOWED", "400 BAD_PATH",
		"comes again with its key", "the token before its end", "configuration reloaded", "first call of weather is answered: 200", "sees the new key")
	if parts := sum.Answered + sum.TargetFailed + sum.NoAnswer + sum.RefusedByBreaker + sum.RateLimited + sum.Refused; parts != sum.Calls || sum.Measured != sum.Calls {
		t.Errorf("%d calls are %d by their ends, and %d by the metrics", sum.Calls, parts, sum.Measured)
	}
	if sum.Orders == 0 || sum.KeyedRepeated == 0 || len(sum.Broken) != 0 {
		t.Errorf("%+v", sum)
	}
}

func TestRun_endsWhenThePersonWantsIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, cancel)
	_, err := Run(ctx, Options{Out: io.Discard, Terminal: true})
	if err == nil || !strings.Contains(err.Error(), "stopped before the end") || errors.Is(err, ErrBroken) {
		t.Errorf("got %v", err)
	}
}

// good is a summary in which every promise was kept.
func good() Summary {
	return Summary{
		Calls: 13, Answered: 4, TargetFailed: 2, NoAnswer: 1, RefusedByBreaker: 3, RateLimited: 1, Refused: 2, Measured: 13,
		Retried: 1, Refreshed: 2, Opened: 1, Closed: 1, Events: 9, Connections: 1,
	}
}

func TestSummary_saysWhichPromiseWasBroken(t *testing.T) {
	fine := good()
	if broken := fine.brokenPromises(); len(broken) != 0 {
		t.Errorf("all was well: %q", broken)
	}
	for want, change := range map[string]func(*Summary){
		"every call has a known end: 13 of 14 have": func(s *Summary) { s.Calls++; s.Measured++ },
		"metrics have every call: 12 of 13":         func(s *Summary) { s.Measured-- },
		"executed at most once: 1 were twice":       func(s *Summary) { s.OrdersTwice++ },
		"with a key is executed once: 1 were twice": func(s *Summary) { s.KeyedTwice++ },
		"what was answered was done: 1 orders":      func(s *Summary) { s.OrdersLost++ },
		"the circuit opens":                         func(s *Summary) { s.Opened = 0 },
		"the circuit closes":                        func(s *Summary) { s.Closed = 0 },
		"safe to repeat is retried":                 func(s *Summary) { s.Retried = 0 },
		"rate limit is kept":                        func(s *Summary) { s.RateLimited, s.Answered = 0, 5 },
		"refused is renewed":                        func(s *Summary) { s.Refreshed = 1 },
		"1 such requests arrived":                   func(s *Summary) { s.Forbidden++ },
		"a credential that is good: 1 had not":      func(s *Summary) { s.Unproven++ },
		"cuts no stream: 2 connections":             func(s *Summary) { s.Connections++ },
		"cuts no stream: 1 connections, 3 events":   func(s *Summary) { s.Missing = 3 },
		"nobody sees a secret: 1 were seen":         func(s *Summary) { s.SecretsSeen++ },
	} {
		t.Run(want, func(t *testing.T) {
			s := good()
			change(&s)
			if broken := s.brokenPromises(); len(broken) != 1 || !strings.Contains(broken[0], want) {
				t.Errorf("got %q", broken)
			}
			var out buffer
			s.Broken = s.brokenPromises()
			(&demo{opts: Options{Out: &out}}).conclude(s)
			out.says(t, "BROKEN: ", want)
		})
	}
}

// ask sends a request to the upstream, and returns its answer; status 0: the connection
// was cut.
func ask(t *testing.T, u *upstream, method, path string, fields ...string) (status int, body string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	for i := 0; i+1 < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	w := httptest.NewRecorder()
	defer func() {
		if recover() != nil { // http.ErrAbortHandler, as a server takes it
			status = 0
		}
	}()
	u.handler().ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestUpstream_countsWhatItIsAskedToDo(t *testing.T) {
	u := newUpstream(newLedger(), time.Second)
	for name, test := range map[string]struct {
		fields []string
		want   int
	}{
		"nobody":             {nil, 401},
		"with another token": {[]string{"Authorization", "Bearer x"}, 401},
	} {
		if got, _ := ask(t, u, "GET", "/shop/orders/1", test.fields...); got != test.want {
			t.Errorf("%s: %d", name, got)
		}
	}
	if got, _ := ask(t, u, "POST", "/token"); got != 401 {
		t.Errorf("a token for nobody: %d", got)
	}
	if got, _ := ask(t, u, "GET", "/partner/rates"); got != 401 {
		t.Errorf("rates for nobody: %d", got)
	}
	if got, _ := ask(t, u, "GET", "/shop/admin"); got != 418 {
		t.Errorf("what no rule allows: %d", got)
	}
	u.tokens["old"] = time.Now().Add(-time.Minute)
	ask(t, u, "GET", "/shop/orders/1", "Authorization", "Bearer old")
	if s := u.seen(); s.unproven != 3 || s.forbidden != 1 || s.expired != 1 || s.issued != 0 {
		t.Errorf("it saw %+v", s)
	}
	u.tokens["good"] = time.Now().Add(time.Minute)
	u.setState(flaky)
	u.requests["POST"] = 3 // the second of these fails after the order was taken
	for _, id := range []string{"A-1", "A-1", "A-2"} {
		ask(t, u, "POST", "/shop/orders", "Authorization", "Bearer good", "X-Order", id)
	}
	for range 2 {
		ask(t, u, "POST", "/shop/orders", "Authorization", "Bearer good", "X-Order", "K-1", "Idempotency-Key", "K-1")
	}
	var sum Summary
	u.check(map[string]bool{"A-1": true, "A-2": true, "A-3": true, "A-4": false, "K-1": true}, &sum)
	if want := (Summary{Orders: 4, OrdersTwice: 1, OrdersLost: 1, KeyedOrders: 1, KeyedRepeated: 1, Forbidden: 1, Unproven: 4}); !reflect.DeepEqual(sum, want) {
		t.Errorf("got %+v", sum)
	}
	u.keys["K-1"] = 0
	ask(t, u, "POST", "/shop/orders", "Authorization", "Bearer good", "X-Order", "K-1", "Idempotency-Key", "K-1")
	sum = Summary{}
	if u.check(map[string]bool{"K-1": true}, &sum); sum.KeyedTwice != 1 {
		t.Errorf("got %+v", sum)
	}
}

func TestLedger_seesSecretsAndGaps(t *testing.T) {
	l := newLedger()
	l.secret("s3cret")
	l.inspect("nothing")
	l.inspect("a s3cret in it")
	l.connected()
	for _, n := range []int{1, 2, 4} {
		l.event(n)
	}
	l.connected()
	l.event(1) // a new connection starts at 1 again, and is counted separately
	l.called("shop", time.Millisecond, 401, "")
	if s := l.sum(); s.SecretsSeen != 1 || s.Missing != 1 || s.Events != 4 || s.Connections != 2 || s.Calls != 1 || s.Answered != 0 {
		t.Errorf("got %+v", s)
	}
	for range keptNews + 10 {
		l.say("!", "again")
	}
	if fresh, n := l.since(0); len(fresh) != keptNews || n <= keptNews {
		t.Errorf("%d of %d kept", len(fresh), n)
	}
}

// The application's counts show when fiso-link misbehaves.
func TestApplication_countsAnswersThatItCannotRead(t *testing.T) {
	l := newLedger()
	streams := 0
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/stream"):
			if streams++; streams == 3 {
				cancel()
			}
			_, _ = io.WriteString(w, "id: 1\n\n") // a reader that left is noticed below
		case strings.HasSuffix(r.URL.Path, "/short"):
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "x") // the same
		default:
			panic(http.ErrAbortHandler)
		}
	}))
	defer s.Close()
	a := newApplication(s.Listener.Addr().String(), l)
	defer a.close()
	if got := a.call(ctx, "shop", "POST", "orders", "A-1", ""); got != 0 || l.outcome("silent") != 1 {
		t.Errorf("%d, %d silent", got, l.outcome("silent"))
	}
	if got := a.call(ctx, "shop", "GET", "short", "", ""); got != 0 || l.outcome("silent") != 2 {
		t.Errorf("an answer that broke off: %d, %d silent", got, l.outcome("silent"))
	}
	a.read(ctx)
	if sum := l.sum(); sum.Connections < 2 || sum.Calls != 2 {
		t.Errorf("%+v", sum)
	}
	if got := a.call(ctx, "shop", "GET", "orders", "", ""); got != 0 || l.sum().Calls != 2 {
		t.Error("a call that its own end cut is counted")
	}
	if _, err := a.do(t.Context(), "a method", "", "", ""); err == nil {
		t.Error("a request that is none")
	}
	said := ""
	fresh, _ := l.since(0)
	for _, x := range fresh {
		said += x.text + "\n"
	}
	if want := "the news were cut: connection 2"; !strings.Contains(said, want) {
		t.Errorf("%q is missing of %s", want, said)
	}
}

func TestPanel_keepsItsHeight(t *testing.T) {
	l := newLedger()
	var out buffer
	s := &demo{ledger: l, opts: Options{Out: &out}}
	p := &panel{out: &out, terminal: true, stage: s}
	states := parse("# HELP x\n" + `fiso_link_circuit_state{target="shop"} 2
fiso_link_circuit_state{target="partner"} 1
fiso_link_circuit_state{target="news"} 0
fiso_link_retries_total{attempt="2",target="shop"} 3
fiso_link_retries_total{attempt="3",target="shop"} 1
nonsense x
`)
	empty := p.picture(nil)
	for i := range 300 {
		l.called("shop", time.Duration(i)*time.Millisecond, 200, "")
	}
	l.called("partner", time.Second, 429, "RATE_LIMITED")
	l.say("!", "%s", strings.Repeat("long ", 50))
	p.redraw(empty)
	full := p.picture(states)
	p.redraw(full)
	if len(full) != len(empty) {
		t.Errorf("%d rows, then %d", len(empty), len(full))
	}
	out.says(t, "○ open", "◐ half-open", "● closed", fmt.Sprintf("\x1b[%dA", len(full)), "429 RATE_LIMITED", "…", "retried         4", "no target")
}

func TestRun_refusesWhatItCannotStart(t *testing.T) {
	t.Setenv("TMPDIR", "/does/not/exist")
	if _, err := Run(t.Context(), Options{Out: io.Discard}); err == nil || !strings.Contains(err.Error(), "make a folder") {
		t.Errorf("got %v", err)
	}
	s := &demo{dir: "/does/not/exist"}
	if err := s.save("x", ""); err == nil || !strings.Contains(err.Error(), "write x") {
		t.Errorf("got %v", err)
	}
}

func TestCount_saysWhatItCannotRead(t *testing.T) {
	nowhere, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = nowhere.Close() // nothing listens there now
	l := newLedger()
	s := &demo{ledger: l, metrics: nowhere.Addr().String(), app: newApplication("127.0.0.1:1", l), dir: t.TempDir()}
	if _, err := s.count(t.Context()); err == nil || !strings.Contains(err.Error(), "read fiso-link's metrics") {
		t.Errorf("got %v", err)
	}
	metrics := httptest.NewServer(http.NotFoundHandler())
	defer metrics.Close()
	defer s.app.close()
	s.metrics = metrics.Listener.Addr().String()
	if _, err := s.count(t.Context()); err == nil || !strings.Contains(err.Error(), "read fiso-link's log") {
		t.Errorf("got %v", err)
	}
}
