package discovery

import (
	"context"
	"net"
	"net/netip"
	"time"
)

const (
	// stagger is how long a connection may take before one to an address of
	// the other family is tried beside it (RFC 8305, section 8).
	stagger = 250 * time.Millisecond
	// slowFor is how long an address that lost such a race is not picked while
	// there is another.
	slowFor = 10 * time.Minute
)

// Dial connects to an address that Pick gave. Where it is one of several, of both
// families, a dead IPv6 must not cost a whole connect timeout: after a moment, or
// when it fails, an address of the other family is tried too, and the first to
// connect is taken (happy eyeballs). ctx covers both.
func (e *Endpoints) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	dial := e.dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	other := e.other(address)
	if other == "" {
		return dial(ctx, network, address)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the one that is slower
	results := make(chan dialled)
	try := func(address string) {
		c, err := dial(ctx, network, address)
		select {
		case results <- dialled{address, c, err}:
		case <-ctx.Done():
			if c != nil {
				_ = c.Close() // too late
			}
		}
	}
	e.wg.Go(func() { try(address) })
	return e.race(ctx, results, address, func() { e.wg.Go(func() { try(other) }) })
}

// dialled is what became of one attempt to connect.
type dialled struct {
	address string
	conn    net.Conn
	err     error
}

// race takes the first connection. Every attempt ends with ctx, which its caller
// ends, and closes what it then has.
func (e *Endpoints) race(ctx context.Context, results <-chan dialled, first string, second func()) (net.Conn, error) {
	timer := time.NewTimer(stagger)
	defer timer.Stop()
	var failed error // of the first address, which the caller knows of
	begin := func() { second(); second = nil }
	for left := 2; left > 0; {
		select {
		case <-timer.C:
			if second != nil {
				begin()
			}
		case r := <-results:
			if r.err == nil {
				if r.address != first {
					e.slow(first)
				}
				return r.conn, nil
			}
			if left--; failed == nil || r.address == first {
				failed = r.err
			}
			if second != nil {
				begin()
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return nil, failed
}

// other is the address to try beside one: the least busy of the other family; ""
// where there is none.
func (e *Endpoints) other(address string) string {
	v6, ok := isIPv6(address)
	if !ok {
		return "" // a name: net looks it up, and does the same
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now, best := time.Now(), (*endpoint)(nil)
	for _, p := range e.all {
		if six, ok := isIPv6(p.address); ok && six != v6 && (best == nil || p.rank(now) < best.rank(now)) {
			best = p
		}
	}
	if best == nil {
		return ""
	}
	return best.address
}

func (e *Endpoints) slow(address string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.all {
		if p.address == address {
			p.slow = time.Now().Add(slowFor)
		}
	}
}

func isIPv6(address string) (v6, ok bool) {
	ap, err := netip.ParseAddrPort(address)
	return ap.Addr().Is6(), err == nil
}

// sameFamily reports whether two addresses are of one family, as far as is known.
func sameFamily(a, b string) bool {
	six, ok := isIPv6(a)
	other, known := isIPv6(b)
	return ok && known && six == other
}
