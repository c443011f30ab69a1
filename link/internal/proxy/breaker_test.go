package proxy

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/resilience"
	"github.com/lsm/fiso/link/internal/target"
)

// byPath answers 503 to paths that begin with /bad, breaks the connection for those
// that begin with /broken, and answers 200 to others.
func byPath(attempts *int) trip {
	return func(_ context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
		*attempts++
		switch {
		case strings.HasPrefix(out.Path, "/bad"):
			return answer(503, ""), nil
		case strings.HasPrefix(out.Path, "/broken"):
			return nil, &http1.Error{Reason: http1.ReasonReset, Sent: true, Err: errBroken}
		}
		return answer(200, ""), nil
	}
}

// UL18: with the defaults, calls are counted, not attempts, and failures of one path do
// not affect other paths.
func TestBreaker_countsCallsAndNotAttempts(t *testing.T) {
	repeat := func(n int, path string) (all []string) {
		for range n {
			all = append(all, path)
		}
		return all
	}
	for name, test := range map[string]struct {
		paths    []string
		attempts int
		open     bool
	}{
		"two bad calls":                            {repeat(2, "/bad"), 6, false},
		"four bad calls":                           {repeat(4, "/broken"), 12, false},
		"five bad calls":                           {repeat(5, "/bad"), 15, true},
		"five calls that break":                    {repeat(5, "/broken"), 15, true},
		"a good one between":                       {[]string{"/broken", "/broken", "/broken", "/broken", "/ok", "/broken", "/broken", "/broken", "/broken"}, 25, false},
		"one path, and another one is well":        {append([]string{"/ok"}, repeat(20, "/bad/x")...), 61, false},
		"things of one path":                       {[]string{"/ok", "/bad/1/x", "/bad/2/x", "/bad/3/x", "/bad/4/x", "/bad/5/x"}, 16, false},
		"several paths, and another one was well":  {[]string{"/ok", "/bad/a", "/bad/b", "/bad/a", "/bad/b", "/bad/a"}, 16, true},
		"connections, and another path was well":   {append([]string{"/ok"}, repeat(5, "/broken")...), 16, true},
		"an answer and connections, one path fine": {[]string{"/ok", "/bad", "/broken", "/bad", "/bad", "/bad"}, 16, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				attempts := 0
				to := newTargetOf(t, "retry: {jitter: 0}", target.Parts{Transport: byPath(&attempts)})
				for i, path := range test.paths {
					if to.Breaker.State() != resilience.Closed {
						t.Fatalf("open before call %d", i+1)
					}
					makeCall(t.Context(), to, request("GET", "/link/crm"+path, ""))
				}
				if open := to.Breaker.State() == resilience.Open; open != test.open || attempts != test.attempts {
					t.Errorf("open: %v after %d attempts", open, attempts)
				}
			})
		})
	}
}

// UL18: a call is a success if one of its attempts was, and an attempt that the
// application cut short does not change the outcome of the previous one.
func TestBreaker_hearsOneOutcomeOfACall(t *testing.T) {
	failed := func(reason http1.Reason) func() (*http1.Answer, error) {
		return func() (*http1.Answer, error) {
			return nil, &http1.Error{Reason: reason, Sent: true, Err: errBroken}
		}
	}
	status := func(s int) func() (*http1.Answer, error) {
		return func() (*http1.Answer, error) { return answer(s, ""), nil }
	}
	for name, test := range map[string]struct {
		attempts []func() (*http1.Answer, error)
		open     bool
	}{
		"it succeeds in the end":          {[]func() (*http1.Answer, error){failed(http1.ReasonReset), status(503), status(200)}, false},
		"it fails in the end":             {[]func() (*http1.Answer, error){failed(http1.ReasonReset), status(503), status(502)}, true},
		"it was answered in the meantime": {[]func() (*http1.Answer, error){status(429), failed(http1.ReasonReset), status(502)}, false},
		"its application leaves":          {[]func() (*http1.Answer, error){status(503), failed(http1.ReasonGone)}, true},
		"its application left at once":    {[]func() (*http1.Answer, error){failed(http1.ReasonGone)}, false},
		"a panic after a failure":         {[]func() (*http1.Answer, error){status(503), func() (*http1.Answer, error) { panic("transport") }}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				to := newTargetOf(t, "circuitBreaker: {failureThreshold: 1}", target.Parts{Transport: trip(func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
					n++
					return test.attempts[n-1]()
				})})
				makeCall(t.Context(), to, request("GET", "/link/crm/", ""))
				if open := to.Breaker.State() == resilience.Open; open != test.open || n != len(test.attempts) {
					t.Errorf("open: %v after %d attempts", open, n)
				}
			})
		})
	}
}

// UL18: a trial is one attempt, and ends the retries of its call.
func TestBreaker_aTrialIsOneAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		to := newTargetOf(t, "circuitBreaker: {failureThreshold: 1, resetTimeout: 30s}", target.Parts{Transport: byPath(&attempts)})
		permit, _, _ := to.Breaker.Allow()
		permit.Done(resilience.Failure)
		time.Sleep(30 * time.Second)
		w, record := makeCall(t.Context(), to, request("GET", "/link/crm/bad", ""))
		if attempts != 1 || w.status != 503 || record.Code != "" || to.Breaker.State() != resilience.Open {
			t.Error(attempts, w.status, record, to.Breaker.State())
		}
	})
}

func TestPathNumber_isThatOfThePathWithoutNamesOfThings(t *testing.T) {
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{"/a/b", "/a/b", true},
		{"/a/b", "/a/c", false},
		{"/ab", "/a/b", false},
		{"/orders/17/lines", "/orders/f81d4fae-7dec/lines", true},
		{"/orders/17/lines", "/orders/17/notes", false},
		{"/orders/17", "/orders", false},
	} {
		t.Run(fmt.Sprintf("%s and %s", test.a, test.b), func(t *testing.T) {
			if same := pathNumber(test.a) == pathNumber(test.b); same != test.same {
				t.Error(same)
			}
		})
	}
	if pathNumber("") == 0 {
		t.Error("0 stands for the target")
	}
}

// UL18: failures of one path stop a worker even if others succeed; otherwise its topic
// would become dead letters.
func TestBreaker_opensForAWorkerWhateverThePath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		to := newTargetOf(t, "circuitBreaker: {failureThreshold: 2}", target.Parts{Transport: byPath(&attempts)})
		makeCall(t.Context(), to, request("GET", "/link/crm/ok", ""))
		p := Proxy{}
		for range 2 {
			if err := p.Deliver(t.Context(), &recorder{}, to, request("GET", "/bad", "")); err != nil {
				t.Error(err)
			}
		}
		if to.Breaker.State() != resilience.Open {
			t.Error("the circuit is", to.Breaker.State())
		}
	})
}
