package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	nethttp "net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lsm/fiso/common/connector"
)

// running is a source under test.
type running struct {
	*Source
	url  string // including the path
	stop func() error
}

// startSource runs a source until the test ends or stop is called.
func startSource(t *testing.T, cfg SourceConfig, opts SourceOptions, handle func(context.Context, *connector.Message)) *running {
	t.Helper()
	address := make(chan net.Addr, 1)
	opts.Listening = func(a net.Addr) { address <- a }
	s, err := NewSource(cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, connector.Each(handle)) }()
	stop := sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() })
	select {
	case a := <-address:
		return &running{s, "http://" + a.String() + s.cfg.Path, stop}
	case err := <-done:
		done <- err
		t.Fatal(err)
		return nil
	}
}

// client keeps no connections, so that no goroutine is left after a test.
var client = &nethttp.Client{
	Transport: &nethttp.Transport{DisableKeepAlives: true},
	Timeout:   20 * time.Second,
}

// answered is an answer whose body has been read.
type answered struct {
	*nethttp.Response
	body string
}

// ask sends a request. Headers come in pairs of name and value.
func ask(t *testing.T, method, url, body string, headers ...string) answered {
	t.Helper()
	r, err := nethttp.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answered{resp, string(text)}
}

// want checks the status and, of a problem, its code.
func (a answered) want(t *testing.T, status int, code string) {
	t.Helper()
	var p struct {
		Status              int
		Code, Title, Detail string
	}
	if a.StatusCode != status || a.Header.Get("Fiso-Error") != code {
		t.Errorf("answer is %d %s %s; want %d %s", a.StatusCode, a.Header.Get("Fiso-Error"), a.body, status, code)
	}
	if code == "" {
		return
	}
	err := json.Unmarshal([]byte(a.body), &p)
	if err != nil || p.Code != code || p.Status != status || p.Detail == "" || a.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("problem is %s (%v)", a.body, err)
	}
}

// collect returns a handler that settles with nil and records the messages.
type collect struct {
	mu  sync.Mutex
	got []*connector.Message
}

func (c *collect) handle(_ context.Context, m *connector.Message) {
	c.mu.Lock()
	c.got = append(c.got, m)
	c.mu.Unlock()
	m.Settle(nil)
}

func (c *collect) messages() []*connector.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

const structured = `{"specversion":"1.0","id":"e1","source":"/s","type":"t","time":"2026-01-02T03:04:05Z","partitionkey":"k1","data":{"n":1}}`

