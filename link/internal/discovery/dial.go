package discovery

import (
	"context"
	"net"
	"net/netip"
	"time"
)

const (
	// attemptDelay is how long to wait for a connection before dialling an address of
	// the other family, too (RFC 8305, section 8, Connection Attempt Delay).
	attemptDelay = 250 * time.Millisecond
	// slowPenalty is how long an address that lost a race is picked only if there is no
	// other.
	slowPenalty = 10 * time.Minute
)

// Dial connects to an address that Pick returned. If the target has an address of the
// other family, Dial connects to that too, after attemptDelay or when the first fails,
// and takes the first connection (Happy Eyeballs): a broken IPv6 must not cost a whole
// connect timeout. ctx covers both.
func (e *Endpoints) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	dial := e.dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	other := e.otherFamily(address)
	if other == "" {
		return dial(ctx, network, address)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the slower one
	results := make(chan dialResult)
	try := func(address string) {
		c, err := dial(ctx, network, address)
		select {
		case results <- dialResult{address, c, err}:
		case <-ctx.Done():
			if c != nil {
				_ = c.Close() // the race is over
			}
		}
	}
	e.wg.Go(func() { try(address) })
	return e.race(ctx, results, address, func() { e.wg.Go(func() { try(other) }) })
}

// dialResult is the result of dialling one address.
type dialResult struct {
	address string
	conn    net.Conn
	err     error
}

// race returns the first connection. The other attempt ends with ctx, and closes its
// connection.
func (e *Endpoints) race(ctx context.Context, results <-chan dialResult, first string, second func()) (net.Conn, error) {
	timer := time.NewTimer(attemptDelay)
	defer timer.Stop()
	var failed error // the error of the first address if it failed, because the caller knows that address
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
					e.markSlow(first)
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

// otherFamily returns the least busy address of the other family than address, or "".
func (e *Endpoints) otherFamily(address string) string {
	v6, ok := isIPv6(address)
	if !ok {
		return "" // a host name: net.Dialer does Happy Eyeballs itself
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

func (e *Endpoints) markSlow(address string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.all {
		if p.address == address {
			p.slowUntil = time.Now().Add(slowPenalty)
		}
	}
}

func isIPv6(address string) (v6, ok bool) {
	ap, err := netip.ParseAddrPort(address)
	return ap.Addr().Is6(), err == nil
}

// sameFamily reports whether both are IP addresses of the same family.
func sameFamily(a, b string) bool {
	six, ok := isIPv6(a)
	other, known := isIPv6(b)
	return ok && known && six == other
}
