package async

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lsm/fiso/link/internal/resilience"
)

func TestWorker_makesTheCallThatWasAccepted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "basePath: /base\nheaders: {set: {X-Set: s}}\nasync: {topic: calls, replyTopic: answers, key: path}", map[string]int32{"calls": 2, "answers": 1})
	w.answers(func(_ int, rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Set-Cookie", "canary")
		rw.Header().Set("X-Answer", "a")
		rw.WriteHeader(201)
		_, _ = rw.Write([]byte("made"))
	})
	id := w.accept("POST", "/link/crm/a?x=1", "body", "X-A", "b", "Content-Type", "text/plain")
	keyed := w.accept("PUT", "/link/crm/b", "", "Idempotency-Key", "mine")
	w.work()
	w.settled(2)
	calls := map[string]seen{}
	for _, c := range w.seen() {
		calls[c.method] = c
	}
	if c := calls["POST"]; c.uri != "/base/a?x=1" || c.body != "body" || c.key != id || c.header.Get("X-A") != "b" || c.header.Get("X-Set") != "s" || c.header.Get("Prefer") != "" {
		t.Errorf("%+v", c)
	}
	if c := calls["PUT"]; c.uri != "/base/b" || c.key != "mine" {
		t.Errorf("%+v", c)
	}
	rs := w.records("answers")
	if len(rs) != 2 {
		t.Fatal(rs)
	}
	for _, r := range rs {
		of := headerOf(r, "ce_fisorequestid")
		if headerOf(r, "ce_id") != of+"-reply" || of != id && of != keyed || headerOf(r, "ce_type") != "fiso.link.reply" || headerOf(r, "ce_fisostatus") != "201" || string(r.Value) != "made" ||
			headerOf(r, "http-X-Answer") != "a" || headerOf(r, "http-Set-Cookie") != "" || !strings.HasPrefix(string(r.Key), "/") {
			t.Errorf("%s %v", r.Value, r.Headers)
		}
	}
}

// A malformed content type is the application's and the target's affair: the record is
// a CloudEvent without it, and the call and its reply carry it.
func TestWorker_makesACallWhoseContentTypeIsNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "async: {topic: calls, replyTopic: answers}", map[string]int32{"calls": 1, "answers": 1})
	w.answers(func(_ int, rw http.ResponseWriter, _ *http.Request) { rw.Header().Set("Content-Type", "text") })
	w.accept("POST", "/link/crm/a", "body", "Content-Type", "json")
	w.work()
	w.settled(1)
	if calls := w.seen(); len(calls) != 1 || calls[0].header.Get("Content-Type") != "json" || calls[0].body != "body" {
		t.Errorf("%+v", calls)
	}
	for topic, want := range map[string]string{"calls": "json", "answers": "text"} {
		rs := w.records(topic)
		if len(rs) != 1 || headerOf(rs[0], "content-type") != "" || headerOf(rs[0], "http-Content-Type") != want {
			t.Errorf("%s: %+v", topic, rs)
		}
	}
}

