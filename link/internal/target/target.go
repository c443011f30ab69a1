// Package target puts one target together from its configuration: what may be
// called, with which credential, how carefully, and where. A Target does not
// change; a reload makes another, and calls under way finish on the old one.
package target

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lsm/fiso/cel"
	"github.com/lsm/fiso/common/backoff"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/canonical"
	"github.com/lsm/fiso/link/internal/resilience"
	"github.com/lsm/fiso/link/spec"
)

// Credential is what a target's calls prove themselves with. It is safe for
// concurrent use.
type Credential interface {
	// Apply puts the credential onto an attempt, in place of whatever the
	// caller sent there. An error means that there is none to be had that is
	// still good; it says so without showing any, and is of type *Unproven.
	Apply(ctx context.Context, out *call.Outgoing) error
	// Renew is asked after the target answered 401 to out, which carries a
	// credential. It reports whether another attempt would carry another one;
	// where one was renewed meanwhile, nothing else is done.
	Renew(ctx context.Context, out *call.Outgoing) bool
	// Owns reports whether a caller's field of that name never goes on.
	Owns(field string) bool
}

// Unproven is why a call could not be given its credential.
type Unproven struct {
	Code call.Code // CredentialUnavailable or CredentialExpired; BadRequest or BodyTooLarge where it is the call that cannot have one
	Err  error     // holds no secret
}

func (u *Unproven) Error() string { return u.Err.Error() }

// Unwrap is the cause.
func (u *Unproven) Unwrap() error { return u.Err }

// Endpoints are the addresses of a target.
type Endpoints interface {
	// Pick is the address to try next: the least busy of those that are well
	// and were not tried, if there is such a one. done is called once, with
	// what became of the attempt.
	Pick(ctx context.Context, tried []string) (address string, done func(resilience.Outcome), err error)
	Close()
}

// Log is where records are stored for good: Kafka. It is safe for concurrent
// use.
type Log interface {
	// Append returns once all in-sync replicas have the record, or it is known
	// that they do not, or ctx ended. The record's bytes are the log's.
	Append(ctx context.Context, r kafka.Record) (connector.Position, error)
}

// Parts are what a Target is made of beside its configuration.
type Parts struct {
	Credential Credential // nil: none
	Endpoints  Endpoints
	Transport  call.Transport
	Log        Log                             // nil: the target needs none
	Changed    func(from, to resilience.State) // of the breaker; nil: nobody is told
	// Ended ends when calls that still use the target are to end: it was
	// changed or removed, and they had the time to drain. nil: never.
	Ended context.Context
}

// Target is one destination. It is safe for concurrent use.
type Target struct {
	Parts
	Spec        *spec.Target
	Host        string // what the target sees as Host
	Rules       *canonical.Rules
	Slashes     bool
	Rate        *resilience.Rate
	Intake      *resilience.Rate // of calls that are accepted and made later
	key         *cel.Program     // of records; nil: they have no key
	Concurrency *resilience.Concurrency
	Accepting   *resilience.Concurrency // of calls that are accepted and made later
	Breaker     *resilience.Breaker
	Budget      *resilience.Budget
	Timeouts    *resilience.Timeouts // of ordinary calls
	Backoff     backoff.Policy
	set         call.Header
	statuses    [600]bool       // that are retried
	removed     map[string]bool // lower case
}

