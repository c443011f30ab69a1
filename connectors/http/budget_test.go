package http

import (
	"context"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

// listener returns the listener of the source.
func (s *running) listener(t *testing.T) *listener {
	t.Helper()
	s.listeners.mu.Lock()
	defer s.listeners.mu.Unlock()
	l := s.listeners.open[s.cfg.Listen]
	if l == nil {
		t.Fatal("nobody listens")
	}
	return l
}

// path returns the route of the source.
func (s *running) path(t *testing.T) *route {
	t.Helper()
	l := s.listener(t)
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.routes[s.cfg.Path]
}

func (t *route) holds() (held int64, waiting, arrivals int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.held, t.queue.Len(), t.arrivals.Len()
}

// U15: 1,024 callers with 1 MiB each took 1.4 GiB. However many callers there are, the
// bodies that are read and not settled stay within the budget, and the other callers
// wait.
func TestSource_holdsNoMoreBytesThanItsBudget(t *testing.T) {
	const callers, size = 32, 256 << 10
	for _, row := range []struct {
		name string
		body func() io.Reader
	}{
		{"of a known length", func() io.Reader { return strings.NewReader(strings.Repeat("x", size)) }},
		{"of an unknown length", func() io.Reader { return io.MultiReader(strings.NewReader(strings.Repeat("x", size))) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg := sourceConfig()
			cfg.MaxBodyBytes, cfg.MaxBufferedBytes = 512<<10, 1<<20
			messages := make(chan *connector.Message, callers)
			var outstanding, most atomic.Int64
			s := startSource(t, cfg, SourceOptions{}, func(_ context.Context, m *connector.Message) {
				most.Store(max(most.Load(), outstanding.Add(int64(len(m.Value))))) // called serially
				messages <- m
			})
			var answers []<-chan answered
			for range callers {
				answers = append(answers, post(t.Context(), client, s.url, row.body()))
			}
			path := s.path(t)
			eventually(t, "the budget is used up, and everybody else waits", func() bool {
				_, waiting, arrivals := path.holds()
				return waiting > 0 && waiting == arrivals && arrivals+len(messages) == callers
			})
			if held, _, _ := path.holds(); held > 1<<20 || held < 2*size {
				t.Errorf("%d bytes are held", held)
			}
			for range callers {
				m := <-messages
				outstanding.Add(-size)
				if held, _, _ := path.holds(); held > 1<<20 {
					t.Errorf("%d bytes are held", held)
				}
				m.Settle(nil)
			}
			for _, a := range answers {
				(<-a).want(t, 200, "")
			}
			if most.Load() > 1<<20 || most.Load() < size {
				t.Errorf("%d bytes were outstanding at once", most.Load())
			}
			eventually(t, "nothing is held", func() bool { held, _, _ := path.holds(); return held == 0 })
		})
	}
}

// U15: waiting is bounded, and the answer says when to send again.
func TestSource_answersBusyWhenTheBudgetStaysUsedUp(t *testing.T) {
	cfg := sourceConfig()
	cfg.MaxBodyBytes, cfg.MaxBufferedBytes, cfg.ReadTimeout = 20, 1, 50*time.Millisecond
	messages := make(chan *connector.Message, 1)
	s := startSource(t, cfg, SourceOptions{}, func(_ context.Context, m *connector.Message) { messages <- m })
	first := post(t.Context(), client, s.url, strings.NewReader("x")) // one body always fits
	m := <-messages
	a := ask(t, "POST", s.url, "x")
	if a.want(t, 503, "BUSY"); a.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", a.Header.Get("Retry-After"))
	}
	second := post(t.Context(), client, s.url, strings.NewReader("x"))
	path := s.path(t)
	eventually(t, "the second waits", func() bool { _, waiting, _ := path.holds(); return waiting == 1 })
	m.Settle(nil)
	(<-messages).Settle(nil)
	(<-first).want(t, 200, "")
	(<-second).want(t, 200, "")
}