// Each call is settled once, and the reply topic gets its result, whatever the target
// answers.
func TestWorker_endsEveryCallOneWay(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answers string // statuses in turn; the last one repeats
		code    string // of the dead letter
		calls   int
		retries string
	}{
		"done":                 {"204", "", 1, ""},
		"done at last":         {"500 408 425 200", "", 4, ""},
		"for good":             {"422", "SINK_REJECTED", 1, "0"},
		"a redirect":           {"301", "SINK_REJECTED", 1, "0"},
		"not modified":         {"304", "SINK_REJECTED", 1, "0"},
		"401 of the caller's":  {"401", "SINK_REJECTED", 1, "0"},
		"for good, in the end": {"500 422", "SINK_REJECTED", 2, "1"},
		"too often":            {"500", "SINK_DELIVERY_FAILED", 4, "3"},
		"throttled for long":   {"429 429 429 429 429 429 200", "", 7, ""},
		"away for long":        {"503 503 503 503 503 503 200", "", 7, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "retry: {maxAttempts: 1, initialInterval: 1ms, maxInterval: 2ms}\ncircuitBreaker: {enabled: false}\nasync: {topic: calls, replyTopic: answers}", map[string]int32{"calls": 1})
			statuses := strings.Fields(test.answers)
			w.answers(func(n int, rw http.ResponseWriter, _ *http.Request) {
				status, err := strconv.Atoi(statuses[min(n, len(statuses))-1])
				if err != nil {
					t.Error(err)
				}
				rw.WriteHeader(status)
			})
			id := w.accept("POST", "/link/crm/", "body", "X-A", "b")
			w.work()
			w.settled(1)
			calls := w.seen()
			if len(calls) != test.calls {
				t.Errorf("%d calls", len(calls))
			}
			for _, c := range calls {
				if c.key != id {
					t.Errorf("a call came with the key %q", c.key)
				}
			}
			reply := w.records("answers")
			if len(reply) != 1 || headerOf(reply[0], "ce_fisoerrorcode") != test.code || headerOf(reply[0], "ce_fisostatus") != statuses[len(statuses)-1] {
				t.Errorf("%v", reply)
			}
			if test.code == "" {
				return
			}
			r := w.records("calls-dlq")[0]
			if w.count(w.buried, test.code) != 1 || headerOf(r, "fiso-error-code") != test.code || headerOf(r, "fiso-retry-count") != test.retries || headerOf(r, "fiso-flow-name") != "crm" ||
				headerOf(r, "fiso-original-topic") != "calls" || headerOf(r, "fiso-original-partition") != "0" || headerOf(r, "fiso-original-offset") != "0" || headerOf(r, "fiso-failed-at") == "" ||
				!strings.Contains(headerOf(r, "fiso-error-message"), "the target answered") || string(r.Value) != "body" || headerOf(r, "http-X-A") != "b" || headerOf(r, "ce_id") != id {
				t.Errorf("%s %v", r.Value, r.Headers)
			}
		})
	}
}

// With the defaults, a single call that always fails becomes a dead letter before it
// opens the circuit.
func TestWorker_aCallThatIsAloneInFailingDies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "async: {topic: calls}", map[string]int32{"calls": 1})
	w.answers(func(_ int, rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(500) })
	w.accept("POST", "/link/crm/", "")
	w.work()
	w.settled(1)
	if r := w.records("calls-dlq"); len(r) != 1 || headerOf(r[0], "fiso-error-code") != "SINK_DELIVERY_FAILED" || len(w.seen()) != 4 {
		t.Error(r, len(w.seen()))
	}
}

// A call that always fails becomes a dead letter, even if the successes of other calls
// keep the circuit closed.
func TestWorker_tellsACallThatFailsFromAnOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "retry: {maxAttempts: 1, initialInterval: 1ms, maxInterval: 2ms}\ncircuitBreaker: {failureThreshold: 2, resetTimeout: 1ms}\nasync: {topic: calls, maxRetries: 2}", map[string]int32{"calls": 1})
	w.answers(func(_ int, rw http.ResponseWriter, r *http.Request) {
		if r.RequestURI == "/bad" {
			rw.WriteHeader(504)
		}
	})
	w.accept("POST", "/link/crm/bad", "")
	w.work()
	n := int64(1)
	eventually(t, "the dead letter of the call", func() bool {
		w.accept("POST", "/link/crm/good", "")
		n++
		return w.count(w.buried, "SINK_DELIVERY_FAILED") == 1
	})
	w.settled(n)
	if len(w.buried) != 1 {
		t.Error(w.buried)
	}
}

func TestWorker_refusesWhatTheRulesNoLongerAllow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "async: {topic: calls}", map[string]int32{"calls": 1})
	w.accept("POST", "/link/crm/a", "")
	w.to.Spec.AllowedMethods = []string{"GET"}
	w.work()
	w.settled(1)
	if r := w.records("calls-dlq"); len(r) != 1 || headerOf(r[0], "fiso-error-code") != "SINK_REJECTED" || !strings.Contains(headerOf(r[0], "fiso-error-message"), "METHOD_NOT_ALLOWED") || len(w.seen()) > 0 {
		t.Error(r)
	}
}

