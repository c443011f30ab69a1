package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// DNS looks names up, and keeps to their TTL, which Go's own resolver does not
// tell. Names that DNS does not know are asked of that resolver too: it knows
// the hosts file, and whatever else the system is set up for.
type DNS struct {
	// Servers are asked in turn, host:port each.
	Servers []string
	// Search are the domains that a name with fewer than Dots dots is tried in
	// first.
	Search []string
	Dots   int
	// System looks up what DNS does not know; nil: net.DefaultResolver.
	System *net.Resolver
}

// systemTTL is how long an answer without a TTL holds.
const systemTTL = 10 * time.Second

// SystemDNS is the DNS that /etc/resolv.conf sets up. Without one, only the
// system's resolver is asked.
func SystemDNS() *DNS {
	c, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil {
		return &DNS{}
	}
	d := &DNS{Search: c.Search, Dots: c.Ndots}
	for _, s := range c.Servers {
		d.Servers = append(d.Servers, net.JoinHostPort(s, c.Port))
	}
	return d
}

// Host resolves a host's addresses, each with the port.
func (d *DNS) Host(host string, port int) Resolver { return &hostResolver{d, host, strconv.Itoa(port)} }

// SRV resolves SRV records: the targets of the lowest priority, with their ports.
func (d *DNS) SRV(name string) Resolver { return &srvResolver{d, name} }

type hostResolver struct {
	dns        *DNS
	host, port string
}

func (h *hostResolver) Resolve(ctx context.Context) ([]string, time.Duration, error) {
	if ip, err := netip.ParseAddr(h.host); err == nil {
		return []string{net.JoinHostPort(ip.String(), h.port)}, 365 * 24 * time.Hour, nil
	}
	ips, ttl, err := h.dns.addresses(ctx, h.host)
	if err != nil {
		return nil, 0, err
	}
	all := make([]string, len(ips))
	for i, ip := range ips {
		all[i] = net.JoinHostPort(ip, h.port)
	}
	return all, ttl, nil
}

type srvResolver struct {
	dns  *DNS
	name string
}

func (s *srvResolver) Resolve(ctx context.Context) ([]string, time.Duration, error) {
	records, ttl, err := s.dns.ask(ctx, dns.Fqdn(s.name), dns.TypeSRV)
	if err != nil {
		return nil, 0, err
	}
	var srvs []*dns.SRV
	for _, r := range records {
		if srv, ok := r.(*dns.SRV); ok && srv.Target != "." {
			srvs = append(srvs, srv)
		}
	}
	if len(srvs) == 0 {
		return nil, 0, fmt.Errorf("DNS has no SRV records for %s: %w", s.name, errNoName)
	}
	least := slices.MinFunc(srvs, func(a, b *dns.SRV) int { return int(a.Priority) - int(b.Priority) }).Priority
	var all []string
	var failed error
	for _, srv := range srvs {
		if srv.Priority != least {
			continue
		}
		ips, t, err := s.dns.addresses(ctx, srv.Target)
		if err != nil {
			failed = err
			continue
		}
		ttl = min(ttl, t)
		for _, ip := range ips {
			all = append(all, net.JoinHostPort(ip, strconv.Itoa(int(srv.Port))))
		}
	}
	if len(all) == 0 {
		return nil, 0, failed
	}
	return all, ttl, nil
}

// addresses are A and AAAA of a name, by DNS or else by the system.
func (d *DNS) addresses(ctx context.Context, host string) ([]string, time.Duration, error) {
	sure := true // that there are none
	if len(d.Servers) > 0 && !strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		for _, name := range d.names(host) {
			ips, ttl, known := d.both(ctx, name)
			if len(ips) > 0 {
				return ips, ttl, nil
			}
			sure = sure && known
		}
	}
	system := d.System
	if system == nil {
		system = net.DefaultResolver
	}
	found, err := system.LookupNetIP(ctx, "ip", host)
	if err != nil {
		var failed *net.DNSError
		if errors.As(err, &failed) && failed.IsNotFound && sure {
			return nil, 0, fmt.Errorf("look up %s: %w", host, errNoName)
		}
		if failed != nil {
			return nil, 0, fmt.Errorf("look up %s: %s", host, failed.Err)
		}
		return nil, 0, fmt.Errorf("look up %s: %w", host, err)
	}
	ips := make([]string, len(found))
	for i, ip := range found {
		ips[i] = ip.Unmap().String()
	}
	return ips, systemTTL, nil
}

// names are what a name may mean, in order (resolv.conf's search and ndots).
func (d *DNS) names(host string) []string {
	if strings.HasSuffix(host, ".") {
		return []string{host}
	}
	var all []string
	for _, domain := range d.Search {
		all = append(all, dns.Fqdn(host+"."+domain))
	}
	whole := dns.Fqdn(host)
	if strings.Count(host, ".") >= d.Dots {
		return append([]string{whole}, all...)
	}
	return append(all, whole)
}

// both are the addresses of either kind, IPv4 first. known says that DNS has
// answered, be it that there are none.
func (d *DNS) both(ctx context.Context, name string) (ips []string, ttl time.Duration, known bool) {
	type answer struct {
		ips   []string
		ttl   time.Duration
		known bool
	}
	kinds := []uint16{dns.TypeA, dns.TypeAAAA}
	answers := make([]chan answer, len(kinds))
	for i, kind := range kinds {
		answers[i] = make(chan answer, 1)
		go func() {
			var a answer
			records, ttl, err := d.ask(ctx, name, kind)
			a.known = err == nil || errors.Is(err, errNoName)
			if err == nil {
				a.ttl = ttl
				for _, r := range records {
					switch r := r.(type) {
					case *dns.A:
						a.ips = append(a.ips, r.A.String())
					case *dns.AAAA:
						a.ips = append(a.ips, r.AAAA.String())
					}
				}
			}
			answers[i] <- a
		}()
	}
	ttl, known = time.Duration(1<<63-1), true
	for _, c := range answers {
		a := <-c
		if len(a.ips) > 0 {
			ips, ttl = append(ips, a.ips...), min(ttl, a.ttl)
		}
		known = known && a.known
	}
	return ips, ttl, known
}

// ask asks the servers in turn for records of a kind, and is content with the
// first answer that is one. A truncated one is asked for again by TCP.
func (d *DNS) ask(ctx context.Context, name string, kind uint16) ([]dns.RR, time.Duration, error) {
	q := new(dns.Msg)
	q.SetQuestion(name, kind)
	q.SetEdns0(1232, false)
	err := errors.New("no DNS server is set up")
	for _, server := range d.Servers {
		var in *dns.Msg
		if in, err = exchange(ctx, q, server); err != nil {
			continue
		}
		if in.Rcode != dns.RcodeSuccess {
			err = fmt.Errorf("look up %s: the DNS server says %s", strings.TrimSuffix(name, "."), dns.RcodeToString[in.Rcode])
			if in.Rcode == dns.RcodeNameError {
				return nil, 0, fmt.Errorf("%w: %w", err, errNoName)
			}
			continue
		}
		ttl := uint32(1 << 31)
		for _, r := range in.Answer {
			ttl = min(ttl, r.Header().Ttl)
		}
		return in.Answer, time.Duration(ttl) * time.Second, nil
	}
	return nil, 0, err
}

func exchange(ctx context.Context, q *dns.Msg, server string) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	in, _, err := new(dns.Client).ExchangeContext(ctx, q, server)
	if err == nil && in.Truncated {
		in, _, err = (&dns.Client{Net: "tcp"}).ExchangeContext(ctx, q, server)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the DNS server %s: %w", server, err)
	}
	return in, nil
}