// New puts a target together. The configuration was validated.
func New(s *spec.Target, p Parts) (*Target, error) {
	t := &Target{
		Parts: p, Spec: s, Host: s.Authority(), Slashes: s.EncodedSlashes == "allow",
		Concurrency: resilience.NewConcurrency(s.MaxConcurrent), Accepting: resilience.NewConcurrency(s.MaxConcurrent), Budget: resilience.NewBudget(s.Retry.Budget),
		Backoff:  backoff.Policy{Kind: s.Retry.Backoff, Initial: s.Retry.InitialInterval, Max: s.Retry.MaxInterval, Jitter: s.Retry.Jitter},
		removed:  map[string]bool{},
		Timeouts: resilience.NewTimeouts(s.Timeout),
	}
	for _, on := range s.Retry.On {
		if status, err := strconv.Atoi(on); err == nil && status >= 0 && status < len(t.statuses) {
			t.statuses[status] = true
		}
	}
	if len(s.AllowedPaths) > 0 {
		var err error
		if t.Rules, err = canonical.NewRules(s.AllowedPaths, s.AllowedCharacters...); err != nil {
			return nil, err
		}
	}
	if r := s.RateLimit; r != nil {
		t.Rate = resilience.NewRate(r.RequestsPerSecond, r.Burst)
		t.Intake = resilience.NewRate(r.RequestsPerSecond, r.Burst)
	}
	var err error
	if t.key, err = spec.CompileKey(s.RecordKey()); err != nil {
		return nil, err
	}
	if b := s.CircuitBreaker; b.Enabled {
		t.Breaker = resilience.NewBreaker(resilience.BreakerConfig{
			FailureThreshold: b.FailureThreshold, FailureRatio: b.FailureRatio, MinRequests: b.MinRequests,
			SuccessThreshold: b.SuccessThreshold, ResetTimeout: b.ResetTimeout, Changed: p.Changed,
		})
	}
	for name, value := range s.Headers.Set {
		t.set.Add(name, value)
		t.removed[strings.ToLower(name)] = true
	}
	slices.SortFunc(t.set, func(a, b call.Field) int { return strings.Compare(a.Name, b.Name) })
	for _, name := range s.Headers.Remove {
		t.removed[strings.ToLower(name)] = true
	}
	return t, nil
}

// AllowsMethod reports whether the method may be called. CONNECT and TRACE
// never are, however they are spelt: they are about the connection, which is not
// the caller's.
func (t *Target) AllowsMethod(method string) bool {
	if http1.Same(method, "CONNECT") || http1.Same(method, "TRACE") {
		return false
	}
	return len(t.Spec.AllowedMethods) == 0 || slices.Contains(t.Spec.AllowedMethods, method)
}

// Removes reports whether a caller's field does not go on: because a rule says
// so or sets it, or because the credential is the target's own.
func (t *Target) Removes(field string) bool {
	if t.Credential != nil && t.Credential.Owns(field) {
		return true
	}
	return len(t.removed) > 0 && t.removed[strings.ToLower(field)]
}

// KeepsQuery is what of a caller's query may be kept: all but a parameter that
// the credential replaces.
func (t *Target) KeepsQuery(query string) string {
	if c, ok := t.Credential.(interface{ WithoutOwn(query string) string }); ok {
		return c.WithoutOwn(query)
	}
	return query
}

// CoversBody reports whether the credential of a call with that header is made of
// the whole body, which has to be at hand before anything is sent.
func (t *Target) CoversBody(h call.Header) bool {
	c, ok := t.Credential.(interface{ CoversBody(h call.Header) bool })
	return ok && c.CoversBody(h)
}

// Set are the fields that every call gets, in the order of their names.
func (t *Target) Set() call.Header { return t.set }

// RetriesOn reports whether the configuration wants a failure retried.
func (t *Target) RetriesOn(why call.Reason) bool {
	if why == call.Garbage || why == call.Unserved || why == call.Refused {
		why = call.Reset
	}
	return slices.Contains(t.Spec.Retry.On, string(why))
}

// RetriesStatus reports whether the configuration wants an answer of that status
// retried.
func (t *Target) RetriesStatus(status int) bool {
	return status >= 0 && status < len(t.statuses) && t.statuses[status]
}

// Total is the longest time of an ordinary call.
func (t *Target) Total() time.Duration { return t.Spec.Timeout }

// Close lets go of connections and look-ups, once no call uses the target.
func (t *Target) Close() {
	if t.Transport != nil {
		t.Transport.Close()
	}
	if t.Endpoints != nil {
		t.Endpoints.Close()
	}
}
