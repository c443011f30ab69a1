package discovery

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/lsm/fiso/link/internal/resilience"
)

const (
	// ejectAfter failures in a row eject an address, first for ejectFirst and then for
	// twice as long each time, up to ejectMax (like the outlier detection of Envoy).
	ejectAfter = 3
	ejectFirst = 5 * time.Second
	ejectMax   = 5 * time.Minute
)

// Resolver finds addresses.
type Resolver interface {
	// Resolve returns the current addresses, host:port each, and how long they are
	// valid. It returns before ctx ends. An error that is errNoName says that the name
	// does not exist, and not that DNS fails.
	Resolve(ctx context.Context) (addresses []string, ttl time.Duration, err error)
}

// Static is a fixed list.
type Static []string

// Resolve returns the list, valid for a year.
func (s Static) Resolve(context.Context) ([]string, time.Duration, error) {
	return s, 365 * 24 * time.Hour, nil
}

const (
	// minTTL is the lowest TTL used: a TTL of 0 must not make every call wait for DNS.
	minTTL = time.Second
	// maxTTL is the highest TTL used, so that a change of the hosts file is noticed.
	maxTTL = time.Minute
	// staleWhileLooking is how long expired addresses are used while a look-up runs.
	// After that, calls wait for the look-up.
	staleWhileLooking = 3 * time.Second
	// maxAddresses limits the addresses in use; an answer may have thousands.
	maxAddresses = 256
	// goneNameTTL is how long addresses are used after DNS says that the name no
	// longer exists. The name may come back soon; its addresses may also be given
	// to another owner, who must not get a credential.
	goneNameTTL = time.Minute
	// lookUpRetry is the time between two failed look-ups, while the old addresses
	// are used.
	lookUpRetry = 5 * time.Second
	// lookUpTimeout bounds a look-up.
	lookUpTimeout = 5 * time.Second
)

// Endpoints are the addresses of one target. They own the goroutines that look up and
// dial; Close waits for them.
type Endpoints struct {
	resolver Resolver
	dial     func(ctx context.Context, network, address string) (net.Conn, error) // nil: net.Dialer's

	mu          sync.Mutex
	all         []*endpoint
	expires     time.Time     // after this, a call starts another look-up
	usableUntil time.Time     // until then, calls do not wait for a look-up
	err         error         // of the last look-up
	goneSince   time.Time     // when DNS first said that the name does not exist; zero: it exists
	lookUpDone  chan struct{} // closed when the running look-up ends; nil: none runs
	closed      bool
	stop        context.CancelFunc
	ctx         context.Context
	wg          sync.WaitGroup
}

type endpoint struct {
	address        string
	inFlight       int
	failuresInARow int
	release        func(resilience.Outcome)
	ejectedUntil   time.Time // until then, used only if there is no other
	ejections      int       // in a row
	slowUntil      time.Time // until then, used only if there is no better one: it lost a race to connect
}

// Ranks: the address with the lowest sum of these and its calls in flight is picked.
const (
	slowRank       = 1 << 18 // it lost a race to connect
	sameFamilyRank = 1 << 19 // of the same family as the last address that failed
	ejectedRank    = 1 << 20
	triedRank      = 1 << 30 // this call has tried it
)

// rank orders addresses: the lowest is picked.
func (p *endpoint) rank(now time.Time) int {
	r := p.inFlight
	if now.Before(p.slowUntil) {
		r += slowRank
	}
	if now.Before(p.ejectedUntil) {
		r += ejectedRank
	}
	return r
}

// New returns the endpoints that the resolver finds. The first call starts the first
// look-up.
func New(r Resolver) *Endpoints {
	e := &Endpoints{resolver: r}
	e.ctx, e.stop = context.WithCancel(context.Background())
	return e
}

// Close ends a running look-up and waits for all goroutines.
func (e *Endpoints) Close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.stop()
	e.wg.Wait()
}

var errNoAddressKnown = errors.New("no address is known")

// errNoName says that, according to DNS, the name does not exist.
var errNoName = errors.New("there is no such name")

// Pick returns the address to try next. See target.Endpoints.
func (e *Endpoints) Pick(ctx context.Context, tried []string) (string, func(resilience.Outcome), error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.ensureAddresses(ctx); err != nil {
		return "", nil, err
	}
	p := e.leastBusy(tried, time.Now())
	p.inFlight++
	return p.address, p.release, nil
}

