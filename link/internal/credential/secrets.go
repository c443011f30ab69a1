package credential

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/spec"
)

const (
	// checkInterval is the least time between two reads of a secret.
	checkInterval = time.Second
	// unreadableTTL is how long a secret is used that can no longer be read. It bridges
	// the replacement of files, not the removal of secrets.
	unreadableTTL = time.Minute
)

// wireCredential is a credential ready for the wire. It is immutable.
type wireCredential interface {
	// apply adds the credential to an attempt.
	apply(ctx context.Context, out *http1.Outgoing) error
	// isOn reports whether an attempt carries the credential.
	isOn(out *http1.Outgoing) bool
	// expires returns the expiry that the credential itself states; zero: not known.
	expires() time.Time
}

// source is the place of a secret.
type source interface {
	// read returns the current secret.
	read(ctx context.Context) (secretReading, error)
	// refresh makes the next read bypass a cache.
	refresh(ctx context.Context)
	// where describes the place for a person, without the secret.
	where() string
	close()
}

// secretReading is the result of reading a source.
type secretReading struct {
	text  string
	until time.Time // the secret must not be used after it; zero: no end
	stale error     // why the secret may be outdated; nil: it is current
}

// secrets holds the sources of one credential. They are read together, so that an
// access key is never combined with the secret of another.
type secrets struct {
	sources  []source
	build    func(values []string) (wireCredential, error)
	parts    Parts
	checking chan struct{} // a semaphore: held while the sources are read
	now      atomic.Pointer[state]
}

// state is the result of the last check. It is immutable.
type state struct {
	values     []string
	credential wireCredential // nil: unavailable
	until      time.Time
	checked    time.Time
	failure    error     // why the secrets cannot be read, or may be outdated; nil: none
	since      time.Time // when reading first failed; zero: it succeeds
}

// keyedRef is a reference and its key in the configuration.
type keyedRef struct {
	key string
	ref *spec.SecretRef
}

func newSecrets(refs []keyedRef, build func([]string) (wireCredential, error), p Parts) (*secrets, error) {
	s := &secrets{build: build, parts: p, checking: make(chan struct{}, 1)}
	for _, ref := range refs {
		src, err := newSource(ref.key, ref.ref, p)
		if err != nil {
			s.close()
			return nil, err
		}
		s.sources = append(s.sources, src)
	}
	return s, nil
}

func (s *secrets) close() {
	for _, src := range s.sources {
		src.close()
	}
}

// usable reports whether the lease of the credential, if any, has not ended.
func (st *state) usable(now time.Time) bool {
	return st != nil && st.credential != nil && (st.until.IsZero() || now.Before(st.until))
}

// fresh reports whether no check is due.
func (st *state) fresh(now time.Time) bool {
	return st != nil && now.Sub(st.checked) < checkInterval && (st.credential == nil || st.usable(now))
}

// get returns the current credential. A call that finds it unchecked for a second
// checks it; other calls wait for the check only if they have nothing usable.
func (s *secrets) get(ctx context.Context) (wireCredential, error) {
	st, now := s.now.Load(), time.Now()
	if !st.fresh(now) {
		if st.usable(now) {
			select {
			case s.checking <- struct{}{}:
			default:
				return st.credential, nil
			}
		} else if err := s.wait(ctx); err != nil {
			return nil, err
		}
		if st = s.now.Load(); !st.fresh(now) {
			st = s.check(ctx, st)
		}
		<-s.checking
	}
	if st.credential == nil {
		return nil, unavailable(st.failure)
	}
	return st.credential, nil
}

func (s *secrets) wait(ctx context.Context) error {
	select {
	case s.checking <- struct{}{}:
		return nil
	case <-ctx.Done():
		return unavailable(errors.New("the call ended before its credential could be read"))
	}
}

// check reads the secrets. The caller holds s.checking.
func (s *secrets) check(ctx context.Context, old *state) *state {
	if old == nil {
		old = &state{}
	}
	next := *old
	values, until, stale, err := s.read(ctx, old.values)
	now := time.Now()
	next.checked = now
	if err == nil && (old.credential == nil || !slices.Equal(values, old.values)) {
		if next.credential, err = s.build(values); err == nil {
			next.values = values
			s.parts.Refreshed(Success)
		} else {
			next.credential = old.credential
		}
	}
	if err == nil {
		next.until, next.failure, next.since = until, stale, time.Time{}
	} else {
		next.failure = err
		if next.since.IsZero() {
			next.since = now
		}
	}
	if ctx.Err() != nil && err != nil {
		// The end of this call says nothing about the secret, so the next call checks
		// again.
		next.checked = time.Time{}
		if !next.usable(now) {
			next.credential = nil
		}
		return &next
	}
	s.logFailure(old, &next)
	if err != nil && (!next.usable(now) || now.Sub(next.since) >= unreadableTTL) {
		next.credential = nil
	}
	s.now.Store(&next)
	return &next
}

// logFailure counts a failure, and logs once when reading begins to fail and once when
// it succeeds again.
func (s *secrets) logFailure(old, next *state) {
	switch {
	case next.failure != nil:
		if !errors.Is(next.failure, old.failure) {
			s.parts.Refreshed(Failure)
		}
		if old.failure == nil {
			s.parts.Log.Warn("secret unreadable", "error", next.failure.Error(), "in_use", next.credential != nil)
		}
	case old.failure != nil:
		s.parts.Log.Info("secret readable again", "source", s.sources[0].where())
	}
}

// read reads all secrets. If they changed, it reads until two results are equal: files
// are not replaced all at one instant.
func (s *secrets) read(ctx context.Context, old []string) (values []string, until time.Time, stale, err error) {
	for range 4 {
		values, until, stale, err = s.readOnce(ctx)
		if err != nil || len(values) == 1 || slices.Equal(values, old) {
			break
		}
		old = values
	}
	return values, until, stale, err
}

func (s *secrets) readOnce(ctx context.Context) (values []string, until time.Time, stale, err error) {
	for _, src := range s.sources {
		r, err := src.read(ctx)
		if err == nil {
			err = checkValue(r.text, src.where())
		}
		if err != nil {
			return nil, until, nil, err
		}
		values = append(values, r.text)
		if !r.until.IsZero() && (until.IsZero() || r.until.Before(until)) {
			until = r.until
		}
		if r.stale != nil {
			stale = r.stale
		}
	}
	return values, until, stale, nil
}

// renew reads the secrets again after a 401, unless another call already has: then the
// current ones differ from those of the attempt.
func (s *secrets) renew(ctx context.Context, out *http1.Outgoing) bool {
	if st := s.now.Load(); st.differsFrom(out) {
		return true
	}
	for _, src := range s.sources {
		src.refresh(ctx)
	}
	if s.wait(ctx) != nil {
		return false
	}
	defer func() { <-s.checking }()
	st := s.now.Load()
	if st.differsFrom(out) {
		return true
	}
	return s.check(ctx, st).differsFrom(out)
}

// differsFrom reports whether there is a valid credential other than the one on out.
func (st *state) differsFrom(out *http1.Outgoing) bool {
	now := time.Now()
	if !st.usable(now) || st.credential.isOn(out) {
		return false
	}
	end := st.credential.expires()
	return end.IsZero() || now.Before(end)
}

func (s *secrets) expiry() (time.Time, bool) {
	st := s.now.Load()
	if st == nil || st.credential == nil {
		return time.Time{}, false
	}
	end := st.credential.expires()
	if end.IsZero() || !st.until.IsZero() && st.until.Before(end) {
		end = st.until
	}
	return end, !end.IsZero()
}
