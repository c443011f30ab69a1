package target

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/resilience"
	"github.com/lsm/fiso/link/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func mustNew(t *testing.T, s *spec.Target, p Parts) *Target {
	t.Helper()
	to, err := New(s, p)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func TestTarget_isWhatItsConfigurationSays(t *testing.T) {
	var changes []resilience.State
	to := mustNew(t, &spec.Target{
		Host: "crm.example:8443", EncodedSlashes: "allow", AllowedPaths: []string{"/a/**"}, Timeout: 7 * time.Second, MaxConcurrent: 1,
		RateLimit:      &spec.RateLimit{RequestsPerSecond: 1, Burst: 1},
		CircuitBreaker: spec.CircuitBreaker{Enabled: true, FailureThreshold: 1, SuccessThreshold: 1, ResetTimeout: time.Minute},
		Retry:          spec.Retry{On: []string{"connect", "503"}, Backoff: "constant", InitialInterval: time.Second, MaxInterval: time.Second, Budget: 1},
	}, Parts{BreakerChanged: func(_, to resilience.State) { changes = append(changes, to) }})
	if to.Host != "crm.example:8443" || !to.AllowsEncodedSlashes || to.TotalTimeout() != 7*time.Second || to.Backoff.Delay(1) != time.Second {
		t.Errorf("%+v", to)
	}
	if to.Rules.Allow("/a/b") != nil || to.Rules.Allow("/b") == nil {
		t.Error("allowedPaths are not its rules")
	}
	if _, ok := to.Rate.Allow(); !ok {
		t.Error("the first call is above its rate")
	}
	if _, ok := to.Rate.Allow(); ok {
		t.Error("the second is not")
	}
	if !to.Concurrency.TryAcquire() || to.Concurrency.TryAcquire() {
		t.Error("maxConcurrent is not 1")
	}
	if permit, _, ok := to.Breaker.Allow(); ok {
		permit.Done(resilience.Failure)
	}
	if !slices.Equal(changes, []resilience.State{resilience.Open}) {
		t.Error(changes)
	}
	if !to.RetriesOn(http1.ReasonConnect) || to.RetriesOn(call.ReasonUnserved) != to.RetriesOn(http1.ReasonReset) || to.RetriesOn(http1.ReasonUnfit) || !to.RetriesStatus(503) || to.RetriesStatus(500) || to.RetriesStatus(1000) {
		t.Error("retry.on is not what it retries on")
	}
	if to.Budget.TryRetry() == nil {
		t.Error("there is no budget")
	}
}

func TestTarget_allowsEverythingThatItsConfigurationDoesNotBound(t *testing.T) {
	to := mustNew(t, &spec.Target{}, Parts{})
	if to.Rules.Allow("/anything") != nil || to.AllowsEncodedSlashes || to.Breaker.State() != resilience.Closed || len(to.SetFields()) > 0 || to.Removes("Cookie") {
		t.Errorf("%+v", to)
	}
	for range 100 {
		if _, ok := to.Rate.Allow(); !ok {
			t.Fatal("there is a rate")
		}
	}
	if permit, _, ok := to.Breaker.Allow(); !ok {
		t.Error("there is a breaker")
	} else {
		permit.Done(resilience.Failure)
	}
	to.Close() // without parts
}

func TestTarget_ofAPatternThatIsNoneIsNot(t *testing.T) {
	if _, err := New(&spec.Target{AllowedPaths: []string{"a/[["}}, Parts{}); err == nil {
		t.Error("it was made")
	}
}

func TestTarget_methods(t *testing.T) {
	every, some := mustNew(t, &spec.Target{}, Parts{}), mustNew(t, &spec.Target{AllowedMethods: []string{"GET", "TRACE"}}, Parts{})
	for method, want := range map[string]struct{ every, some bool }{
		"GET": {true, true}, "POST": {true, false}, "PURGE": {true, false}, "get": {true, false},
		"CONNECT": {}, "TRACE": {}, "connect": {}, "Trace": {},
	} {
		if every.AllowsMethod(method) != want.every || some.AllowsMethod(method) != want.some {
			t.Errorf("%s: %v, with allowedMethods %v", method, every.AllowsMethod(method), some.AllowsMethod(method))
		}
	}
}

// owner is a credential that owns one field.
type owner string

func (owner) Apply(context.Context, *http1.Outgoing) error { return nil }
func (owner) Renew(context.Context, *http1.Outgoing) bool  { return false }
func (o owner) Owns(field string) bool                     { return http1.Same(field, string(o)) }

func TestTarget_headersOfTheCallerThatDoNotGoOn(t *testing.T) {
	to := mustNew(t, &spec.Target{Headers: spec.Headers{Set: map[string]string{"X-Team": "orders", "A": "1", "M": "2"}, Remove: []string{"Cookie"}}}, Parts{Credential: owner("Authorization")})
	for name, want := range map[string]bool{
		"cookie": true, "COOKIE": true, "x-team": true, "authorization": true, "AUTHORIZATION": true, "X-Other": false, "Cookie2": false,
	} {
		if to.Removes(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
	if got := to.SetFields(); !slices.Equal(got, http1.Header{{Name: "A", Value: "1"}, {Name: "M", Value: "2"}, {Name: "X-Team", Value: "orders"}}) {
		t.Error(got)
	}
}

type closer struct{ closed int }

func (c *closer) RoundTrip(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
	return nil, nil
}

func (c *closer) Pick(context.Context, []string) (string, func(resilience.Outcome), error) {
	return "", nil, nil
}
func (c *closer) Close() { c.closed++ }

func TestTarget_closesWhatItWasMadeOf(t *testing.T) {
	var transport, endpoints closer
	mustNew(t, &spec.Target{}, Parts{Transport: &transport, Endpoints: &endpoints}).Close()
	if transport.closed != 1 || endpoints.closed != 1 {
		t.Error(transport.closed, endpoints.closed)
	}
}

func TestUnproven_keepsItsCause(t *testing.T) {
	cause := errors.New("the token has expired")
	err := error(&CredentialError{Code: call.CredentialExpired, Err: cause})
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), "expired") {
		t.Error(err)
	}
}
