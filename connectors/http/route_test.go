package http

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

// reload is two consecutive sources on one port.
type reload struct {
	t     *testing.T
	ls    *Listeners
	cfg   SourceConfig
	first *running
}

func newReload(t *testing.T, cfg SourceConfig, handle func(context.Context, *connector.Message)) *reload {
	r := &reload{t: t, ls: &Listeners{}, cfg: cfg}
	t.Cleanup(r.ls.Close)
	r.cfg.Listen = freeAddress(t)
	r.first = startSource(t, r.cfg, SourceOptions{Listeners: r.ls}, handle)
	return r
}

// stop ends the first source and checks that this is quick.
func (r *reload) stop() {
	r.t.Helper()
	begin := time.Now()
	if err := r.first.stop(); err != nil {
		r.t.Error(err)
	}
	if took := time.Since(begin); took > defaultDrain/2 {
		r.t.Errorf("stopping took %v", took)
	}
}

func (r *reload) second(handle func(context.Context, *connector.Message)) *running {
	r.t.Helper()
	return startSource(r.t, r.cfg, SourceOptions{Listeners: r.ls}, handle)
}

// U15: one stalled upload made a reload last 20 s, in which all callers got 503. It now
// goes on, and goes to the source that serves the path when it is complete.
func TestReload_isNotHeldByAnUpload(t *testing.T) {
	var one, two collect
	r := newReload(t, sourceConfig(), one.handle)
	c := dialRaw(t, r.first.url, nil)
	c.say(begin(4) + "ab")
	path := r.first.path(t)
	eventually(t, "the upload is under way", func() bool { _, _, arrivals := path.holds(); return arrivals == 1 })
	r.stop()
	waits := post(t.Context(), client, r.first.url, strings.NewReader("between"))
	eventually(t, "a request waits for the next source", func() bool { _, _, arrivals := path.holds(); return arrivals == 2 })
	second := r.second(two.handle)
	(<-waits).want(t, 200, "")
	ask(t, "POST", second.url, "after").want(t, 200, "")
	c.say("cd")
	c.answer().want(t, 200, "")
	if got := two.messages(); len(one.messages()) != 0 || len(got) != 3 || string(got[2].Value) != "abcd" {
		t.Errorf("%d and %d messages", len(one.messages()), len(got))
	}
}

// U15: an upload is checked by the source that serves the path when it is complete, not
// by the secret or limits of the source under which it began.
func TestReload_theNextSourceJudgesAnUpload(t *testing.T) {
	cfg := sourceConfig()
	cfg.Auth = SourceAuth{Type: "hmac", Secret: secret("old")}
	var one, two collect
	r := newReload(t, cfg, one.handle)
	uploads := map[string]*raw{}
	for _, key := range []string{"old", "new"} {
		c := dialRaw(t, r.first.url, nil)
		c.say("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nX-Hub-Signature-256: " + sign(key, "abcd") + "\r\n\r\nab")
		uploads[key] = c
	}
	path := r.first.path(t)
	eventually(t, "both uploads are under way", func() bool { _, _, arrivals := path.holds(); return arrivals == 2 })
	r.stop()
	r.cfg.Auth.Secret = secret("new")
	r.second(two.handle)
	for key, want := range map[string]int{"old": 401, "new": 200} {
		uploads[key].say("cd")
		if got := uploads[key].answer(); got.StatusCode != want {
			t.Errorf("signed with the %s secret: %d %s", key, got.StatusCode, got.body)
		}
	}
	if len(one.messages()) != 0 || len(two.messages()) != 1 {
		t.Errorf("%d and %d messages", len(one.messages()), len(two.messages()))
	}
}

