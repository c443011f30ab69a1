package proxy

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/resilience"
	"github.com/lsm/fiso/link/internal/target"
)

// L12: https://github.com/sony/gobreaker/issues/53. UL34: a call that only met closing
// connections made 65 attempts, and none counted.
func TestBreaker_countsWhatTheTargetDid(t *testing.T) {
	status := func(s int) trip { return always(s, "") }
	for name, test := range map[string]struct {
		up   trip
		open bool
	}{
		"connect":              {failing(http1.ReasonConnect, errBroken), true},
		"timeout":              {failing(http1.ReasonTimeout, errBroken), true},
		"reset":                {failing(http1.ReasonReset, errBroken), true},
		"going away for ever":  {failingFirst(1000, call.ReasonUnserved), true},
		"going away":           {failingFirst(maxUnserved, call.ReasonUnserved), false},
		"garbage":              {failing(http1.ReasonGarbage, errBroken), true},
		"500":                  {status(500), true},
		"503":                  {status(503), true},
		"200":                  {status(200), false},
		"404":                  {status(404), false},
		"429":                  {status(429), false},
		"the caller's body":    {failing(http1.ReasonBody, errBroken), false},
		"the caller's leaving": {failing(http1.ReasonGone, errBroken), false},
	} {
		t.Run(name, func(t *testing.T) {
			to := newTargetOf(t, "retry: {maxAttempts: 1}\ncircuitBreaker: {failureThreshold: 1}", target.Parts{Transport: test.up})
			makeCall(t.Context(), to, request("GET", "/link/crm/", ""))
			if open := to.Breaker.State() == resilience.Open; open != test.open {
				t.Errorf("open: %v", open)
			}
		})
	}
}

// failingFirst fails n times, and then answers.
func failingFirst(times int, why http1.Reason) trip {
	made := 0
	return func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
		if made++; made <= times {
			return nil, &http1.Error{Reason: why, Err: errBroken}
		}
		return answer(200, ""), nil
	}
}

// UL34: a trial that only met closing connections did not count, so that the circuit
// stayed half-open.
func TestBreaker_aTrialOfATargetThatTakesNothingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := newTargetOf(t, "retry: {maxAttempts: 1}\ncircuitBreaker: {failureThreshold: 1, resetTimeout: 1s}", target.Parts{Transport: failingFirst(1000, call.ReasonUnserved)})
		makeCall(t.Context(), to, request("GET", "/link/crm/", ""))
		time.Sleep(time.Second)
		if s := to.Breaker.State(); s != resilience.HalfOpen {
			t.Fatalf("%v before the trial", s)
		}
		makeCall(t.Context(), to, request("GET", "/link/crm/", ""))
		if s := to.Breaker.State(); s != resilience.Open {
			t.Errorf("%v after it", s)
		}
	})
}

// L12: https://github.com/getnora-io/nora/issues/607. A trial returns its permit
// however it ends: the next one is allowed and closes the circuit.
func TestBreaker_everyTrialGivesItsPlaceBack(t *testing.T) {
	var renewing *credential
	for name, up := range map[string]trip{
		"4xx":               always(404, ""),
		"the caller left":   failing(http1.ReasonGone, errBroken),
		"the caller's body": failing(http1.ReasonBody, errBroken),
		"a panic": func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
			panic("transport")
		},
		"401, renewed":        always(401, ""),
		"a credential fails":  nil,
		"a credential panics": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				current := up
				fail := name
				renewing = &credential{renewed: true, apply: func(context.Context) error {
					switch fail {
					case "a credential fails":
						return errBroken
					case "a credential panics":
						panic("credential")
					}
					return nil
				}}
				p := &picks{}
				to := newTargetOf(t, "retry: {maxAttempts: 1}\ncircuitBreaker: {failureThreshold: 1, successThreshold: 1}", target.Parts{
					Credential: renewing, Endpoints: p,
					Transport: trip(func(ctx context.Context, e string, out *http1.Outgoing, interim func(int, http1.Header)) (*http1.Answer, error) {
						return current(ctx, e, out, interim)
					})})
				permit, _, _ := to.Breaker.Allow()
				permit.Done(resilience.Failure)
				time.Sleep(time.Minute) // until the next trial is allowed
				r := request("POST", "/link/crm/", "x")
				r.Length = -1 // a body that is open during the panic
				makeCall(t.Context(), to, r)
				current, fail = always(200, ""), ""
				if _, record := makeCall(t.Context(), to, request("GET", "/link/crm/", "")); record.Status != 200 || to.Breaker.State() != resilience.Closed {
					t.Errorf("%+v, the breaker is %v", record, to.Breaker.State())
				}
				if p.out != 0 || to.Concurrency.InFlight() != 0 {
					t.Errorf("%d endpoints and %d places were kept", p.out, to.Concurrency.InFlight())
				}
			})
		})
	}
}