// U3, U9: see the rows that name them.
func TestSource_takesEveryMode(t *testing.T) {
	var c collect
	s := startSource(t, SourceConfig{Listen: "127.0.0.1:0", Path: "/in"}, SourceOptions{}, c.handle)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, row := range []struct {
		name, body string
		headers    []string
		value      string // handed over; "": the body
		id, key    string
		time       bool // at
		contentIs  string
		made       bool // the id is made up
	}{
		{name: "structured", body: structured, headers: []string{"Content-Type", "application/cloudevents+json; charset=UTF-8"},
			id: "e1", key: "k1", time: true, contentIs: "application/cloudevents+json; charset=UTF-8"},
		{name: "binary", body: "hello", headers: []string{"Content-Type", "text/plain", "ce-specversion", "1.0", "ce-id", "e%201", "ce-source", "/s", "ce-type", "t", "ce-partitionkey", "k1", "ce-time", "2026-01-02T03:04:05Z"},
			id: "e 1", key: "k1", time: true, contentIs: "text/plain"},
		// U3: attributes in headers beside an envelope are copies and do not count.
		{name: "structured with copies of attributes", body: structured, headers: []string{"Content-Type", "application/cloudevents+json;charset=utf8", "ce-specversion", "1.0", "ce-id", "other", "ce-source", "/other", "ce-type", "other", "ce-partitionkey", "other"},
			id: "e1", key: "k1", time: true, contentIs: "application/cloudevents+json;charset=utf8"},
		// U9: the form that Quarkus sends.
		{name: "binary with two equal content types", body: "hello", headers: []string{"Content-Type", "text/plain", "ce-datacontenttype", "text/plain", "ce-specversion", "1.0", "ce-id", "e1", "ce-source", "/s", "ce-type", "t"}, id: "e1", contentIs: "text/plain"},
		{name: "plain JSON", body: `[1,2]`, headers: []string{"Content-Type", "application/json", "Idempotency-Key", "i1"}, id: "i1", contentIs: "application/json"},
		{name: "plain, key in quotes", body: `{`, headers: []string{"Content-Type", "application/x+json", "Idempotency-Key", `"i 1"`}, id: "i 1", contentIs: "application/x+json"},
		{name: "no type at all", body: "\x00\xff", made: true},
		{name: "a malformed type", body: "x", headers: []string{"Content-Type", ";;"}, contentIs: ";;", made: true},
		{name: "nothing", body: "", made: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := len(c.messages())
			a := ask(t, "POST", s.url, row.body, row.headers...)
			a.want(t, 200, "")
			madeID := a.Header.Get("Ce-Id")
			if row.made != (len(madeID) > 20) {
				t.Errorf("ce-id is %q", madeID)
			}
			row.id += madeID
			var ok eventAnswer
			if err := json.Unmarshal([]byte(a.body), &ok); err != nil || ok.Status != "accepted" || ok.ID != row.id {
				t.Errorf("answer is %s", a.body)
			}
			list := c.messages()[before:]
			if len(list) != 1 {
				t.Fatalf("%d messages", len(list))
			}
			m := list[0]
			contentType, _ := m.Header("content-type")
			if string(m.Value) != row.body || m.Value == nil || m.ID != row.id || string(m.Key) != row.key || (m.Key == nil) != (row.key == "") || string(contentType) != row.contentIs {
				t.Errorf("message is %q key %q id %q content %q", m.Value, m.Key, m.ID, contentType)
			}
			if m.Position != (connector.Position{Stream: "/in"}) || m.Time.IsZero() || row.time && !m.Time.Equal(at) {
				t.Errorf("position %v, time %v", m.Position, m.Time)
			}
		})
	}
}

// U39: A caller who is told to send an event again learns under which id it is known.
func TestSource_anIDThatWasMadeUpIsAnswered(t *testing.T) {
	for name, tc := range map[string]struct {
		settle func(m *connector.Message)
		status int
	}{
		"done":       {func(m *connector.Message) { m.Settle(nil) }, 200},
		"failed":     {func(m *connector.Message) { m.Settle(errors.New("x")) }, 503},
		"for good":   {func(m *connector.Message) { m.Settle(connector.AsPermanent(errors.New("x"))) }, 500},
		"not begun":  {func(m *connector.Message) { m.Settle(connector.ErrInterrupted) }, 503},
		"not so far": {func(m *connector.Message) { time.AfterFunc(200*time.Millisecond, func() { m.Settle(nil) }) }, 503},
	} {
		t.Run(name, func(t *testing.T) {
			ids := make(chan string, 2)
			cfg := sourceConfig()
			cfg.AnswerTimeout = 50 * time.Millisecond
			s := startSource(t, cfg, SourceOptions{}, func(_ context.Context, m *connector.Message) {
				ids <- m.ID
				tc.settle(m)
			})
			a := ask(t, "POST", s.url, "x")
			id := a.Header.Get("Ce-Id")
			if got := <-ids; a.StatusCode != tc.status || id == "" || id != got {
				t.Fatalf("%d, ce-id %q, handed over as %q", a.StatusCode, id, got)
			}
			if tc.status == 503 && !strings.Contains(a.body, "as Idempotency-Key") {
				t.Errorf("the answer does not say how to send it again: %s", a.body)
			}
			again := ask(t, "POST", s.url, "x", "Idempotency-Key", id)
			if got := <-ids; got != id || again.Header.Get("Ce-Id") != "" {
				t.Errorf("sent again as %q, ce-id %q", got, again.Header.Get("Ce-Id"))
			}
		})
	}
}

