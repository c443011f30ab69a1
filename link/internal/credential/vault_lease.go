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

// rereadInterval is how often a secret that has no lease is read again, as Vault's own
// agent does. A 401 does it at once.
const rereadInterval = 5 * time.Minute

// startSpread is over what time the first reads spread that no call waits for.
const startSpread = 2 * time.Second

// lease is one secret of Vault, kept up to date by a goroutine of its own.
type lease struct {
	vault  *Vault
	login  *login
	path   string
	users  int // guarded by vault.mu
	cancel context.CancelFunc
	now    atomic.Pointer[leaseData]
	wake   chan struct{}

	mu      sync.Mutex
	current chan struct{} // closed once a step that begins from now on is over
	force   bool          // the next step reads, whatever there is
	forced  chan struct{} // closed once such a step is over; nil: none is due
	pace    renewalLimiter

	failures int // of the goroutine alone
}

// leaseData is what was read. It does not change.
type leaseData struct {
	data  map[string]string
	id    string // of the lease; "": none
	ends  time.Time
	life  time.Duration
	renew bool // the lease can be
	token *vaultToken
	due   time.Time
	err   error // of the last attempt; nil: it went well
}

// until is when the data must not be used any longer; zero: no end.
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

// readingLease is what a lease does, for errors: the path is not shown, for people write
// a secret there.
const readingLease = "reading the secret that vaultRef names"

// get is the secret. It waits for the first read, and for no other.
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
			return nil, fmt.Errorf("the lease of the secret that vaultRef names has ended, and there is no other: %w", h.err)
		}
		if err := l.await(ctx, false); err != nil {
			return nil, err
		}
	}
	return nil, errors.New(readingLease + ": Vault gives leases that end at once")
}

// refresh reads the secret after a 401, as often as is decent.
func (l *lease) refresh(ctx context.Context) { _ = l.await(ctx, true) } // what there is says the rest

// await waits for a step.
func (l *lease) await(ctx context.Context, force bool) error {
	l.mu.Lock()
	wait := l.current
	if force {
		switch {
		case l.forced != nil:
			wait = l.forced
		case l.pace.allow(time.Now()):
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

// run keeps the secret up to date.
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

// step does what is due, and says how long nothing else is.
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
					l.login.drop(token) // it may have been revoked, as when Vault lost its memory
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

// staysUsable reports whether what there is goes on being good, renewed if need be.
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
		return false // near the longest life a lease may have
	}
	renewed := *old
	renewed.err, renewed.renew = nil, s.Renewable
	renewed.ends, renewed.due = now.Add(life), now.Add(life*2/3)
	*h = &renewed
	return true
}

// notFound stands for the 404 that the library gives as nothing at all.
var notFound = &api.ResponseError{StatusCode: http.StatusNotFound}

// read reads the secret anew.
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
			every = min(every, life) // KV version 1 says so by a ttl of the secret
		}
		h.due = asked.Add(every*4/5 + rand.N(every*2/5+1))
		return h, nil
	}
	h.id, h.life, h.renew = s.LeaseID, life, s.Renewable
	h.ends, h.due = asked.Add(life), asked.Add(life*2/3)
	return h, nil
}

// failed remembers why, and says when to try again. What was read stays, as
// long as its lease; a secret without one that is gone, or may not be read any
// more, does not.
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
