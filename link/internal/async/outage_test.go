package async

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lsm/fiso/common/http1"

	"github.com/lsm/fiso/link/internal/target"
)

// F11: an outage counts against no call. Whatever its form, no call becomes a dead
// letter, and all are delivered when it is over.
// https://github.com/vectordotdev/vector/issues/24543
func TestF11_anOutageFillsNoDeadLetterTopic(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]func(http.ResponseWriter){
		"internal errors": func(rw http.ResponseWriter) { rw.WriteHeader(500) },
		"a gateway":       func(rw http.ResponseWriter) { rw.WriteHeader(502) },
		"overload":        func(rw http.ResponseWriter) { rw.Header().Set("Retry-After", "0"); rw.WriteHeader(503) },
		"broken pipes":    func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "retry: {maxAttempts: 2, initialInterval: 1ms, maxInterval: 2ms}\ncircuitBreaker: {failureThreshold: 3, resetTimeout: 10ms}\nasync: {topic: calls, maxInFlight: 4}", map[string]int32{"calls": 2})
			w.answers(func(n int, rw http.ResponseWriter, _ *http.Request) {
				if n <= 10 {
					outage(rw)
				}
			})
			for i := range 20 {
				w.accept("POST", "/link/crm/"+strconv.Itoa(i), "")
			}
			w.work()
			w.settled(20)
			if n := len(w.buried); n != 0 {
				t.Errorf("dead letters: %v", w.buried)
			}
			done := map[string]bool{}
			for _, c := range w.seen()[10:] {
				done[c.uri] = true
			}
			if len(done) != 20 {
				t.Errorf("%d calls arrived after the outage", len(done))
			}
		})
	}
}

// F11: an answer that shows that the target is away counts against no call, whatever
// the circuit breaker is set to. https://github.com/vectordotdev/vector/issues/24543
func TestF11_aTargetThatIsAwayCountsAgainstNoCall(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]http.HandlerFunc{
		"a gateway":         func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(504) },
		"overload":          func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(429) },
		"broken pipes":      func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"no answer in time": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "timeout: 200ms\nretry: {maxAttempts: 1, initialInterval: 1ms, maxInterval: 2ms}\ncircuitBreaker: {enabled: false}\nasync: {topic: calls, maxInFlight: 4, maxRetries: 0}", map[string]int32{"calls": 1})
			var mu sync.Mutex
			under, most := 0, 0 // calls at the target, after the first one that failed
			w.answers(func(n int, rw http.ResponseWriter, r *http.Request) {
				if n > 12 {
					return
				}
				if n > 6 {
					mu.Lock()
					under++
					most = max(most, under)
					mu.Unlock()
					defer func() { mu.Lock(); defer mu.Unlock(); under-- }()
				}
				outage(rw, r)
			})
			for range 20 {
				w.accept("POST", "/link/crm/", "")
			}
			w.work()
			w.settled(20)
			if n := w.count(w.buried, "SINK_DELIVERY_FAILED"); n != 0 || len(w.seen()) != 32 || most != 1 {
				t.Errorf("%d dead letters, %d calls, %d at once while the target was away", n, len(w.seen()), most)
			}
		})
	}
}

// F11: a refused connection counts against no call; the call is made when the target is
// back. https://github.com/vectordotdev/vector/issues/24543
func TestF11_aTargetThatIsRestartedCountsAgainstNoCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "retry: {maxAttempts: 1, initialInterval: 1ms, maxInterval: 2ms}\ncircuitBreaker: {enabled: false}\nasync: {topic: calls, maxRetries: 0}", map[string]int32{"calls": 1})
	w.up.Close()
	for range 20 {
		w.accept("POST", "/link/crm/", "")
	}
	w.work()
	eventually(t, "words about the target", func() bool { return strings.HasPrefix(w.worker.Status().Problem, "20 call(s) wait: CONNECT_FAILED") })
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", w.up.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	again := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(w.serve), ReadHeaderTimeout: time.Minute}}
	again.Start()
	defer again.Close()
	w.settled(20)
	if len(w.buried) != 0 || len(w.seen()) != 20 || w.worker.Status().Problem != "" {
		t.Errorf("dead letters %v, %d calls, %q", w.buried, len(w.seen()), w.worker.Status().Problem)
	}
}

// F11: when a target refuses every call, the target is more likely wrong than all the
// calls: after enough dead letters in a row, calls wait, and are delivered when the
// target is repaired. https://github.com/vectordotdev/vector/issues/24543
func TestF11_aTargetThatRefusesEverythingFillsNoDeadLetterTopic(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{"for good": 403, "each time": 500} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "circuitBreaker: {enabled: false}\nasync: {topic: calls, maxInFlight: 4, maxRetries: 1, stopTheLine: {consecutive: 3}}", map[string]int32{"calls": 1})
			w.answers(func(_ int, rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(status) })
			for range 10 {
				w.accept("POST", "/link/crm/", "")
			}
			w.work()
			eventually(t, "words about the rest", func() bool {
				return strings.Contains(w.worker.Status().Problem, fmt.Sprintf("7 call(s) wait: 3 calls in a row became dead letters, so one at a time is tried until one is delivered; the last answer: the target answered %d", status))
			})
			w.answers(nil)
			w.settled(10)
			if n := len(w.records("calls-dlq")); n != 3 {
				t.Errorf("%d dead letters", n)
			}
		})
	}
}

// Calls that fiso-link's own rules refuse do not count as failures of the target.
func TestWorker_stopsNoLineForItsOwnRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "async: {topic: calls, stopTheLine: {consecutive: 1}}", map[string]int32{"calls": 1})
	for range 3 {
		w.accept("POST", "/link/crm/a", "")
	}
	w.to.Spec.AllowedMethods = []string{"GET"}
	w.work()
	w.settled(3)
	if n := w.count(w.buried, "SINK_REJECTED"); n != 3 {
		t.Error(n)
	}
}

// F11: a credential that the target refuses counts against no call.
// https://github.com/vectordotdev/vector/issues/24543
func TestF11_anExpiredTokenFillsNoDeadLetterTopic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "async: {topic: calls}", map[string]int32{"calls": 1})
	w.to.Credential = &fixed{}
	w.answers(func(n int, rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "ours" {
			t.Errorf("%v", r.Header)
		}
		if n <= 10 {
			rw.WriteHeader(401)
		}
	})
	w.accept("POST", "/link/crm/", "", "Authorization", "theirs")
	if strings.Contains(fmt.Sprint(w.records("calls")[0].Headers), "theirs") {
		t.Error("the caller's Authorization is in the topic")
	}
	w.work()
	w.settled(1)
	if len(w.seen()) != 11 || len(w.buried) != 0 {
		t.Error(len(w.seen()), w.buried)
	}
}

// fixed is a credential that cannot be renewed.
type fixed struct{}

func (*fixed) Apply(_ context.Context, out *http1.Outgoing) error {
	out.Header.Set("Authorization", "ours")
	return nil
}
func (*fixed) Renew(context.Context, *http1.Outgoing) bool { return false }
func (*fixed) Owns(field string) bool                      { return http1.Same(field, "Authorization") }

var _ target.Credential = (*fixed)(nil)