func TestPermits_areGivenBackWhenARenewalPanics(t *testing.T) {
	p, closed := &picks{}, 0
	cred := &credential{renew: func() { panic("renewal") }}
	to := newTargetOf(t, "", target.Parts{Credential: cred, Endpoints: p, Transport: trip(func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
		a := answer(401, "")
		a.Body = &closing{Reader: a.Body, closed: &closed}
		return a, nil
	})})
	_, record := makeCall(t.Context(), to, request("GET", "/link/crm/", ""))
	if record.Code != call.Internal || p.out != 0 || closed != 1 || to.Concurrency.InFlight() != 0 {
		t.Error(record, p.out, closed, to.Concurrency.InFlight())
	}
}

// A reload closes a target when its calls have released it, so each call must release
// it exactly once.
func TestTarget_isReleasedExactlyOnce(t *testing.T) {
	for name, test := range problems() {
		t.Run(name, func(t *testing.T) {
			found, released := 0, 0
			change := test.change
			test.change = func(p *Proxy, to *target.Target, r *http1.Request) {
				if change != nil {
					change(p, to, r)
				}
				p.Target = func(name string) (*target.Target, func()) {
					if name != "crm" {
						return nil, nil
					}
					found++
					return to, func() { released++ }
				}
			}
			test.run(t)
			if released != found || found > 1 {
				t.Errorf("found %d times, released %d times", found, released)
			}
		})
	}
}

func TestConcurrency_isThatOfCallsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := newTargetOf(t, "maxConcurrent: 2", target.Parts{Transport: trip(func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
			time.Sleep(time.Second)
			return answer(200, ""), nil
		})})
		var mu sync.Mutex
		got := map[int]int{}
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				_, record := makeCall(t.Context(), to, request("GET", "/link/crm/", ""))
				mu.Lock()
				defer mu.Unlock()
				got[record.Status]++
			})
		}
		all.Wait()
		if got[200] != 2 || got[503] != 3 || to.Concurrency.InFlight() != 0 {
			t.Error(got, to.Concurrency.InFlight())
		}
	})
}

// UL2: a credential is renewed even if its call cannot be made again.
func TestRenew_happensOnceACallAndIsNoAttempt(t *testing.T) {
	for name, test := range map[string]struct {
		renewed   bool
		answers   []int
		body      string
		status    int
		requests  int
		attempts  int
		renewals  int
		settings  string
		noSecrets bool
	}{
		"another credential is good":      {renewed: true, answers: []int{401, 200}, status: 200, requests: 2, attempts: 1, renewals: 1},
		"a small body is sent again":      {renewed: true, answers: []int{401, 200}, body: "x", status: 200, requests: 2, attempts: 1, renewals: 1},
		"another is no better":            {renewed: true, answers: []int{401, 401, 200}, status: 401, requests: 2, attempts: 1, renewals: 1},
		"there is no other":               {answers: []int{401, 200}, status: 401, requests: 1, attempts: 1, renewals: 1},
		"the body cannot be sent again":   {renewed: true, answers: []int{401, 200}, body: strings.Repeat("x", 17), status: 401, requests: 1, attempts: 1, renewals: 1},
		"there is none":                   {noSecrets: true, answers: []int{401, 200}, status: 401, requests: 1, attempts: 1},
		"retries are counted beside it":   {renewed: true, answers: []int{503, 401, 503, 503, 200}, status: 503, requests: 4, attempts: 3, renewals: 1},
		"no attempts are left, it renews": {renewed: true, answers: []int{401, 200}, status: 200, requests: 2, attempts: 1, renewals: 1, settings: "maxAttempts: 1, "},
	} {
		t.Run(name, func(t *testing.T) {
			requests := 0
			cred := &credential{field: "Authorization", renewed: test.renewed}
			parts := target.Parts{Credential: cred, Transport: trip(func(_ context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
				if got, err := sentBody(out); got != test.body || err != nil {
					t.Errorf("the body was %q, %v", got, err)
				}
				requests++
				return answer(test.answers[requests-1], ""), nil
			})}
			if test.noSecrets {
				parts.Credential = nil
			}
			to := newTargetOf(t, "retry: {"+test.settings+"initialInterval: 1ms, maxBodyBytes: 16}", parts)
			method := "GET"
			if test.body != "" {
				method = "POST"
			}
			w, record := makeCall(t.Context(), to, request(method, "/link/crm/", test.body))
			if w.status != test.status || requests != test.requests || record.Attempts != test.attempts || cred.renewals != test.renewals {
				t.Errorf("%d after %d requests, %d renewals, %+v", w.status, requests, cred.renewals, record)
			}
			if record.Renewed != (test.renewed && test.renewals > 0) {
				t.Error(record)
			}
		})
	}
}