func TestSource_passesHeadersOnWithoutCredentials(t *testing.T) {
	var c collect
	cfg := sourceConfig()
	cfg.Auth = SourceAuth{Type: "hmac", Secret: secret("s"), TimestampHeader: "X-Time"}
	s := startSource(t, cfg, SourceOptions{Name: "hooks"}, c.handle)
	now := unixNow()
	ask(t, "POST", s.url, "x", "X-Hub-Signature-256", sign("s", now+".x"), "X-Time", now,
		"Authorization", "canary", "Cookie", "canary", "Proxy-Authorization", "canary", "TE", "trailers",
		"Traceparent", "00-a-b-01", "X-Two", "1", "X-Two", "2").want(t, 200, "")
	m := c.messages()[0]
	var got []string
	for _, h := range m.Headers {
		if h.Key != "user-agent" && h.Key != "accept-encoding" {
			got = append(got, h.Key+"="+string(h.Value))
		}
	}
	want := []string{"traceparent=00-a-b-01", "x-time=" + now, "x-two=1", "x-two=2"}
	if !slices.Equal(got, want) {
		t.Errorf("headers are %q; want %q", got, want)
	}
	if m.Position.Stream != "hooks" {
		t.Errorf("topic is %q", m.Position.Stream)
	}
}

// U3: each event of a batch has its own attributes, whatever attributes the request
// has.
func TestSource_handsABatchOverInOrder(t *testing.T) {
	var c collect
	s := startSource(t, sourceConfig(), SourceOptions{}, c.handle)
	batch := `[` + structured + `, {"specversion":"1.0","id":"e2","source":"/s","type":"t"}]`
	a := ask(t, "POST", s.url, batch, "Content-Type", "application/cloudevents-batch+json", "Idempotency-Key", "all", "X-A", "1",
		"ce-specversion", "1.0", "ce-id", "of the batch", "ce-source", "/batch", "ce-type", "batch")
	a.want(t, 200, "")
	if a.body != `{"results":[{"id":"e1","status":200},{"id":"e2","status":200}]}` || a.Header.Get("Content-Type") != ContentTypeResults {
		t.Errorf("answer is %s", a.body)
	}
	list := c.messages()
	if len(list) != 2 || string(list[0].Value) != structured || list[0].ID != "e1" || list[1].ID != "e2" || string(list[0].Key) != "k1" || list[1].Key != nil {
		t.Fatalf("messages are %v", list)
	}
	for _, m := range list {
		// Each is a separate structured event; it takes no key or attributes from the request.
		if _, there := m.Header("ce-id"); there {
			t.Errorf("headers are %q", m.Headers)
		}
		contentType, _ := m.Header("content-type")
		_, keyed := m.Header("idempotency-key")
		if _, there := m.Header("x-a"); string(contentType) != "application/cloudevents+json" || keyed || !there {
			t.Errorf("headers are %q", m.Headers)
		}
	}
	a = ask(t, "POST", s.url, ` [ ] `, "Content-Type", "application/cloudevents-batch+json")
	if a.want(t, 200, ""); a.body != `{"results":[]}` {
		t.Errorf("answer to nothing is %s", a.body)
	}
}

