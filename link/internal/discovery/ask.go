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
	// resolutionDelay is how long the answer of the other family is waited for,
	// once one has come (RFC 8305, section 3).
	resolutionDelay = 50 * time.Millisecond
	// oneFamilyTTL is how long addresses of one family hold at most where nothing
	// is known of the other.
	oneFamilyTTL = 5 * time.Second
)

// noAnswerError is that no server answered.
type noAnswerError struct{ err error }

func (e *noAnswerError) Error() string { return e.err.Error() }

// Unwrap is the last attempt's error.
func (e *noAnswerError) Unwrap() error { return e.err }

// answer is what DNS says of one kind of addresses.
type answer struct {
	kind uint16
	ips  []string
	ttl  time.Duration
	err  error // of a name that has none of the kind: errNoAddress
}

// errNoAddress is that a name is known, and has no address.
var errNoAddress = fmt.Errorf("the name has no address: %w", errNoName)

// lookUpBothFamilies are the addresses of either kind, IPv4 first. Both are asked for at once;
// when one answer has addresses, or says that there is no such name, the other is
// waited for only for a moment, so that one that is lost costs no time.
func (d *DNS) lookUpBothFamilies(ctx context.Context, s Servers, name string) ([]string, time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	kinds := []uint16{dns.TypeA, dns.TypeAAAA}
	answers := make(chan answer, len(kinds))
	asked := make(chan struct{}, len(kinds))
	defer func() {
		cancel()
		for range kinds {
			<-asked // at once: cancel closes their connections
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
			return mergeAnswers(append(got, answer{err: errors.New("late")}))
		}
	}
	return mergeAnswers(got)
}

// isNXDomain reports whether an answer of one kind is that the name has no records of any
// kind. Some servers say so of a name that has addresses of the other kind
// (RFC 4074, section 4.2).
func isNXDomain(err error) bool { return errors.Is(err, errNoName) && !errors.Is(err, errNoAddress) }

// mergeAnswers makes one answer of those of the kinds.
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

// query asks the servers in turn for records of a kind, and is content with the
// first answer that is one.
func (d *DNS) query(ctx context.Context, s Servers, name string, kind uint16) ([]dns.RR, time.Duration, error) {
	q := new(dns.Msg)
	q.SetQuestion(name, kind)
	q.SetEdns0(1232, false)
	if len(s.Addresses) == 0 {
		return nil, 0, errors.New("no DNS server is set up")
	}
	var failed, silent error
	first := d.hostsFirst.Load()
	if s.Rotate {
		first = d.hostsFirst.Add(1)
	}
	for i := range uint32(max(s.Attempts, 1) * len(s.Addresses)) {
		at := first + i
		in, err := exchange(ctx, q, s.Addresses[at%uint32(len(s.Addresses))], s.Timeout)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, 0, &noAnswerError{err}
		case err != nil:
			silent = err
			d.hostsFirst.CompareAndSwap(at, at+1) // the next question need not wait for it, too
		case in.Rcode == dns.RcodeSuccess:
			return in.Answer, leastTTL(in.Answer), nil
		case in.Rcode == dns.RcodeNameError:
			return nil, 0, fmt.Errorf("%w: %w", says(name, in.Rcode), errNoName)
		default:
			failed = says(name, in.Rcode)
		}
	}
	if failed == nil {
		return nil, 0, &noAnswerError{silent}
	}
	return nil, 0, failed
}

func says(name string, code int) error {
	return fmt.Errorf("look up %s: the DNS server says %s", strings.TrimSuffix(name, "."), dns.RcodeToString[code])
}

func leastTTL(records []dns.RR) time.Duration {
	ttl := uint32(1 << 31)
	for _, r := range records {
		ttl = min(ttl, r.Header().Ttl)
	}
	return time.Duration(ttl) * time.Second
}

// exchange asks one server, and again by TCP where its answer is truncated. It
// returns at once when ctx ends.
func exchange(ctx context.Context, q *dns.Msg, server string, timeout time.Duration) (*dns.Msg, error) {
	if timeout <= 0 || timeout > maxPerServer {
		timeout = maxPerServer
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	in, err := over(ctx, "udp", q, server)
	if err == nil && in.Truncated {
		in, err = over(ctx, "tcp", q, server)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the DNS server %s: %w", server, err)
	}
	return in, nil
}

func over(ctx context.Context, network string, q *dns.Msg, server string) (*dns.Msg, error) {
	c := &dns.Client{Net: network}
	conn, err := c.DialContext(ctx, server)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()                         // the answer is read
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // dns does not look at ctx while it reads
	in, _, err := c.ExchangeWithConnContext(ctx, q, conn)
	return in, err
}
