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
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// DNS looks names up in the order of the system's resolver: the hosts file, then
// DNS with its search domains, then that resolver itself, which knows the other
// sources of names that the system has. It asks DNS itself because Go's resolver does not tell
// the TTL. It is safe for concurrent use.
type DNS struct {
	Servers
	// System looks up what DNS does not know; nil: net.DefaultResolver.
	System *net.Resolver

	hosts      *followedFile[hosts]   // nil: it is not asked before DNS
	resolvConf *followedFile[Servers] // nil: Servers are given
	hostsFirst atomic.Uint32          // the server that is asked first
}

// Servers are how DNS is asked (resolv.conf).
type Servers struct {
	// Addresses are asked in turn, host:port each.
	Addresses []string
	// Search are the domains that a name with fewer than Dots dots is tried in
	// first.
	Search []string
	Dots   int
	// Timeout is how long a server may take to answer; 0, or more than
	// mostPerServer: mostPerServer.
	Timeout time.Duration
	// Attempts are how often all of them are asked; 0: once.
	Attempts int
	// Rotate has each question begin with another server.
	Rotate bool
}

const (
	// systemTTL is how long an answer without a TTL holds.
	systemTTL = 10 * time.Second
	// hostsTTL is how long one of the hosts file does: as long as in Go's resolver.
	hostsTTL = 5 * time.Second
)

// WithHosts has d look into this hosts file first.
func (d *DNS) WithHosts(path string) *DNS {
	d.hosts = hostsFile(path)
	return d
}

func (d *DNS) servers() Servers {
	if d.resolvConf != nil {
		return d.resolvConf.get()
	}
	return d.Servers
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
	records, ttl, err := s.dns.query(ctx, s.dns.servers(), dns.Fqdn(s.name), dns.TypeSRV)
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

// addresses are A and AAAA of a name: those of the hosts file, or else of DNS, or
// else of the system's resolver.
func (d *DNS) addresses(ctx context.Context, host string) ([]string, time.Duration, error) {
	if ips := d.hosts.get().addresses(host); len(ips) > 0 {
		return slices.Clone(ips), hostsTTL, nil
	}
	sure := true // that there are none
	servers := d.servers()
	if len(servers.Addresses) > 0 && !strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		for _, name := range servers.names(host) {
			ips, ttl, err := d.lookUpBothFamilies(ctx, servers, name)
			var silent *noAnswerError
			switch {
			case err == nil:
				return ips, ttl, nil
			case errors.As(err, &silent):
				// A later name is another host, that must not get what is meant for
				// this one.
				return nil, 0, fmt.Errorf("look up %s: %w", host, err)
			}
			sure = sure && errors.Is(err, errNoName)
		}
	}
	return d.lookUpBySystem(ctx, host, sure)
}

// lookUpBySystem asks the system's resolver. sure says that DNS knows that there is no
// such name.
func (d *DNS) lookUpBySystem(ctx context.Context, host string, sure bool) ([]string, time.Duration, error) {
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
func (s *Servers) names(host string) []string {
	if strings.HasSuffix(host, ".") {
		return []string{host}
	}
	var all []string
	for _, domain := range s.Search {
		if domain = strings.Trim(domain, "."); domain != "" { // "search ." is none
			all = append(all, dns.Fqdn(host+"."+domain))
		}
	}
	whole := dns.Fqdn(host)
	if strings.Count(host, ".") >= s.Dots {
		return append([]string{whole}, all...)
	}
	return append(all, whole)
}