func TestWorker_buriesWhatIsNoCall(t *testing.T) {
	t.Parallel()
	event := func(change ...string) []kgo.RecordHeader {
		hs := []string{"ce_specversion", "1.0", "ce_id", "1", "ce_source", "a", "ce_type", "fiso.link.request", "ce_fisotarget", "crm", "ce_fisomethod", "GET", "ce_fisopath", "/"}
		var out []kgo.RecordHeader
		for i := 0; i < len(hs); i += 2 {
			value := hs[i+1]
			for j := 0; j < len(change); j += 2 {
				if change[j] == hs[i] {
					value = change[j+1]
				}
			}
			out = append(out, kgo.RecordHeader{Key: hs[i], Value: []byte(value)})
		}
		if len(change) > 0 && strings.HasPrefix(change[0], "http-") {
			out = append(out, kgo.RecordHeader{Key: change[0], Value: []byte(change[1])})
		}
		return out
	}
	bad := map[string][]kgo.RecordHeader{
		"not a CloudEvent":                     nil,
		"not a valid CloudEvent":               event("ce_specversion", "0.3"),
		"is not a valid":                       event("ce_id", ""),
		"has type":                             event("ce_type", "other"),
		"is for target":                        event("ce_fisotarget", "erp"),
		"is not a method":                      event("ce_fisomethod", "G T"),
		"is not a path":                        event("ce_fisopath", "/ HTTP/1.1\r\nX: y"),
		"not a valid HTTP field":               event("http-X", "a\r\nb"),
		`"http-X" is not a valid HTTP field`:   event("http-X", "a\x01b"),
		"is not a p":                           event("ce_fisopath", "/?a#b"),
		`"http-X Y" is not a valid HTTP field`: event("http-X Y", "a"),
	}
	w := newWorld(t, "async: {topic: calls, deadLetterTopic: dead}", map[string]int32{"calls": 1, "dead": 1})
	var records []*kgo.Record
	for want, hs := range bad {
		records = append(records, &kgo.Record{Topic: "calls", Value: []byte(want), Headers: hs})
	}
	records = append(records, &kgo.Record{Topic: "calls", Key: []byte("k"), Value: []byte("is not a path"), Headers: append(event("ce_fisopath", "no"),
		kgo.RecordHeader{Key: "fiso-error-code", Value: []byte("EARLIER")}, kgo.RecordHeader{Key: "fiso-replay-count", Value: []byte("2")})})
	if err := w.kafka.Produce(t.Context(), records...); err != nil {
		t.Fatal(err)
	}
	w.work()
	w.settled(int64(len(records)))
	for _, r := range w.records("dead") {
		if headerOf(r, "fiso-error-code") != "DECODE_FAILED" || !strings.Contains(headerOf(r, "fiso-error-message"), string(r.Value)) {
			t.Errorf("%s: %v", r.Value, r.Headers)
		}
		if n := strings.Count(fmt.Sprint(r.Headers), "fiso-error-code"); n != 1 {
			t.Errorf("%d codes", n)
		}
		if r.Key != nil && headerOf(r, "fiso-replay-count") != "2" {
			t.Errorf("%v", r.Headers)
		}
	}
	if len(w.seen()) > 0 {
		t.Error("something was called")
	}
}