// U15: a request with a large head does not wait, because its head would stay in memory
// meanwhile.
func TestSource_aLargeHeadWaitsForNoRoom(t *testing.T) {
	cfg := sourceConfig()
	cfg.MaxBodyBytes, cfg.MaxBufferedBytes = 1<<10, 100<<10
	messages := make(chan *connector.Message, 2)
	s := startSource(t, cfg, SourceOptions{}, func(_ context.Context, m *connector.Message) { messages <- m })
	large := strings.Repeat("x", 30<<10)
	first := post(t.Context(), client, s.url, strings.NewReader("x"))
	m := <-messages
	second := make(chan answered, 1)
	go func() { second <- ask(t, "POST", s.url, "x", "X-Large", large) }() // counted as 60 KiB, because the value is copied
	n := <-messages
	ask(t, "POST", s.url, "x", "X-Large", large).want(t, 503, "BUSY")
	m.Settle(nil)
	n.Settle(nil)
	(<-first).want(t, 200, "")
	(<-second).want(t, 200, "")
}

// U15: a Content-Length alone reserves nothing: it is only the caller's claim.
func TestSource_aLengthWithoutABodyHoldsLittle(t *testing.T) {
	cfg := sourceConfig()
	cfg.MaxBufferedBytes = 2 << 20
	s := startSource(t, cfg, SourceOptions{}, new(collect).handle)
	for range 50 {
		dialRaw(t, s.url, nil).say(begin(1 << 20))
	}
	path := s.path(t)
	eventually(t, "all are on their way", func() bool { _, _, arrivals := path.holds(); return arrivals == 50 })
	if held, waiting, _ := path.holds(); held > 50*(firstRead+1<<10) || waiting > 0 {
		t.Errorf("%d bytes are held, %d wait", held, waiting)
	}
	ask(t, "POST", s.url, strings.Repeat("x", 100<<10)).want(t, 200, "")
}

// U15: an upload that stopped keeps its bytes only until another caller needs them.
func TestSource_anUploadThatStoppedMakesRoom(t *testing.T) {
	cfg := sourceConfig()
	cfg.MaxBufferedBytes = 1 << 20 // room for one body, without a head
	s := startSource(t, cfg, SourceOptions{}, new(collect).handle)
	stopped := dialRaw(t, s.url, nil)
	stopped.say(begin(1<<20-1<<10) + strings.Repeat("x", 100<<10))
	path := s.path(t)
	eventually(t, "the upload holds what it needs", func() bool { held, _, _ := path.holds(); return held > 1<<20-1<<10 })
	if !stopped.silent() {
		t.Error("the upload was ended though nobody waits")
	}
	ask(t, "POST", s.url, strings.Repeat("x", 100<<10)).want(t, 200, "")
	a := stopped.answer()
	if a.want(t, 503, "BUSY"); !strings.Contains(a.body, "the body came slowly, and others wait") {
		t.Errorf("answer is %s", a.body)
	}
}

// U15: uploads that wait for bytes which the others hold do not deadlock.
func TestSource_uploadsDoNotWaitForEachOther(t *testing.T) {
	cfg := sourceConfig()
	cfg.MaxBufferedBytes, cfg.MaxBodyBytes = 64<<10, 64<<10
	s := startSource(t, cfg, SourceOptions{}, new(collect).handle)
	var all []*raw
	for range 3 { // the first bytes of three bodies fill the budget
		c := dialRaw(t, s.url, nil)
		c.say(begin(60<<10) + strings.Repeat("x", firstRead-1))
		all = append(all, c)
	}
	path := s.path(t)
	eventually(t, "all hold their beginning", func() bool { held, _, _ := path.holds(); return held > 3*firstRead })
	for _, c := range all {
		c.say(strings.Repeat("x", 60<<10-firstRead+1))
	}
	for _, c := range all {
		c.answer().want(t, 200, "")
	}
	eventually(t, "nothing is held", func() bool { held, _, _ := path.holds(); return held == 0 && path.waitingForBudget == 0 })
}

