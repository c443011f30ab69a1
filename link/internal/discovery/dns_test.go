package discovery

import (
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// zone runs a DNS server with these records on its own port, by UDP and TCP, and
// returns its address. Names with the prefix "long." are truncated by UDP, "lost." get
// no answer for AAAA, "slow." a late one, and "silent." none at all.
func zone(t *testing.T, records ...string) string {
	t.Helper()
	var all []dns.RR
	for _, text := range records {
		r, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	answer := func(udp bool) dns.HandlerFunc {
		return func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg).SetReply(q)
			known, six := false, q.Question[0].Qtype == dns.TypeAAAA
			switch kind, _, _ := strings.Cut(q.Question[0].Name, "."); {
			case kind == "silent", kind == "lost" && six:
				return
			case kind == "slow" && six:
				<-time.After(10 * time.Millisecond)
			case kind == "later" && !six:
				<-time.After(10 * time.Millisecond)
			}
			for _, r := range all {
				if strings.EqualFold(r.Header().Name, q.Question[0].Name) {
					known = true
					if r.Header().Rrtype == q.Question[0].Qtype {
						m.Answer = append(m.Answer, r)
					}
				}
			}
			if udp && strings.HasPrefix(q.Question[0].Name, "long.") {
				m.Truncated, m.Answer = true, nil
			}
			if !known || six && strings.Contains(q.Question[0].Name, ".half.") {
				m.Rcode = dns.RcodeNameError
			}
			if strings.HasPrefix(q.Question[0].Name, "broken.") {
				m.Rcode = dns.RcodeServerFailure
			}
			_ = w.WriteMsg(m)
		}
	}
	var up, served sync.WaitGroup
	t.Cleanup(served.Wait) // after the shutdowns below
	for _, s := range []*dns.Server{{Listener: l, Handler: answer(false)}, {PacketConn: u, Handler: answer(true)}} {
		up.Add(1)
		s.NotifyStartedFunc = up.Done
		served.Go(func() { _ = s.ActivateAndServe() })
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	up.Wait()
	return l.Addr().String()
}

func TestDNS_findsAddressesWithTheirTTL(t *testing.T) {
	server := zone(t,
		"crm.example. 30 IN A 192.0.2.1", "crm.example. 20 IN A 192.0.2.2", "crm.example. 60 IN AAAA 2001:db8::1",
		"web.ns.svc.cluster.local. 5 IN A 192.0.2.7", "long.example. 9 IN A 192.0.2.9",
		"_http._tcp.crm.example. 40 IN SRV 1 5 8080 crm.example.", "_http._tcp.crm.example. 40 IN SRV 2 5 9090 spare.example.",
		"_no._tcp.crm.example. 40 IN SRV 1 5 8080 nowhere.invalid.", "broken.example. 1 IN A 192.0.2.3",
	)
	next := &DNS{Servers: Servers{Addresses: []string{"127.0.0.1:1", server}}}
	d := &DNS{Servers: Servers{Addresses: []string{server}, Search: []string{"ns.svc.cluster.local"}, Dots: 5}}
	for name, test := range map[string]struct {
		resolver Resolver
		want     []string
		ttl      time.Duration
	}{
		"A and AAAA":            {d.Host("crm.example", 443), []string{"192.0.2.1:443", "192.0.2.2:443", "[2001:db8::1]:443"}, 20 * time.Second},
		"by a search domain":    {d.Host("web", 80), []string{"192.0.2.7:80"}, 5 * time.Second},
		"a whole name":          {d.Host("crm.example.", 1), []string{"192.0.2.1:1", "192.0.2.2:1", "[2001:db8::1]:1"}, 20 * time.Second},
		"by TCP when truncated": {d.Host("long.example", 80), []string{"192.0.2.9:80"}, 9 * time.Second},
		"SRV, least priority":   {d.SRV("_http._tcp.crm.example"), []string{"192.0.2.1:8080", "192.0.2.2:8080", "[2001:db8::1]:8080"}, 20 * time.Second},
		"an address":            {d.Host("::1", 80), []string{"[::1]:80"}, 365 * 24 * time.Hour},
		"the hosts file":        {d.Host("localhost", 80), []string{"127.0.0.1:80"}, systemTTL},
		"the next server":       {next.Host("crm.example", 443), []string{"192.0.2.1:443", "192.0.2.2:443", "[2001:db8::1]:443"}, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			got, ttl, err := test.resolver.Resolve(t.Context())
			if name == "the hosts file" {
				got = slices.DeleteFunc(got, func(a string) bool { return strings.HasPrefix(a, "[") }) // if the machine has IPv6
			}
			if err != nil || !slices.Equal(got, test.want) || ttl != test.ttl {
				t.Errorf("got %v for %v, %v", got, ttl, err)
			}
		})
	}
	for name, test := range map[string]struct {
		resolver Resolver
		want     string
	}{
		"a name that is not there": {d.Host("nowhere.invalid", 80), "look up nowhere.invalid: "},
		"no SRV records":           {d.SRV("crm.example"), "DNS has no SRV records for crm.example: there is no such name"},
		"no such SRV name":         {d.SRV("_x._tcp.example"), "the DNS server says NXDOMAIN"},
		"SRV of nobody":            {d.SRV("_no._tcp.crm.example"), "look up nowhere.invalid."},
		"a server in trouble":      {d.SRV("broken.example"), "the DNS server says SERVFAIL"},
		"no server at all":         {(&DNS{}).SRV("a.example"), "no DNS server is configured"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := test.resolver.Resolve(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
