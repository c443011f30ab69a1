// Package target builds a target from its configuration: what may be called, with
// which credential, which limits and retries, and where. A Target does not change; a
// reload makes another, and calls in flight end on the old one.
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
	"github.com/lsm/fiso/link/internal/resilience"
	"github.com/lsm/fiso/link/internal/urlpath"
	"github.com/lsm/fiso/link/spec"
)

// Credential authenticates the calls of a target. It is safe for concurrent use.
type Credential interface {
	// Apply puts the credential onto an attempt, in place of what the caller sent
	// there. Its error means that there is no valid credential; it shows none, and is
	// of type *CredentialError.
	Apply(ctx context.Context, out *http1.Outgoing) error
	// Renew is called after the target answered 401 to out, which carries a credential.
	// It reports whether another attempt would carry another one. If the credential was
	// renewed meanwhile, Renew does nothing.
	Renew(ctx context.Context, out *http1.Outgoing) bool
	// Owns reports whether a caller's field of that name is never forwarded.
	Owns(field string) bool
}

// CredentialError is why a call could not be given its credential.
type CredentialError struct {
	Code call.Code // CredentialUnavailable or CredentialExpired; BadRequest or BodyTooLarge if the call is at fault
	Err  error     // holds no secret
}

func (u *CredentialError) Error() string { return u.Err.Error() }

// Unwrap returns the cause.
func (u *CredentialError) Unwrap() error { return u.Err }

// Endpoints are the addresses of a target.
type Endpoints interface {
	// Pick returns the address to try next: the least busy of those that are not ejected
	// and were not tried, if there is one. done is called once, with the outcome of the
	// attempt.
	Pick(ctx context.Context, tried []string) (address string, done func(resilience.Outcome), err error)
	Close()
}

// RecordStore stores records durably, in Kafka. It is safe for concurrent use.
type RecordStore interface {
	// Append returns when all in-sync replicas have the record, when it is known that
	// they do not, or when ctx ends. The caller must not modify the record's bytes
	// afterwards.
	Append(ctx context.Context, r kafka.Record) (connector.Position, error)
}

// Parts are the dependencies of a Target beside its configuration.
type Parts struct {
	Credential     Credential // nil: none
	Endpoints      Endpoints
	Transport      call.Transport
	Records        RecordStore                     // nil: the target stores no records
	BreakerChanged func(from, to resilience.State) // called when the breaker changes state; may be nil
	// Retired ends when calls that still use the target must end: it was changed or
	// removed, and the drain timeout is over. nil: never.
	Retired context.Context
}

// Target is one destination. It is safe for concurrent use.
type Target struct {
	Parts
	Spec                 *spec.Target
	Host                 string // Host that the target sees
	Rules                *urlpath.Rules
	AllowsEncodedSlashes bool
	Rate                 *resilience.Rate
	AcceptRate           *resilience.Rate // of calls that are accepted to be made later
	key                  *cel.Program     // of records; nil: they have no key
	Concurrency          *resilience.Concurrency
	AcceptConcurrency    *resilience.Concurrency // of calls that are accepted to be made later
	Breaker              *resilience.Breaker
	Budget               *resilience.Budget
	Timeouts             *resilience.Timeouts // of ordinary calls
	Backoff              backoff.Policy
	setFields            http1.Header
	retriedStatuses      [600]bool       // that are retried
	removedFields        map[string]bool // lower case
}