// U15: events that the old source did not begin, or that its flow handed back, go to
// the next source, and their callers do not notice.
func TestReload_refusesNobody(t *testing.T) {
	for _, row := range []struct {
		name  string
		begun func(*connector.Message) // settles the event that the handler has
		by    int                      // number of events that the next source gets
	}{
		{"handed back", func(m *connector.Message) { m.Settle(connector.ErrInterrupted) }, 5},
		{"delivered", func(m *connector.Message) { m.Settle(nil) }, 4},
	} {
		t.Run(row.name, func(t *testing.T) {
			begun := make(chan *connector.Message, 1)
			r := newReload(t, sourceConfig(), func(ctx context.Context, m *connector.Message) {
				begun <- m
				<-ctx.Done()
				row.begun(m)
			})
			answers := []<-chan answered{post(t.Context(), client, r.first.url, strings.NewReader("0"))}
			<-begun
			for range 4 {
				answers = append(answers, post(t.Context(), client, r.first.url, strings.NewReader("x")))
			}
			eventually(t, "all wait", func() bool { return r.first.inFlight() == 5 })
			r.stop()
			var next collect
			second := r.second(next.handle)
			for _, a := range answers {
				(<-a).want(t, 200, "")
			}
			if n := len(next.messages()); n != row.by {
				t.Errorf("the next source got %d events; want %d", n, row.by)
			}
			if held, waiting, arrivals := second.path(t).holds(); held != 0 || waiting != 0 || arrivals != 0 {
				t.Errorf("%d bytes are held, %d wait, %d are on their way", held, waiting, arrivals)
			}
		})
	}
}

// U32: a reload that changed settings of the port closed it for a while, so callers
// were refused; and a port that was open before its path was added answered 404.
func TestReload_refusesNobodyWhenThePortChanges(t *testing.T) {
	var c collect
	r := newReload(t, sourceConfig(), c.handle)
	url, end := r.first.url, make(chan struct{})
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
				}
				a := <-post(t.Context(), client, url, strings.NewReader("x"))
				if a.Response == nil {
					t.Errorf("a caller was refused: %s", a.body)
				} else if a.StatusCode != 200 && (a.StatusCode != 503 || a.Header.Get("Retry-After") != "1") {
					t.Errorf("%d %s", a.StatusCode, a.body)
				}
			}
		})
	}
	for i := range 20 {
		r.stop()
		r.cfg.MaxHeaderBytes = config.Bytes(32<<10 + i)
		r.first = r.second(c.handle)
	}
	close(end)
	callers.Wait()
}