func TestWorker_keepsTheOrderOfAKeyAndHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "retry: {maxAttempts: 1, initialInterval: 1ms, maxInterval: 2ms}\ncircuitBreaker: {enabled: false}\nasync: {topic: calls, key: 'headers[\"k\"]', maxInFlight: 8}", map[string]int32{"calls": 1})
	release := make(chan struct{})
	var mu sync.Mutex
	under := map[string]int{}
	w.answers(func(n int, rw http.ResponseWriter, r *http.Request) {
		k := r.Header.Get("K")
		mu.Lock()
		under[k]++
		if under[k] > 1 {
			t.Errorf("two calls of %s at once", k)
		}
		mu.Unlock()
		defer func() { mu.Lock(); defer mu.Unlock(); under[k]-- }()
		if k == "stuck" {
			<-release
		} else if n%3 == 0 {
			rw.WriteHeader(500)
		}
	})
	defer func() {
		select {
		case <-release:
		default:
			close(release)
		}
	}()
	for i := range 10 {
		for _, k := range []string{"stuck", "a", "b"} {
			w.accept("POST", "/link/crm/"+strconv.Itoa(i), "", "K", k)
		}
	}
	w.work()
	done := func(k string) (uris []string) {
		for _, c := range w.seen() {
			if c.header.Get("K") == k && (len(uris) == 0 || uris[len(uris)-1] != c.uri) {
				uris = append(uris, c.uri)
			}
		}
		return uris
	}
	eventually(t, "all but the stuck", func() bool { return len(done("a")) == 10 && len(done("b")) == 10 })
	if n := len(done("stuck")); n != 1 {
		t.Errorf("%d calls of the stuck key", n)
	}
	close(release)
	w.settled(30)
	const want = "[/0 /1 /2 /3 /4 /5 /6 /7 /8 /9]"
	for _, k := range []string{"stuck", "a", "b"} {
		if got := fmt.Sprint(done(k)); got != want && w.count(w.buried, "SINK_DELIVERY_FAILED") == 0 {
			t.Errorf("%s: %s", k, got)
		}
	}
}

// A dead letter that cannot be written is held, reported, and written when that works
// again; sync calls are not affected.
func TestWorker_holdsACallWhoseDeadLetterCannotBeWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "async: {topic: calls, replyTopic: answers}", map[string]int32{"calls": 1, "calls-dlq": 1, "answers": 1})
	w.answers(func(_ int, rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(422) })
	var denied atomic.Value
	denied.Store("calls-dlq")
	w.deny(func(topic string) bool { return topic == denied.Load() })
	w.accept("POST", "/link/crm/", "")
	w.work()
	eventually(t, "words about the dead letter", func() bool {
		s := w.worker.Status()
		return s.Held == 1 && strings.Contains(s.Problem, "1 call(s) held because their dead letter cannot be written: write to topic calls-dlq")
	})
	if a := w.send("GET", "/link/crm/", ""); a.status != 422 {
		t.Errorf("a sync call is answered %d", a.status)
	}
	denied.Store("answers")
	eventually(t, "words about the reply", func() bool {
		return strings.Contains(w.worker.Status().Problem, "because their reply cannot be written")
	})
	denied.Store("")
	w.settled(1)
	if n := len(w.records("calls-dlq")); n != 1 {
		t.Errorf("%d dead letters", n)
	}
	if n := len(w.records("answers")); n != 1 {
		t.Errorf("%d replies", n)
	}
	if s := w.worker.Status(); s.Held != 0 || strings.Contains(s.Problem, "held") || w.count(w.unwritten, DeadLetter) == 0 || w.count(w.unwritten, Reply) == 0 {
		t.Error(s)
	}
}

func TestWorker_repliesWithoutABodyThatIsTooLarge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "async: {topic: calls, replyTopic: answers, maxBodyBytes: 100}", map[string]int32{"calls": 1})
	if err := w.kafka.CreateTopic(t.Context(), "answers", 1, map[string]string{"max.message.bytes": "1000"}); err != nil {
		t.Fatal(err)
	}
	w.answers(func(_ int, rw http.ResponseWriter, _ *http.Request) {
		_, _ = rw.Write([]byte(strings.Repeat("a", 101)))
	})
	w.accept("POST", "/link/crm/", "")
	w.work()
	w.settled(1)
	if r := w.records("answers")[0]; len(r.Value) != 0 || headerOf(r, "ce_fisotruncated") != "true" || headerOf(r, "ce_fisostatus") != "200" {
		t.Errorf("%s %v", r.Value, r.Headers)
	}
}