// New builds a target from a validated configuration.
func New(s *spec.Target, p Parts) (*Target, error) {
	t := &Target{
		Parts: p, Spec: s, Host: s.Authority(), AllowsEncodedSlashes: s.EncodedSlashes == "allow",
		Concurrency: resilience.NewConcurrency(s.MaxConcurrent), AcceptConcurrency: resilience.NewConcurrency(s.MaxConcurrent),
		Budget:        resilience.NewBudget(s.Retry.Budget),
		Backoff:       backoff.Policy{Kind: s.Retry.Backoff, Initial: s.Retry.InitialInterval, Max: s.Retry.MaxInterval, Jitter: s.Retry.Jitter},
		removedFields: map[string]bool{},
		Timeouts:      resilience.NewTimeouts(s.Timeout),
	}
	for _, on := range s.Retry.On {
		if status, err := strconv.Atoi(on); err == nil && status >= 0 && status < len(t.retriedStatuses) {
			t.retriedStatuses[status] = true
		}
	}
	if len(s.AllowedPaths) > 0 {
		var err error
		if t.Rules, err = urlpath.NewRules(s.AllowedPaths, s.AllowedCharacters...); err != nil {
			return nil, err
		}
	}
	if r := s.RateLimit; r != nil {
		t.Rate = resilience.NewRate(r.RequestsPerSecond, r.Burst)
		t.AcceptRate = resilience.NewRate(r.RequestsPerSecond, r.Burst)
	}
	var err error
	if t.key, err = spec.CompileKey(s.RecordKey()); err != nil {
		return nil, err
	}
	if b := s.CircuitBreaker; b.Enabled {
		t.Breaker = resilience.NewBreaker(resilience.BreakerConfig{
			FailureThreshold: b.FailureThreshold, FailureRatio: b.FailureRatio, MinRequests: b.MinRequests,
			SuccessThreshold: b.SuccessThreshold, ResetTimeout: b.ResetTimeout, Changed: p.BreakerChanged,
		})
	}
	for name, value := range s.Headers.Set {
		t.setFields.Add(name, value)
		t.removedFields[strings.ToLower(name)] = true
	}
	slices.SortFunc(t.setFields, func(a, b http1.Field) int { return strings.Compare(a.Name, b.Name) })
	for _, name := range s.Headers.Remove {
		t.removedFields[strings.ToLower(name)] = true
	}
	return t, nil
}

// AllowsMethod reports whether the method may be called. CONNECT and TRACE are never
// allowed, in any case: they concern the connection, which is not the caller's.
func (t *Target) AllowsMethod(method string) bool {
	if http1.Same(method, "CONNECT") || http1.Same(method, "TRACE") {
		return false
	}
	return len(t.Spec.AllowedMethods) == 0 || slices.Contains(t.Spec.AllowedMethods, method)
}

// Removes reports whether a caller's field is not forwarded: a rule removes or sets
// it, or the target's credential replaces it.
func (t *Target) Removes(field string) bool {
	if t.Credential != nil && t.Credential.Owns(field) {
		return true
	}
	return len(t.removedFields) > 0 && t.removedFields[strings.ToLower(field)]
}

// StorableQuery returns a caller's query without the parameter that the credential
// replaces.
func (t *Target) StorableQuery(query string) string {
	if c, ok := t.Credential.(interface{ WithoutOwn(query string) string }); ok {
		return c.WithoutOwn(query)
	}
	return query
}

// CoversBody reports whether the credential of a call with that header signs the whole
// body, which must be read before anything is sent.
func (t *Target) CoversBody(h http1.Header) bool {
	c, ok := t.Credential.(interface{ CoversBody(h http1.Header) bool })
	return ok && c.CoversBody(h)
}

// SetFields returns the fields that every call gets, sorted by name.
func (t *Target) SetFields() http1.Header { return t.setFields }

// RetriesOn reports whether the configuration wants a failure retried.
func (t *Target) RetriesOn(why http1.Reason) bool {
	if why == http1.ReasonGarbage || why == call.ReasonUnserved || why == call.ReasonRefused {
		why = http1.ReasonReset
	}
	return slices.Contains(t.Spec.Retry.On, string(why))
}

// RetriesStatus reports whether the configuration wants an answer of that status
// retried.
func (t *Target) RetriesStatus(status int) bool {
	return status >= 0 && status < len(t.retriedStatuses) && t.retriedStatuses[status]
}

// TotalTimeout returns the time limit of a call that is not a stream.
func (t *Target) TotalTimeout() time.Duration { return t.Spec.Timeout }

// Close closes connections and ends DNS look-ups. No call uses the target any more.
func (t *Target) Close() {
	if t.Transport != nil {
		t.Transport.Close()
	}
	if t.Endpoints != nil {
		t.Endpoints.Close()
	}
}