// U20: the second of two Content-Encoding fields was ignored, and a compressed body
// passed.
func TestSource_refusesWhatItCannotTake(t *testing.T) {
	const event, batch = "application/cloudevents+json", "application/cloudevents-batch+json"
	var c collect
	cfg := sourceConfig()
	cfg.Path, cfg.MaxBodyBytes, cfg.MaxBatchEvents = "/in", 200, 2
	s := startSource(t, cfg, SourceOptions{}, c.handle)
	small := `{"specversion":"1.0","id":"1","source":"/","type":"t"}`
	for _, row := range []struct {
		name, body string
		headers    []string
		status     int
		code, text string
	}{
		{"no JSON", `{`, []string{"Content-Type", event}, 400, "BAD_EVENT", "the event: parse CloudEvent"},
		{"no id", `{"specversion":"1.0","source":"/","type":"t"}`, []string{"Content-Type", event}, 400, "BAD_EVENT", "id is missing"},
		{"binary without id", `x`, []string{"Ce-Specversion", "1.0"}, 400, "BAD_EVENT", "id is missing"},
		{"binary without version", `x`, []string{"Ce-Id", "1"}, 400, "BAD_EVENT", "ce-specversion is missing"},
		{"binary of another version", `x`, []string{"Ce-Id", "1", "Ce-Specversion", "0.3"}, 400, "BAD_EVENT", "0.3"},
		{"binary twice", `x`, []string{"Ce-Id", "1", "Ce-Id", "2", "Ce-Specversion", "1.0", "Ce-Source", "/", "Ce-Type", "t"}, 400, "BAD_EVENT", "id"},
		{"a batch that is none", small, []string{"Content-Type", batch}, 400, "BAD_EVENT", "batch"},
		{"a batch with one bad event", `[` + small + `,{}]`, []string{"Content-Type", batch}, 400, "BAD_EVENT", "event 2 of 2"},
		{"a batch of too many", `[` + small + `,` + small + `,` + small + `]`, []string{"Content-Type", batch}, 413, "TOO_LARGE", "at most 2"},
		{"a body of too much", strings.Repeat("x", 201), nil, 413, "TOO_LARGE", "200 (maxBodyBytes)"},
		{"no content type", `x`, []string{"Content-Type", "json", "Ce-Id", "1", "Ce-Specversion", "1.0", "Ce-Source", "/", "Ce-Type", "t"}, 400, "BAD_EVENT", `\"json\" is not a content type`},
		{"an id that is not UTF-8", `x`, []string{"Ce-Id", "%C0%A0", "Ce-Specversion", "1.0", "Ce-Source", "/", "Ce-Type", "t"}, 400, "BAD_EVENT", `the value is not UTF-8`},
		{"a number of no kind", `{"specversion":"1.0","id":"1","source":"/","type":"t","n":1.5}`, []string{"Content-Type", event}, 400, "BAD_EVENT", "is not a 32-bit integer"},
		{"two content types", small, []string{"Content-Type", event, "Content-Type", "application/json"}, 415, "UNSUPPORTED_CONTENT", "is there more than once"},
		{"another format beside attributes", `x`, []string{"Content-Type", "application/cloudevents+avro", "Ce-Id", "1", "Ce-Specversion", "1.0", "Ce-Source", "/", "Ce-Type", "t"}, 415, "UNSUPPORTED_CONTENT", "cloudevents+avro"},
		{"another format", `x`, []string{"Content-Type", "application/cloudevents+avro"}, 415, "UNSUPPORTED_CONTENT", "cloudevents+avro"},
		{"a malformed type", `x`, []string{"Content-Type", "application/cloudevents+json; ;="}, 415, "UNSUPPORTED_CONTENT", "malformed"},
		{"another charset", small, []string{"Content-Type", event + "; charset=latin1"}, 415, "UNSUPPORTED_CONTENT", "latin1"},
		{"compressed", `x`, []string{"Content-Encoding", "gzip"}, 415, "UNSUPPORTED_CONTENT", "gzip"},
		{"compressed in the second field", `x`, []string{"Content-Encoding", "identity", "Content-Encoding", "gzip"}, 415, "UNSUPPORTED_CONTENT", "gzip"},
		{"compressed in the second field, the first is empty", `x`, []string{"Content-Encoding", "", "Content-Encoding", "gzip"}, 415, "UNSUPPORTED_CONTENT", "gzip"},
		{"compressed in a list", `x`, []string{"Content-Encoding", "identity, br"}, 415, "UNSUPPORTED_CONTENT", "br"},
		{"two types", `x`, []string{"Content-Type", "text/plain", "Content-Type", event}, 415, "UNSUPPORTED_CONTENT", "more than once"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := ask(t, "POST", s.url, row.body, row.headers...)
			a.want(t, row.status, row.code)
			if !strings.Contains(a.body, row.text) {
				t.Errorf("answer is %s; want %q in it", a.body, row.text)
			}
		})
	}
	chunked, err := nethttp.NewRequestWithContext(t.Context(), "POST", s.url, io.MultiReader(strings.NewReader(strings.Repeat("x", 201))))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(chunked)
	if err != nil {
		t.Fatal(err)
	}
	if _ = resp.Body.Close(); resp.StatusCode != 413 {
		t.Errorf("a body of unknown length, too large: %d", resp.StatusCode)
	}
	ask(t, "GET", s.url, "").want(t, 405, "METHOD_NOT_ALLOWED")
	if allow := ask(t, "PUT", s.url, "x").Header.Get("Allow"); allow != "OPTIONS, POST" {
		t.Errorf("Allow is %q", allow)
	}
	ask(t, "POST", s.url+"/more", "x").want(t, 404, "NOT_FOUND")
	ask(t, "POST", strings.TrimSuffix(s.url, "in"), "x").want(t, 404, "NOT_FOUND")
	if n := len(c.messages()); n != 0 {
		t.Errorf("%d messages were handed over", n)
	}
	ask(t, "POST", s.url, "x", "Content-Encoding", "identity").want(t, 200, "")
}