func TestWorker_repliesWithoutABodyThatItsTopicDoesNotTake(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "async: {topic: calls, replyTopic: answers}", map[string]int32{"calls": 1})
	if err := w.kafka.CreateTopic(t.Context(), "answers", 1, map[string]string{"max.message.bytes": "1000"}); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, 8<<10) // random, so that compression does not shrink it
	if _, err := rand.Read(body); err != nil {
		t.Fatal(err)
	}
	w.answers(func(_ int, rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(body) })
	w.accept("POST", "/link/crm/", "")
	w.work()
	w.settled(1)
	if r := w.records("answers"); len(r) != 1 || len(r[0].Value) != 0 || headerOf(r[0], "ce_fisotruncated") != "true" {
		t.Errorf("%v", r)
	}
}

// With a reply topic, an incomplete answer is a failure; without one, the head shows
// that the call was made.
func TestWorker_anAnswerThatBreaksOff(t *testing.T) {
	t.Parallel()
	for settings, want := range map[string]int{"": 1, ", replyTopic: answers": 2} {
		t.Run("async"+settings, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "async: {topic: calls"+settings+"}", map[string]int32{"calls": 1, "answers": 1})
			w.answers(func(n int, rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Length", "4")
				_, _ = rw.Write([]byte("ha"))
				if n == 1 {
					_ = http.NewResponseController(rw).Flush()
					panic(http.ErrAbortHandler)
				}
				_, _ = rw.Write([]byte("lf"))
			})
			w.accept("POST", "/link/crm/", "")
			w.work()
			w.settled(1)
			if n := len(w.seen()); n != want {
				t.Errorf("%d calls", n)
			}
		})
	}
}

// A stream of events may never end: its head shows that the call was made, and it is
// not made again.
func TestWorker_makesACallThatIsAnsweredByAStreamOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "timeout: 500ms\nasync: {topic: calls, replyTopic: answers}", map[string]int32{"calls": 1})
	w.answers(func(_ int, rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		_, _ = rw.Write([]byte("data: a\n\n"))
		_ = http.NewResponseController(rw).Flush()
		<-r.Context().Done()
	})
	w.accept("POST", "/link/crm/", "")
	w.work()
	w.settled(1)
	r := w.records("answers")
	if len(w.seen()) != 1 || len(w.buried) != 0 || len(r) != 1 || len(r[0].Value) != 0 || headerOf(r[0], "ce_fisotruncated") != "true" || headerOf(r[0], "ce_fisostatus") != "200" {
		t.Error(len(w.seen()), w.buried, r)
	}
}

// A clean stop repeats nothing: calls in flight end, waiting ones stay unsettled.
func TestWorker_stopsCleanly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "circuitBreaker: {enabled: false}\nasync: {topic: calls, maxInFlight: 2, maxRetries: 1000}", map[string]int32{"calls": 1})
	entered, release := make(chan struct{}, 100), make(chan struct{})
	w.answers(func(_ int, rw http.ResponseWriter, r *http.Request) {
		if r.RequestURI == "/waits" {
			rw.WriteHeader(500)
			return
		}
		entered <- struct{}{}
		<-release
	})
	w.accept("POST", "/link/crm/waits", "")
	for range 20 {
		w.accept("POST", "/link/crm/slow", "")
	}
	w.work()
	<-entered
	stopped := make(chan struct{})
	go func() { defer close(stopped); w.stop() }()
	close(release)
	<-stopped
	made := len(w.seen())
	w.answers(nil)
	w.work()
	w.settled(21)
	slow := 0
	for i, c := range w.seen() {
		if c.uri == "/slow" {
			slow++
		}
		if c.uri == "/waits" && i >= made {
			made = -1
		}
	}
	if slow != 20 || made != -1 {
		t.Errorf("%d slow calls, the one that waited was handed back: %v", slow, made == -1)
	}
}

