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

// DNS looks names up in the order of the system's resolver: the hosts file, then DNS
// with its search domains, then that resolver itself, which knows other sources of
// names. DNS is queried directly, because Go's resolver does not return the TTL. It is
// safe for concurrent use.
type DNS struct {
	Servers
	// System looks up names that DNS does not know; nil: net.DefaultResolver.
	System *net.Resolver

	hosts       *followedFile[hosts]   // nil: not used before DNS
	resolvConf  *followedFile[Servers] // nil: Servers is used
	firstServer atomic.Uint32          // index of the server that is asked first, modulo their number
}

// Servers says how DNS is queried (resolv.conf).
type Servers struct {
	// Addresses are asked in turn, host:port each.
	Addresses []string
	// Search are the domains to append first to a name with fewer than Dots dots.
	Search []string
	Dots   int
	// Timeout is how long to wait for the answer of a server; 0, or more than
	// maxPerServer: maxPerServer.
	Timeout time.Duration
	// Attempts is how often all servers are asked; 0: once.
	Attempts int
	// Rotate makes each query begin with another server.
	Rotate bool
}

const (
	// systemTTL is the TTL of answers that have none.
	systemTTL = 10 * time.Second
	// hostsTTL is the TTL of answers from the hosts file, as in Go's resolver.
	hostsTTL = 5 * time.Second
)

// WithHosts makes d look into this hosts file first.
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

// addresses returns the A and AAAA addresses of a name: from the hosts file, or else
// DNS, or else the system's resolver.
func (d *DNS) addresses(ctx context.Context, host string) ([]string, time.Duration, error) {
	if ips := d.hosts.get().addresses(host); len(ips) > 0 {
		return slices.Clone(ips), hostsTTL, nil
	}
	nonexistent := true // DNS says so of every name
	servers := d.servers()
	if len(servers.Addresses) > 0 && !strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		for _, name := range servers.names(host) {
			ips, ttl, err := d.lookUpBothFamilies(ctx, servers, name)
			var silent *noAnswerError
			switch {
			case err == nil:
				return ips, ttl, nil
			case errors.As(err, &silent):
				// A later name is another host, which must not get the calls for this
				// one.
				return nil, 0, fmt.Errorf("look up %s: %w", host, err)
			}
			nonexistent = nonexistent && errors.Is(err, errNoName)
		}
	}
	return d.lookUpBySystem(ctx, host, nonexistent)
}

// lookUpBySystem asks the system's resolver. nonexistent says that, according to DNS,
// the name does not exist.
func (d *DNS) lookUpBySystem(ctx context.Context, host string, nonexistent bool) ([]string, time.Duration, error) {
	system := d.System
	if system == nil {
		system = net.DefaultResolver
	}
	found, err := system.LookupNetIP(ctx, "ip", host)
	if err != nil {
		var failed *net.DNSError
		if errors.As(err, &failed) && failed.IsNotFound && nonexistent {
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

// names returns the full names to try for host, in order (search and ndots of
// resolv.conf).
func (s *Servers) names(host string) []string {
	if strings.HasSuffix(host, ".") {
		return []string{host}
	}
	var all []string
	for _, domain := range s.Search {
		if domain = strings.Trim(domain, "."); domain != "" { // "search ." names no domain
			all = append(all, dns.Fqdn(host+"."+domain))
		}
	}
	whole := dns.Fqdn(host)
	if strings.Count(host, ".") >= s.Dots {
		return append([]string{whole}, all...)
	}
	return append(all, whole)
}