// U32: requests under way when the port changes go to the next source, too, on their
// connections; and a silent connection does not delay the end.
func TestReload_requestsInFlightOutliveTheirPort(t *testing.T) {
	var one, two collect
	r := newReload(t, sourceConfig(), one.handle)
	upload, silent := dialRaw(t, r.first.url, nil), dialRaw(t, r.first.url, nil)
	upload.say(begin(4) + "ab")
	silent.say("P")
	path, old := r.first.path(t), r.first.listener(t)
	eventually(t, "both are there", func() bool { _, _, arrivals := path.holds(); return arrivals == 1 && old.bounded.Len() == 2 })
	r.stop()
	r.cfg.MaxHeaderBytes = 48 << 10
	r.second(two.handle)
	upload.say("cd")
	upload.answer().want(t, 200, "")
	if got := two.messages(); len(one.messages()) != 0 || len(got) != 1 || string(got[0].Value) != "abcd" {
		t.Errorf("%d and %d messages", len(one.messages()), len(got))
	}
	eventually(t, "the connection is closed after its answer", func() bool { return old.bounded.Len() == 1 })
	begin := time.Now()
	r.ls.Close()
	r.ls.Close()
	if took := time.Since(begin); took > defaultDrain/2 {
		t.Errorf("the end took %v", took)
	}
	if n := old.bounded.Len(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

// U15: if part of a batch was handed back, the caller must send that part again; the
// rest is done.
func TestReload_aBatchThatWasBegunIsAnswered(t *testing.T) {
	begun := make(chan *connector.Message, 2)
	r := newReload(t, sourceConfig(), func(_ context.Context, m *connector.Message) { begun <- m })
	batch := `[{"specversion":"1.0","id":"1","source":"/","type":"t"},{"specversion":"1.0","id":"2","source":"/","type":"t"}]`
	c := dialRaw(t, r.first.url, nil)
	c.say(begin(len(batch), "Content-Type: application/cloudevents-batch+json") + batch)
	one, two := <-begun, <-begun
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	eventually(t, "the source stops", func() bool { return r.first.Status().Problem == "stopped" })
	one.Settle(nil)
	two.Settle(connector.ErrInterrupted)
	a := c.answer()
	if want := `{"results":[{"id":"1","status":200},{"id":"2","status":503,"detail":"not settled; send it again"}]}`; a.StatusCode != 503 || a.body != want {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	<-stopped
}

// U15: a request that was read under one configuration is checked under the next one.
func TestReload_theNextSourceDecidesWhoMaySend(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*SourceConfig)
		status int
		code   string
	}{
		{"a secret", func(c *SourceConfig) { c.Auth = SourceAuth{Type: "hmac", Secret: secret("s")} }, 401, "UNAUTHORIZED"},
		{"a token", func(c *SourceConfig) { c.Auth = SourceAuth{Type: "bearer", Token: secret("s")} }, 401, "UNAUTHORIZED"},
		{"a limit", func(c *SourceConfig) { c.MaxBodyBytes = 3 }, 413, "TOO_LARGE"},
		{"a host", func(c *SourceConfig) { c.Hosts = []string{"orders.example"} }, 403, "FORBIDDEN"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var c collect
			r := newReload(t, sourceConfig(), c.handle)
			upload := dialRaw(t, r.first.url, nil)
			upload.say(begin(4) + "ab")
			path := r.first.path(t)
			eventually(t, "the upload is under way", func() bool { _, _, arrivals := path.holds(); return arrivals == 1 })
			r.stop()
			row.change(&r.cfg)
			r.second(c.handle)
			upload.say("cd")
			upload.answer().want(t, row.status, row.code)
			if len(c.messages()) != 0 {
				t.Error("the event was handed over")
			}
		})
	}
}

// U15: a stop waits for no upload, and each caller is told to send again.
func TestStop_isNotHeldByAnUpload(t *testing.T) {
	for name, shared := range map[string]*Listeners{"a port of its own": nil, "a shared port": {}} {
		t.Run(name, func(t *testing.T) {
			s := startSource(t, sourceConfig(), SourceOptions{Listeners: shared}, new(collect).handle)
			c := dialRaw(t, s.url, nil)
			c.say(begin(4) + "ab")
			path := s.path(t)
			eventually(t, "the upload is under way", func() bool { _, _, arrivals := path.holds(); return arrivals == 1 })
			begin := time.Now()
			if err := s.stop(); err != nil {
				t.Error(err)
			}
			if shared != nil {
				shared.Close()
			}
			if took := time.Since(begin); took > defaultDrain/2 {
				t.Errorf("stopping took %v", took)
			}
			a := c.answer()
			if a.want(t, 503, "STOPPING"); a.Header.Get("Retry-After") != "1" {
				t.Errorf("Retry-After is %q", a.Header.Get("Retry-After"))
			}
		})
	}
}

// U15: a caller that waits for a source which does not come is told so.
func TestRoute_doesNotWaitForeverForASourceThatNeverStarts(t *testing.T) {
	ls := Listeners{linger: 50 * time.Millisecond}
	defer ls.Close()
	cfg := sourceConfig()
	cfg.Listen, cfg.Path = freeAddress(t), "/stays"
	startSource(t, cfg, SourceOptions{Listeners: &ls}, new(collect).handle)
	cfg.Path = "/goes"
	goes := startSource(t, cfg, SourceOptions{Listeners: &ls}, new(collect).handle)
	if err := goes.stop(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		ask(t, "POST", goes.url, "x").want(t, 503, "STOPPING")
	}
}