func TestSource_answersTheHandshakeOfWebhooks(t *testing.T) {
	s := startSource(t, sourceConfig(), SourceOptions{}, new(collect).handle)
	for rate, want := range map[string]string{"": "", "120": "120", "0": "*", "many": "*"} {
		a := ask(t, "OPTIONS", s.url, "", "WebHook-Request-Origin", "eventemitter.example.com", "WebHook-Request-Rate", rate)
		if a.StatusCode != 200 || a.Header.Get("WebHook-Allowed-Origin") != "eventemitter.example.com" || a.Header.Get("WebHook-Allowed-Rate") != want || a.Header.Get("Allow") != "OPTIONS, POST" {
			t.Errorf("rate %q: %d %v", rate, a.StatusCode, a.Header)
		}
	}
	if a := ask(t, "OPTIONS", s.url, ""); a.StatusCode != 200 || a.Header.Get("WebHook-Allowed-Origin") != "" {
		t.Errorf("plain: %d %v", a.StatusCode, a.Header)
	}
}

// F2: an interrupted event is neither done nor failed; the caller is told to send it
// again. https://github.com/dapr/components-contrib/issues/3849
func TestSource_tellsHowAnEventEnded(t *testing.T) {
	for _, row := range []struct {
		name   string
		err    error
		status int
		code   string
		after  string
	}{
		{"done", nil, 200, "", ""},
		{"interrupted", connector.ErrInterrupted, 503, "NOT_SETTLED", "1"},
		{"temporary", errors.New("canary"), 503, "NOT_SETTLED", "1"},
		{"with a delay", connector.AsTemporary(errors.New("canary"), 2500*time.Millisecond), 503, "NOT_SETTLED", "3"},
		{"permanent", connector.AsPermanent(errors.New("canary")), 500, "FAILED", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := startSource(t, sourceConfig(), SourceOptions{}, func(_ context.Context, m *connector.Message) { go m.Settle(row.err) })
			a := ask(t, "POST", s.url, "x")
			a.want(t, row.status, row.code)
			if a.Header.Get("Retry-After") != row.after || strings.Contains(a.body, "canary") {
				t.Errorf("Retry-After %q, answer %s", a.Header.Get("Retry-After"), a.body)
			}
		})
	}
}

