package credential

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/spec"
)

const (
	// checkInterval is how often secrets are looked at, at most.
	checkInterval = time.Second
	// unreadableTTL is how long a secret is used that can no longer be read. It
	// bridges files that are replaced, not secrets that were taken away.
	unreadableTTL = time.Minute
)

// wireCredential is a credential ready for the wire. It does not change.
type wireCredential interface {
	// apply puts it onto an attempt.
	apply(ctx context.Context, out *call.Outgoing) error
	// isOn reports whether it is on an attempt.
	isOn(out *call.Outgoing) bool
	// expires is when it ends by what is written in it; zero: not known.
	expires() time.Time
}

// source is where a secret comes from.
type source interface {
	// read is the secret now.
	read(ctx context.Context) (secretReading, error)
	// refresh makes the next read look where the secret truly is.
	refresh(ctx context.Context)
	// where names the place for a person, without the secret.
	where() string
	close()
}

// secretReading is what a source gives.
type secretReading struct {
	text  string
	until time.Time // it must not be used any longer; zero: no end
	stale error     // why it may be an older one; nil: it is not
}

// secrets are those of one credential, and the proof they make. They are read
// together, so that an access key never goes with another one's secret.
type secrets struct {
	sources  []source
	prove    func(values []string) (wireCredential, error)
	parts    Parts
	checking chan struct{} // held by whoever reads
	now      atomic.Pointer[state]
}

// state is what was found out last. It does not change.
type state struct {
	values  []string
	proof   wireCredential // nil: there is none to be had
	until   time.Time
	checked time.Time
	failure error     // why it cannot be read, or may be old; nil: all is well
	since   time.Time // when it could not be read for the first time; zero: it can
}

// named is a reference and the key it stands at.
type named struct {
	key string
	ref *spec.SecretRef
}

func newSecrets(refs []named, prove func([]string) (wireCredential, error), p Parts) (*secrets, error) {
	s := &secrets{prove: prove, parts: p, checking: make(chan struct{}, 1)}
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

// usable reports whether the proof may still be used, as far as leases go.
func (st *state) usable(now time.Time) bool {
	return st != nil && st.proof != nil && (st.until.IsZero() || now.Before(st.until))
}

// fresh reports whether there is nothing to look at yet.
func (st *state) fresh(now time.Time) bool {
	return st != nil && now.Sub(st.checked) < checkInterval && (st.proof == nil || st.usable(now))
}

// get is the proof now. Whoever finds it unchecked for a second checks; others
// wait for that only where there is nothing they could use.
func (s *secrets) get(ctx context.Context) (wireCredential, error) {
	st, now := s.now.Load(), time.Now()
	if !st.fresh(now) {
		if st.usable(now) {
			select {
			case s.checking <- struct{}{}:
			default:
				return st.proof, nil
			}
		} else if err := s.wait(ctx); err != nil {
			return nil, err
		}
		if st = s.now.Load(); !st.fresh(now) {
			st = s.check(ctx, st)
		}
		<-s.checking
	}
	if st.proof == nil {
		return nil, unavailable(st.failure)
	}
	return st.proof, nil
}

func (s *secrets) wait(ctx context.Context) error {
	select {
	case s.checking <- struct{}{}:
		return nil
	case <-ctx.Done():
		return unavailable(errors.New("the call ended before its credential could be read"))
	}
}

// check reads the secrets. The caller has the turn.
func (s *secrets) check(ctx context.Context, old *state) *state {
	if old == nil {
		old = &state{}
	}
	next := *old
	values, until, stale, err := s.read(ctx, old.values)
	now := time.Now()
	next.checked = now
	if err == nil && (old.proof == nil || !slices.Equal(values, old.values)) {
		if next.proof, err = s.prove(values); err == nil {
			next.values = values
			s.parts.Refreshed(Success)
		} else {
			next.proof = old.proof
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
		// This call's end says nothing about the secret: others try for themselves.
		next.checked = time.Time{}
		if !next.usable(now) {
			next.proof = nil
		}
		return &next
	}
	s.logFailure(old, &next)
	if err != nil && (!next.usable(now) || now.Sub(next.since) >= unreadableTTL) {
		next.proof = nil
	}
	s.now.Store(&next)
	return &next
}

// logFailure counts a failure, and says once that there is one, and once that it is over.
func (s *secrets) logFailure(old, next *state) {
	switch {
	case next.failure != nil:
		if !errors.Is(next.failure, old.failure) {
			s.parts.Refreshed(Failure)
		}
		if old.failure == nil {
			s.parts.Log.Warn("a secret cannot be read", "error", next.failure.Error(), "in_use", next.proof != nil)
		}
	case old.failure != nil:
		s.parts.Log.Info("a secret can be read again", "source", s.sources[0].where())
	}
}

// read reads all of them. Where they changed it reads until it has seen the
// same twice: files are not replaced all at one instant.
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

// renew looks at the secrets after a 401, unless another call already has:
// then what is there now is not what the attempt had.
func (s *secrets) renew(ctx context.Context, out *call.Outgoing) bool {
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

// differsFrom reports whether there is a good proof that is not the one on out.
func (st *state) differsFrom(out *call.Outgoing) bool {
	now := time.Now()
	if !st.usable(now) || st.proof.isOn(out) {
		return false
	}
	end := st.proof.expires()
	return end.IsZero() || now.Before(end)
}

func (s *secrets) expiry() (time.Time, bool) {
	st := s.now.Load()
	if st == nil || st.proof == nil {
		return time.Time{}, false
	}
	end := st.proof.expires()
	if end.IsZero() || !st.until.IsZero() && st.until.Before(end) {
		end = st.until
	}
	return end, !end.IsZero()
}