// ensureAddresses starts a look-up when the addresses have expired, and waits for it
// when they are too old to be used. It is called with the lock held and releases it
// while it waits.
func (e *Endpoints) ensureAddresses(ctx context.Context) error {
	now := time.Now()
	if !now.Before(e.expires) && e.lookUpDone == nil && !e.closed {
		looking := make(chan struct{})
		e.lookUpDone = looking
		e.wg.Go(func() { e.lookUp(looking) })
	}
	if len(e.all) > 0 && now.Before(e.usableUntil) {
		return nil
	}
	if looking := e.lookUpDone; looking != nil {
		e.mu.Unlock()
		var ended error
		select {
		case <-looking:
		case <-ctx.Done():
			ended = context.Cause(ctx)
		}
		e.mu.Lock()
		if ended != nil {
			return ended
		}
	}
	switch {
	case len(e.all) > 0:
		return nil
	case e.err != nil:
		return e.err
	}
	return errNoAddressKnown
}

func (e *Endpoints) lookUp(done chan struct{}) {
	ctx, cancel := context.WithTimeout(e.ctx, lookUpTimeout)
	defer cancel()
	addresses, ttl, err := e.resolver.Resolve(ctx)
	if err == nil && len(addresses) == 0 {
		err = errNoAddressKnown
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	defer close(done)
	e.lookUpDone, e.err = nil, err
	if err != nil {
		now := time.Now()
		e.expires = now.Add(lookUpRetry)
		e.usableUntil = e.expires.Add(lookUpTimeout) // calls do not wait for the next look-up, either
		switch {
		case !errors.Is(err, errNoName): // DNS failed, which says nothing about the name
		case e.goneSince.IsZero():
			e.goneSince = now
		case now.Sub(e.goneSince) >= goneNameTTL:
			e.all = nil
		}
		if len(e.all) == 0 {
			e.expires = time.Now().Add(minTTL) // not every call starts a look-up
		}
		return
	}
	e.expires, e.goneSince = time.Now().Add(min(max(ttl, minTTL), maxTTL)), time.Time{}
	e.usableUntil = e.expires.Add(staleWhileLooking)
	e.replace(addresses)
}

// replace installs a new list; addresses that were known keep their state.
func (e *Endpoints) replace(addresses []string) {
	old := e.all
	e.all = make([]*endpoint, 0, min(len(addresses), maxAddresses))
	for _, a := range addresses {
		if len(e.all) == maxAddresses {
			return
		}
		if slices.ContainsFunc(e.all, func(p *endpoint) bool { return p.address == a }) {
			continue
		}
		if i := slices.IndexFunc(old, func(p *endpoint) bool { return p.address == a }); i >= 0 {
			e.all = append(e.all, old[i])
		} else {
			p := &endpoint{address: a}
			p.release = func(o resilience.Outcome) { e.done(p, o) }
			e.all = append(e.all, p)
		}
	}
}

// leastBusy returns the address with the fewest calls in flight that is not ejected and
// was not tried, if possible of the other family than the last one tried; among equals,
// a random one. If all were tried or ejected it returns one of those: the breaker
// decides about a target whose addresses all fail.
func (e *Endpoints) leastBusy(tried []string, now time.Time) *endpoint {
	if len(e.all) == 1 {
		return e.all[0]
	}
	var best *endpoint
	var last string
	if len(tried) > 0 {
		last = tried[len(tried)-1]
	}
	rank, equals := 0, 0
	for _, p := range e.all {
		r := p.rank(now)
		if slices.Contains(tried, p.address) {
			r += triedRank
		} else if last != "" && sameFamily(last, p.address) {
			r += sameFamilyRank
		}
		switch {
		case best == nil || r < rank:
			best, rank, equals = p, r, 1
		case r == rank:
			if equals++; rand.IntN(equals) == 0 {
				best = p
			}
		}
	}
	return best
}

func (e *Endpoints) done(p *endpoint, o resilience.Outcome) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p.inFlight--
	switch o {
	case resilience.Success:
		p.failuresInARow, p.ejections, p.ejectedUntil = 0, 0, time.Time{}
	case resilience.Failure:
		now := time.Now()
		if p.failuresInARow++; p.failuresInARow < ejectAfter || now.Before(p.ejectedUntil) {
			return
		}
		p.ejectedUntil = now.Add(min(ejectFirst<<min(p.ejections, 10), ejectMax))
		p.failuresInARow = ejectAfter - 1 // one more failure ejects it again
		p.ejections++
	}
}

// Status describes one address to a person.
type Status struct {
	Address  string
	InFlight int
	Ejected  bool
}

// Status returns the addresses, and the error of the last look-up.
func (e *Endpoints) Status() ([]Status, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	var all []Status
	for _, p := range e.all {
		all = append(all, Status{p.address, p.inFlight, now.Before(p.ejectedUntil)})
	}
	return all, e.err
}