func TestSource_eachEventOfABatchHasItsOwnStatus(t *testing.T) {
	s := startSource(t, sourceConfig(), SourceOptions{}, func(_ context.Context, m *connector.Message) {
		go m.Settle(map[string]error{
			"bad": connector.AsPermanent(errors.New("x")), "slow": connector.AsTemporary(errors.New("x"), 5*time.Second),
		}[m.ID])
	})
	batch := func(ids ...string) answered {
		var list []string
		for _, id := range ids {
			list = append(list, `{"specversion":"1.0","id":"`+id+`","source":"/","type":"t"}`)
		}
		return ask(t, "POST", s.url, "["+strings.Join(list, ",")+"]", "Content-Type", "application/cloudevents-batch+json")
	}
	a := batch("bad", "slow", "good", "bad")
	want := `{"results":[{"id":"bad","status":500,"detail":"failed"},{"id":"slow","status":503,"detail":"not settled; send it again"},{"id":"good","status":200},{"id":"bad","status":500,"detail":"failed"}]}`
	if a.StatusCode != 503 || a.body != want || a.Header.Get("Retry-After") != "5" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a = batch("good", "bad"); a.StatusCode != 500 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

func TestSource_anEventIsSettledThoughItsCallerIsGone(t *testing.T) {
	messages := make(chan *connector.Message, 1)
	s := startSource(t, sourceConfig(), SourceOptions{}, func(_ context.Context, m *connector.Message) { messages <- m })
	ctx, cancel := context.WithCancel(t.Context())
	r, err := nethttp.NewRequestWithContext(ctx, "POST", s.url, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() {
		resp, err := client.Do(r)
		if err == nil {
			_ = resp.Body.Close()
		}
		gone <- err
	}()
	m := <-messages
	cancel()
	if err := <-gone; err == nil {
		t.Error("answered")
	}
	if m.IsSettled() || s.inFlight() != 1 {
		t.Error("the event ended with its caller")
	}
	m.Settle(nil)
	if s.inFlight() != 0 {
		t.Error("the event is still in flight")
	}
}

func (s *Source) inFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

func TestSource_stopsAfterWhatIsInFlight(t *testing.T) {
	messages := make(chan *connector.Message, 1)
	ls := Listeners{linger: time.Millisecond}
	defer ls.Close()
	s := startSource(t, sourceConfig(), SourceOptions{Listeners: &ls}, func(_ context.Context, m *connector.Message) { messages <- m })
	answers := make(chan answered, 1)
	go func() { answers <- ask(t, "POST", s.url, "x") }()
	m := <-messages
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	eventually(t, "new requests are refused", func() bool { return s.Status().Problem == "stopped" })
	a := ask(t, "POST", s.url, "y")
	a.want(t, 503, "STOPPING")
	if a.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", a.Header.Get("Retry-After"))
	}
	select {
	case err := <-stopped:
		t.Errorf("Run returned before the event was settled: %v", err)
	default:
	}
	m.Settle(nil)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	(<-answers).want(t, 200, "")
}

func TestSource_givesUpAfterTheDrainTimeout(t *testing.T) {
	messages := make(chan *connector.Message, 1)
	var log bytes.Buffer
	opts := SourceOptions{DrainTimeout: 10 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	s := startSource(t, sourceConfig(), opts, func(_ context.Context, m *connector.Message) { messages <- m })
	answers := make(chan answered, 1)
	go func() { answers <- ask(t, "POST", s.url, "x") }()
	m := <-messages
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	(<-answers).want(t, 503, "STOPPING")
	if !strings.Contains(log.String(), "requests=1") {
		t.Errorf("log is %s", log.String())
	}
	m.Settle(nil) // too late, and harmless
}

func TestSource_aHandlerThatPanicsSettlesNothing(t *testing.T) {
	var log bytes.Buffer
	n := 0
	s := startSource(t, sourceConfig(), SourceOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))}, func(_ context.Context, m *connector.Message) {
		if n++; n == 1 {
			panic("boom")
		}
		m.Settle(nil)
	})
	ask(t, "POST", s.url, "x").want(t, 503, "NOT_SETTLED")
	ask(t, "POST", s.url, "x").want(t, 200, "")
	if err := s.stop(); err != nil || !strings.Contains(log.String(), "boom") {
		t.Errorf("%v; log is %s", err, log.String())
	}
}

func TestSource_runsOnce(t *testing.T) {
	s := startSource(t, sourceConfig(), SourceOptions{}, new(collect).handle)
	if err := s.Run(t.Context(), connector.Each(new(collect).handle)); err == nil || !strings.Contains(err.Error(), "make a new source") {
		t.Errorf("error is %v", err)
	}
}
