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
	// ejectAfter failures in a row put an address aside, for ejectFirst at
	// first and up to ejectMost when it fails again and again (the doubling of
	// Envoy's outlier detection).
	ejectAfter = 3
	ejectFirst = 5 * time.Second
	ejectMost  = 5 * time.Minute
)

// Resolver finds addresses.
type Resolver interface {
	// Resolve is the addresses now, host:port each, and how long they hold.
	// It returns before ctx ends. An error that is errNoName says that there
	// is no such name, and not that DNS fails.
	Resolve(ctx context.Context) (addresses []string, ttl time.Duration, err error)
}

// Static is a fixed list.
type Static []string

// Resolve is the list, for good.
func (s Static) Resolve(context.Context) ([]string, time.Duration, error) {
	return s, 365 * 24 * time.Hour, nil
}

const (
	// shortest is how long an answer holds at least, whatever its TTL: a TTL
	// of 0 must not make every call wait for DNS.
	shortest = time.Second
	// longest is how long it holds at most: a change of the hosts file is to be
	// seen, too.
	longest = time.Minute
	// grace is how long an address is used beyond that, while a look-up runs. Then
	// calls wait for the look-up.
	grace = 3 * time.Second
	// most is how many addresses are used; an answer may have thousands.
	most = 256
	// farewell is how long the addresses of a name still serve that is gone: it
	// may come back in a moment, but what was let go of may soon be somebody
	// else's, who is to see no credential of ours.
	farewell = time.Minute
	// again is when a look-up that failed is made again, while the old
	// addresses serve.
	again = 5 * time.Second
	// patience is how long a look-up may take.
	patience = 5 * time.Second
)

// Endpoints are the addresses of one target. They own no goroutine but that of
// a look-up under way, and those of connections that are being raced; Close waits
// for them.
type Endpoints struct {
	resolver Resolver
	dial     func(ctx context.Context, network, address string) (net.Conn, error) // nil: net.Dialer's

	mu      sync.Mutex
	all     []*endpoint
	expires time.Time     // when a call begins another look-up
	usable  time.Time     // until when calls do not wait for it
	err     error         // of the last look-up
	gone    time.Time     // since when there is no such name; zero: there is
	looking chan struct{} // closed when the look-up under way is over; nil: none is
	closed  bool
	stop    context.CancelFunc
	ctx     context.Context
	wg      sync.WaitGroup
}

type endpoint struct {
	address string
	busy    int
	row     int // failures in a row
	free    func(resilience.Outcome)
	aside   time.Time // not before, unless there is no other
	times   int       // it was put aside in a row
	slow    time.Time // not before, if there is another: it lost a race to connect
}

// rank orders addresses: the lower, the sooner.
func (p *endpoint) rank(now time.Time) int {
	r := p.busy
	if now.Before(p.slow) {
		r += 1 << 18
	}
	if now.Before(p.aside) {
		r += 1 << 20
	}
	return r
}

// New is the endpoints that the resolver finds. It resolves with the first call.
func New(r Resolver) *Endpoints {
	e := &Endpoints{resolver: r}
	e.ctx, e.stop = context.WithCancel(context.Background())
	return e
}

// Close ends a look-up under way.
func (e *Endpoints) Close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.stop()
	e.wg.Wait()
}

var errNone = errors.New("no address is known")

// errNoName is that DNS is sure that a name has no address.
var errNoName = errors.New("there is no such name")

// Pick is the address to try next. See target.Endpoints.
func (e *Endpoints) Pick(ctx context.Context, tried []string) (string, func(resilience.Outcome), error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.fresh(ctx); err != nil {
		return "", nil, err
	}
	p := e.best(tried, time.Now())
	p.busy++
	return p.address, p.free, nil
}

// fresh sees to it that there are addresses that may be used. Old ones serve for a
// moment while a look-up runs, and beyond it only once DNS has failed. Called with the
// lock held, which it lets go of while it waits.
func (e *Endpoints) fresh(ctx context.Context) error {
	now := time.Now()
	if !now.Before(e.expires) && e.looking == nil && !e.closed {
		looking := make(chan struct{})
		e.looking = looking
		e.wg.Go(func() { e.look(looking) })
	}
	if len(e.all) > 0 && now.Before(e.usable) {
		return nil
	}
	if looking := e.looking; looking != nil {
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
	return errNone
}

func (e *Endpoints) look(over chan struct{}) {
	ctx, cancel := context.WithTimeout(e.ctx, patience)
	defer cancel()
	addresses, ttl, err := e.resolver.Resolve(ctx)
	if err == nil && len(addresses) == 0 {
		err = errNone
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	defer close(over)
	e.looking, e.err = nil, err
	if err != nil {
		now := time.Now()
		e.expires = now.Add(again)
		e.usable = e.expires.Add(patience) // the next look-up is not waited for, either
		switch {
		case !errors.Is(err, errNoName): // DNS fails: that says nothing of the name
		case e.gone.IsZero():
			e.gone = now
		case now.Sub(e.gone) >= farewell:
			e.all = nil
		}
		if len(e.all) == 0 {
			e.expires = time.Now().Add(shortest) // the next call asks again, not every one
		}
		return
	}
	e.expires, e.gone = time.Now().Add(min(max(ttl, shortest), longest)), time.Time{}
	e.usable = e.expires.Add(grace)
	e.replace(addresses)
}

// replace takes a new list, in which known addresses stay as they stood.
func (e *Endpoints) replace(addresses []string) {
	old := e.all
	e.all = make([]*endpoint, 0, min(len(addresses), most))
	for _, a := range addresses {
		if len(e.all) == most {
			return
		}
		if slices.ContainsFunc(e.all, func(p *endpoint) bool { return p.address == a }) {
			continue
		}
		if i := slices.IndexFunc(old, func(p *endpoint) bool { return p.address == a }); i >= 0 {
			e.all = append(e.all, old[i])
		} else {
			p := &endpoint{address: a}
			p.free = func(o resilience.Outcome) { e.done(p, o) }
			e.all = append(e.all, p)
		}
	}
}

// best is the least busy of those that are well and were not tried, sooner one of
// the other family than was tried last; of equals, one at random. Where all were tried or are put aside, those serve: a target
// all of whose addresses are in trouble is the breaker's business.
func (e *Endpoints) best(tried []string, now time.Time) *endpoint {
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
			r += 1 << 30
		} else if last != "" && sameFamily(last, p.address) {
			r += 1 << 19
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
	p.busy--
	switch o {
	case resilience.Success:
		p.row, p.times, p.aside = 0, 0, time.Time{}
	case resilience.Failure:
		now := time.Now()
		if p.row++; p.row < ejectAfter || now.Before(p.aside) {
			return
		}
		p.aside = now.Add(min(ejectFirst<<min(p.times, 10), ejectMost))
		p.row = ejectAfter - 1 // when it comes back, one more failure is enough
		p.times++
	}
}

// Status is one address for a person to see.
type Status struct {
	Address string
	Busy    int
	Aside   bool
}

// Status is how the addresses stand, and why there are none.
func (e *Endpoints) Status() ([]Status, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	var all []Status
	for _, p := range e.all {
		all = append(all, Status{p.address, p.busy, now.Before(p.aside)})
	}
	return all, e.err
}
