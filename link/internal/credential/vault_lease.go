package credential

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"
)

// rereadInterval is how often a secret without a lease is read again (as Vault Agent
// does). After a 401 it is read at once.
const rereadInterval = 5 * time.Minute

// startSpread is the time over which first reads are spread that no call waits for.
const startSpread = 2 * time.Second

// lease is one secret of Vault. Its own goroutine keeps it up to date.
type lease struct {
	vault  *Vault
	login  *login
	path   string
	users  int // fields in use; guarded by vault.mu
	cancel context.CancelFunc
	now    atomic.Pointer[leaseData]
	wake   chan struct{}

	mu       sync.Mutex
	current  chan struct{} // closed when the next step has ended
	force    bool          // the next step reads even if the secret is valid
	forced   chan struct{} // closed when that step has ended; nil: not requested is due
	renewals renewalLimiter

	failures int // of the goroutine alone
}

// leaseData is the result of a read. It is immutable.
type leaseData struct {
	data  map[string]string
	id    string // of the lease; "": none
	ends  time.Time
	life  time.Duration
	renew bool // the lease is renewable
	token *vaultToken
	due   time.Time
	err   error // of the last attempt; nil: it succeeded
}

// until returns when the data must no longer be used; zero: no end.
func (h *leaseData) until() time.Time {
	if h.id == "" {
		return time.Time{}
	}
	if end := h.token.ends(); !end.IsZero() && end.Before(h.ends) {
		return end
	}
	return h.ends
}

func (h *leaseData) usable(now time.Time) bool {
	if h == nil || h.data == nil {
		return false
	}
	end := h.until()
	return end.IsZero() || now.Before(end)
}

// readingLease names the operation in errors. The path is not shown: people write
// secrets there by mistake.
const readingLease = "reading the secret that vaultRef names"

// get returns the secret. It waits for the first read only.
func (l *lease) get(ctx context.Context) (*leaseData, error) {
	for range 2 {
		h := l.now.Load()
		if h.usable(time.Now()) {
			return h, nil
		}
		if h != nil && h.err != nil {
			if h.data == nil {
				return nil, h.err
			}
			return nil, fmt.Errorf("the lease of the secret that vaultRef names has ended, and reading it again failed: %w", h.err)
		}
		if err := l.await(ctx, false); err != nil {
			return nil, err
		}
	}
	return nil, errors.New(readingLease + ": Vault gives leases that expire at once")
}

// refresh reads the secret after a 401, unless the limiter refuses.
func (l *lease) refresh(ctx context.Context) { _ = l.await(ctx, true) } // get returns the error

// await waits for the end of the next step. With force, that step reads the secret.
func (l *lease) await(ctx context.Context, force bool) error {
	l.mu.Lock()
	wait := l.current
	if force {
		switch {
		case l.forced != nil:
			wait = l.forced
		case l.renewals.allow(time.Now()):
			l.force, l.forced = true, wait
		default:
			l.mu.Unlock()
			return nil
		}
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	select {
	case <-wait:
		return nil
	case <-ctx.Done():
		return errors.New(readingLease + ": the call ended before Vault had answered")
	case <-l.vault.ctx.Done():
		return errors.New("fiso-link is stopping")
	}
}

// run keeps the secret up to date until ctx ends.
func (l *lease) run(ctx context.Context) {
	timer := time.NewTimer(rand.N(startSpread))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-l.wake:
		}
		l.mu.Lock()
		force, over, next := l.force, l.current, make(chan struct{})
		l.force, l.current = false, next
		l.mu.Unlock()
		wait := l.step(ctx, force)
		l.mu.Lock()
		if force {
			l.forced = nil
		}
		l.mu.Unlock()
		close(over)
		timer.Reset(wait)
	}
}

// step does what is due, and returns the time until the next step.
func (l *lease) step(ctx context.Context, force bool) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, 2*fetchTimeout)
	defer cancel()
	old := l.now.Load()
	for try := 1; ; try++ {
		token, tokenDue, err := l.login.get(ctx)
		if err != nil {
			return l.failed(old, err, 0)
		}
		h := old
		if force || !l.staysUsable(ctx, &h, token) {
			if h, err = l.read(ctx, token); err != nil {
				if status(err) == 403 && try == 1 && (old == nil || old.token == token) {
					l.login.drop(token) // it may have been revoked, for example by a restart of Vault
					continue
				}
				return l.failed(old, vaultError(readingLease, err), status(err))
			}
		}
		l.failures = 0
		l.now.Store(h)
		due := h.due
		if !tokenDue.IsZero() && tokenDue.Before(due) {
			due = tokenDue
		}
		return max(time.Until(due), 100*time.Millisecond)
	}
}

// staysUsable reports whether the current lease remains valid, after a renewal if one
// is due.
func (l *lease) staysUsable(ctx context.Context, h **leaseData, token *vaultToken) bool {
	old, now := *h, time.Now()
	if !old.usable(now) || old.id != "" && old.token != token {
		return false
	}
	if old.err == nil && now.Before(old.due) {
		return true
	}
	if old.id == "" || !old.renew {
		return false
	}
	s, err := token.client.Sys().RenewWithContext(ctx, old.id, 0)
	if err != nil || s == nil {
		return false
	}
	life := time.Duration(s.LeaseDuration) * time.Second
	if life <= old.life/3 {
		return false // the lease is near its maximum lifetime
	}
	renewed := *old
	renewed.err, renewed.renew = nil, s.Renewable
	renewed.ends, renewed.due = now.Add(life), now.Add(life*2/3)
	*h = &renewed
	return true
}

// notFound is the error for a 404, which the library returns as a nil secret.
var notFound = &api.ResponseError{StatusCode: http.StatusNotFound}

// read reads the secret.
func (l *lease) read(ctx context.Context, token *vaultToken) (*leaseData, error) {
	asked := time.Now()
	s, err := token.client.Logical().ReadWithContext(ctx, l.path)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, notFound
	}
	h := &leaseData{data: texts(s), token: token}
	if h.data == nil {
		return nil, notFound
	}
	life := time.Duration(s.LeaseDuration) * time.Second
	if s.LeaseID == "" {
		every := rereadInterval
		if life > 0 {
			every = min(every, life) // a KV version 1 secret may have a ttl
		}
		h.due = asked.Add(every*4/5 + rand.N(every*2/5+1))
		return h, nil
	}
	h.id, h.life, h.renew = s.LeaseID, life, s.Renewable
	h.ends, h.due = asked.Add(life), asked.Add(life*2/3)
	return h, nil
}

// failed records the error, and returns when to try again. The last secret is kept as
// long as its lease; without a lease, it is dropped if it no longer exists or access
// was denied.
func (l *lease) failed(old *leaseData, err error, code int) time.Duration {
	l.failures++
	h := leaseData{err: err}
	if old != nil && (old.id != "" || code != http.StatusForbidden && code != http.StatusNotFound) {
		h = *old
		h.err = err
	}
	l.now.Store(&h)
	return vaultRetry.Delay(l.failures)
}