func TestCredential_thatTheApplicationDoesNotWaitForIsNoFault(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	to := newTargetOf(t, "", target.Parts{Credential: &credential{apply: func(ctx context.Context) error { cancel(); return ctx.Err() }}, Transport: always(200, "")})
	if w, record := makeCall(ctx, to, request("GET", "/link/crm/", "")); w.begun || record.Status != 499 || record.Code != "" || record.Attempts != 0 {
		t.Error(w, record)
	}
}

func TestCall_withABodyThatItsApplicationLeavesIsGone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	to := newTargetOf(t, "", target.Parts{Transport: always(200, "")})
	r := request("POST", "/link/crm/", "12345")
	in, out := io.Pipe()
	r.Body, r.Interrupt = in, func() { _ = out.CloseWithError(errBroken) }
	cancel()
	if w, record := makeCall(ctx, to, r); w.begun || record.Status != 499 {
		t.Error(w, record)
	}
}

func TestCall_withABodyThatTricklesEndsByItsTotalTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := newTargetOf(t, "timeout: 10s", target.Parts{Transport: always(200, "")})
		r := request("POST", "/link/crm/", "12345")
		in, out := io.Pipe()
		r.Body, r.Interrupt = in, func() { _ = out.CloseWithError(errBroken) }
		began := time.Now()
		w, record := makeCall(t.Context(), to, r)
		if w.status != 408 || record.Code != call.RequestTimeout || time.Since(began) != 10*time.Second {
			t.Error(w.status, record, time.Since(began))
		}
	})
}

// While a credential is renewed, the previous attempt may go on reading the body.
func TestRenew_endsWhereMeanwhileMoreWasReadThanIsKept(t *testing.T) {
	var reading sync.WaitGroup
	more := make(chan struct{})
	cred := &credential{renewed: true, renew: func() { close(more); reading.Wait() }}
	to := newTargetOf(t, "retry: {maxBodyBytes: 4}", target.Parts{Credential: cred, Transport: streaming(func(_ context.Context, out *http1.Outgoing) (*http1.Answer, error) {
		reading.Go(func() {
			defer func() { _ = out.Body.Close() }() // the test is over
			<-more
			if b, err := io.ReadAll(out.Body); string(b) != "12345" || err != nil {
				t.Error(string(b), err)
			}
		})
		return answer(401, "who?"), nil
	})})
	w, record := makeCall(t.Context(), to, request("POST", "/link/crm/", "12345"))
	if w.status != 401 || w.body.String() != "who?" || !record.Renewed || record.Attempts != 1 {
		t.Error(w, record)
	}
}

func TestRefuse_isAnErrorThatNamesItsCode(t *testing.T) {
	if got := Refuse(call.BodyTooLarge, "the body is too large", time.Second).Error(); got != "BODY_TOO_LARGE: the body is too large" {
		t.Error(got)
	}
}

// pickFunc is an Endpoints as a function.
type pickFunc func(context.Context) error

func (f pickFunc) Pick(ctx context.Context, _ []string) (string, func(resilience.Outcome), error) {
	return "", nil, f(ctx)
}
func (pickFunc) Close() {}

func TestBreaker_countsALookUpThatFailsButNotOneThatWasLeft(t *testing.T) {
	for name, leaves := range map[string]bool{"fails": false, "left": true} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			to := newTargetOf(t, "circuitBreaker: {failureThreshold: 1}", target.Parts{Endpoints: pickFunc(func(context.Context) error {
				if leaves {
					cancel()
				}
				return errBroken
			})})
			w, record := makeCall(ctx, to, request("GET", "/link/crm/", ""))
			if open := to.Breaker.State() == resilience.Open; open == leaves || w.begun == leaves || (record.Status == 499) != leaves {
				t.Error(open, w.begun, record)
			}
		})
	}
}