// U15: callers without the secret took all permits with bodies that never arrived, and
// with bodies that had a wrong signature.
func TestSource_callersWithoutTheSecretKeepNobodyOut(t *testing.T) {
	for _, row := range []struct{ name, said string }{
		{"no body", begin(1000, "X-Hub-Signature-256: "+sign("wrong", "x"))},
		{"half a body", begin(1000, "X-Hub-Signature-256: "+sign("wrong", "x")) + "half"},
		{"a body with another signature", begin(1, "X-Hub-Signature-256: "+sign("wrong", "x")) + "x"},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg := sourceConfig()
			cfg.MaxRequests = 4
			cfg.Auth = SourceAuth{Type: "hmac", Secret: secret("s")}
			s := startSource(t, cfg, SourceOptions{}, new(collect).handle)
			for range 4 {
				dialRaw(t, s.url, nil).say(row.said)
			}
			path := s.path(t)
			if row.name != "a body with another signature" {
				eventually(t, "all are on their way", func() bool { _, _, arrivals := path.holds(); return arrivals == 4 })
			}
			if n := s.inFlight(); n != 0 {
				t.Errorf("%d permits are taken", n)
			}
			// A caller that gets 503 sends again; slow callers have a second.
			eventually(t, "an honest caller is heard", func() bool {
				a := ask(t, "POST", s.url, "x", "X-Hub-Signature-256", sign("s", "x"))
				return a.StatusCode == 200
			})
		})
	}
}

// U15: five HTTP/2 connections were enough to take all permits.
func TestSource_streamsThatSendNothingKeepNobodyOut(t *testing.T) {
	cfg := sourceConfig()
	cfg.MaxRequests = 8
	trust := secured(t, &cfg)
	s := startSource(t, cfg, SourceOptions{}, new(collect).handle)
	c := http2(t, trust)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	for range 8 {
		body, hold := io.Pipe()
		answer := post(ctx, c, secure(s.url), body)
		all.Go(func() { <-answer; _ = hold.Close() })
	}
	path := s.path(t)
	eventually(t, "all are on their way", func() bool { _, _, arrivals := path.holds(); return arrivals == 8 })
	eventually(t, "an honest caller is heard", func() bool {
		a := <-post(t.Context(), c, secure(s.url), strings.NewReader("x"))
		return a.StatusCode == 200
	})
}

// U15: a token in a header is checked before the body is read.
func TestSource_refusesAWrongTokenBeforeTheBody(t *testing.T) {
	cfg := sourceConfig()
	cfg.Auth = SourceAuth{Type: "bearer", Token: secret("t")}
	s := startSource(t, cfg, SourceOptions{}, new(collect).handle)
	c := dialRaw(t, s.url, nil)
	c.say(begin(1000, "Authorization: Bearer x"))
	c.answer().want(t, 401, "UNAUTHORIZED")
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.br.ReadByte(); err != io.EOF { // the connection is closed at once, not after the read timeout of 30 s
		t.Errorf("the connection is open: %v", err)
	}
}

func TestSource_takesABodyInPieces(t *testing.T) {
	for _, size := range []int{0, 1, firstBuffer, firstBuffer + 1, firstRead - 1, firstRead, firstRead + 1, 100_000, 1 << 20} {
		for _, known := range []bool{true, false} {
			var c collect
			s := startSource(t, sourceConfig(), SourceOptions{}, c.handle)
			want := strings.Repeat("0123456789abcdef", size/16+1)[:size]
			var body io.Reader = strings.NewReader(want)
			if !known {
				body = io.MultiReader(body)
			}
			(<-post(t.Context(), client, s.url, body)).want(t, 200, "")
			if got := c.messages(); len(got) != 1 || string(got[0].Value) != want {
				t.Errorf("%d bytes, length known: %v: another body arrived", size, known)
			}
			if held, _, _ := s.path(t).holds(); held != 0 {
				t.Errorf("%d bytes are held", held)
			}
		}
	}
}

func TestSourceConfig_boundsAreMoreThanNothing(t *testing.T) {
	for key, change := range map[string]func(*SourceConfig){
		"maxBufferedBytes": func(c *SourceConfig) { c.MaxBufferedBytes = -1 },
		"maxConnections":   func(c *SourceConfig) { c.MaxConnections = -1 },
	} {
		cfg := sourceConfig()
		config.Defaults(&cfg)
		change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "must be more than 0") {
			t.Errorf("%s: %v", key, err)
		}
	}
}