// A call that is held when the worker stops stays unsettled, and is delivered again.
func TestWorker_handsBackWhatIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "async: {topic: calls, replyTopic: answers, deadLetterTopic: dead}", map[string]int32{"calls": 1, "dead": 1})
	w.answers(func(_ int, rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(422) })
	var denied atomic.Bool
	denied.Store(true)
	w.deny(func(topic string) bool { return denied.Load() && topic == "dead" })
	w.accept("POST", "/link/crm/", "")
	if err := w.kafka.Produce(t.Context(), &kgo.Record{Topic: "calls", Value: []byte("no event")}); err != nil {
		t.Fatal(err)
	}
	w.work()
	eventually(t, "both to be held", func() bool { return w.worker.Status().Held == 2 })
	w.stop()
	denied.Store(false)
	w.work()
	w.settled(2)
	if n := len(w.records("dead")); n != 2 || len(w.seen()) != 2 {
		t.Errorf("%d dead letters, %d calls", n, len(w.seen()))
	}
}

// A call that takes longer than the drain timeout is cut off, and made again by the
// next worker.
func TestWorker_cutsWhatTakesLongerThanTheDrain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "async: {topic: calls}", map[string]int32{"calls": 1})
	entered := make(chan struct{})
	w.answers(func(n int, _ http.ResponseWriter, r *http.Request) {
		if n == 1 {
			close(entered)
			<-r.Context().Done()
		}
	})
	w.accept("POST", "/link/crm/", "")
	w.work(func(c *Config) { c.Drain = 1 })
	<-entered
	w.stop()
	w.work()
	w.settled(1)
	if c := w.seen(); len(c) != 2 || c[0].key != c[1].key {
		t.Errorf("%+v", c)
	}
}

func TestWorker_saysThatCallsWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "circuitBreaker: {failureThreshold: 1, resetTimeout: 1m}\nasync: {topic: calls}", map[string]int32{"calls": 1})
	permit, _, _ := w.to.Breaker.Allow()
	permit.Done(resilience.Failure)
	w.accept("POST", "/link/crm/", "")
	w.work()
	eventually(t, "words about the circuit", func() bool { return strings.Contains(w.worker.Status().Problem, "1 call(s) wait: CIRCUIT_OPEN") })
	if steps := w.worker.Check(t.Context()); len(steps) == 0 || steps[len(steps)-1].Err != nil {
		t.Error(steps)
	}
	w.stop()
	if p := w.worker.Status().Problem; strings.Contains(p, "wait") {
		t.Error("it still waits")
	}
}

// A dead letter topic that is deleted while the worker runs is created again.
func TestWorker_makesADeadLetterTopicThatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "async: {topic: calls}", map[string]int32{"calls": 1})
	w.answers(func(_ int, rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(422) })
	w.accept("POST", "/link/crm/", "first")
	w.work()
	w.settled(1)
	if _, err := w.admin().DeleteTopics(t.Context(), "calls-dlq"); err != nil {
		t.Fatal(err)
	}
	w.accept("POST", "/link/crm/", "second")
	w.settled(2)
	if rs := w.records("calls-dlq"); len(rs) != 1 || string(rs[0].Value) != "second" || w.count(w.unwritten, DeadLetter) == 0 {
		t.Error(rs)
	}
}

func TestNewWorker_refusesWhatCannotWork(t *testing.T) {
	w := newWorld(t, "async: {topic: calls}", nil)
	for name, change := range map[string]func(*Config){
		"no brokers": func(c *Config) { c.Brokers.Brokers = nil },
		"a timeout":  func(c *Config) { c.Target.Spec.Async.Timeout = 1 },
	} {
		c := Config{Target: w.to, Brokers: w.brokers}
		change(&c)
		if _, err := NewWorker(c); err == nil {
			t.Errorf("%s: a worker", name)
		}
	}
}

func TestAnswer_takesNoInterimAnswerAndNoOtherProtocol(t *testing.T) {
	a := &responseWriter{}
	if _, err := a.Upgrade(nil); a.Inform(103, nil) != nil || err == nil || a.Begun() {
		t.Error(err, a)
	}
}
