package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// resolutionDelay is how long to wait for the answer of the other family after one
	// has arrived (RFC 8305, section 3).
	resolutionDelay = 50 * time.Millisecond
	// oneFamilyTTL limits the TTL of addresses of one family while the other is
	// unknown.
	oneFamilyTTL = 5 * time.Second
)

// noAnswerError says that no server answered.
type noAnswerError struct{ err error }

func (e *noAnswerError) Error() string { return e.err.Error() }

// Unwrap returns the error of the last attempt.
func (e *noAnswerError) Unwrap() error { return e.err }

// answer is the answer of DNS for one record type, A or AAAA.
type answer struct {
	kind uint16
	ips  []string
	ttl  time.Duration
	err  error // errNoAddress: the name has no address of this type
}

// errNoAddress says that the name exists and has no address.
var errNoAddress = fmt.Errorf("the name has no address: %w", errNoName)

// lookUpBothFamilies returns the addresses of both families, IPv4 first. It asks for
// both at once. After one answer with addresses, or one that the name does not exist,
// it waits for the other only for resolutionDelay, so that a lost answer costs no time.
func (d *DNS) lookUpBothFamilies(ctx context.Context, s Servers, name string) ([]string, time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	kinds := []uint16{dns.TypeA, dns.TypeAAAA}
	answers := make(chan answer, len(kinds))
	asked := make(chan struct{}, len(kinds))
	defer func() {
		cancel()
		for range kinds {
			<-asked // immediately, because cancel closes their connections
		}
	}()
	for _, kind := range kinds {
		go func() {
			defer func() { asked <- struct{}{} }()
			answers <- d.lookUpType(ctx, s, name, kind)
		}()
	}
	var got []answer
	var late <-chan time.Time
	for len(got) < len(kinds) {
		select {
		case a := <-answers:
			if got = append(got, a); late == nil && (len(a.ips) > 0 || isNXDomain(a.err)) {
				timer := time.NewTimer(resolutionDelay)
				defer timer.Stop()
				late = timer.C
			}
		case <-late:
			return mergeAnswers(append(got, answer{err: errors.New("no answer in time")}))
		}
	}
	return mergeAnswers(got)
}

// isNXDomain reports whether an answer says that the name has no records of any type.
// Some servers say so for a name that has addresses of the other family (RFC 4074,
// section 4.2).
func isNXDomain(err error) bool { return errors.Is(err, errNoName) && !errors.Is(err, errNoAddress) }

// mergeAnswers merges the answers of both types.
func mergeAnswers(answers []answer) ([]string, time.Duration, error) {
	var four, six []string
	ttl, unknown, failed := time.Duration(1<<63-1), false, error(nil)
	for _, a := range answers {
		switch {
		case isNXDomain(a.err):
			failed = a.err
		case a.err != nil && !errors.Is(a.err, errNoName):
			unknown = true
			if !isNXDomain(failed) {
				failed = a.err
			}
		case a.err != nil:
			failed = cmp.Or(failed, a.err)
		case a.kind == dns.TypeA:
			four, ttl = a.ips, min(ttl, a.ttl)
		case a.kind == dns.TypeAAAA:
			six, ttl = a.ips, min(ttl, a.ttl)
		}
	}
	all := append(four, six...)
	if len(all) == 0 {
		return nil, 0, failed
	}
	if unknown {
		ttl = min(ttl, oneFamilyTTL)
	}
	return all, ttl, nil
}

func (d *DNS) lookUpType(ctx context.Context, s Servers, name string, kind uint16) answer {
	records, ttl, err := d.query(ctx, s, name, kind)
	a := answer{kind: kind, ttl: ttl, err: err}
	for _, r := range records {
		switch r := r.(type) {
		case *dns.A:
			a.ips = append(a.ips, r.A.String())
		case *dns.AAAA:
			a.ips = append(a.ips, r.AAAA.String())
		}
	}
	if err == nil && len(a.ips) == 0 {
		a.err = errNoAddress
	}
	return a
}

// query asks the servers in turn for records of a type, and returns the first success
// or NXDOMAIN.
func (d *DNS) query(ctx context.Context, s Servers, name string, kind uint16) ([]dns.RR, time.Duration, error) {
	q := new(dns.Msg)
	q.SetQuestion(name, kind)
	q.SetEdns0(1232, false)
	if len(s.Addresses) == 0 {
		return nil, 0, errors.New("no DNS server is configured")
	}
	var failed, silent error
	first := d.firstServer.Load()
	if s.Rotate {
		first = d.firstServer.Add(1)
	}
	for i := range uint32(max(s.Attempts, 1) * len(s.Addresses)) {
		at := first + i
		in, err := exchange(ctx, q, s.Addresses[at%uint32(len(s.Addresses))], s.Timeout)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, 0, &noAnswerError{err}
		case err != nil:
			silent = err
			d.firstServer.CompareAndSwap(at, at+1) // the next query starts with another server
		case in.Rcode == dns.RcodeSuccess:
			return in.Answer, lowestTTL(in.Answer), nil
		case in.Rcode == dns.RcodeNameError:
			return nil, 0, fmt.Errorf("%w: %w", rcodeError(name, in.Rcode), errNoName)
		default:
			failed = rcodeError(name, in.Rcode)
		}
	}
	if failed == nil {
		return nil, 0, &noAnswerError{silent}
	}
	return nil, 0, failed
}

func rcodeError(name string, code int) error {
	return fmt.Errorf("look up %s: the DNS server says %s", strings.TrimSuffix(name, "."), dns.RcodeToString[code])
}

func lowestTTL(records []dns.RR) time.Duration {
	ttl := uint32(1 << 31)
	for _, r := range records {
		ttl = min(ttl, r.Header().Ttl)
	}
	return time.Duration(ttl) * time.Second
}

// exchange asks one server by UDP, and again by TCP if the answer is truncated. It
// returns at once when ctx ends.
func exchange(ctx context.Context, q *dns.Msg, server string, timeout time.Duration) (*dns.Msg, error) {
	if timeout <= 0 || timeout > maxPerServer {
		timeout = maxPerServer
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	in, err := exchangeBy(ctx, "udp", q, server)
	if err == nil && in.Truncated {
		in, err = exchangeBy(ctx, "tcp", q, server)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the DNS server %s: %w", server, err)
	}
	return in, nil
}

func exchangeBy(ctx context.Context, network string, q *dns.Msg, server string) (*dns.Msg, error) {
	c := &dns.Client{Net: network}
	conn, err := c.DialContext(ctx, server)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()                         // the answer has been read
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // the library ignores ctx while it reads
	in, _, err := c.ExchangeWithConnContext(ctx, q, conn)
	return in, err
}
