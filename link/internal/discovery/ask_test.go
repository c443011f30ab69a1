package discovery

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// UL5: a lost answer for one family cost two seconds, though the answer for the other
// had arrived. The addresses are valid only for a short time, so that the other family
// is asked for again.
func TestDNS_waitsOnlyAMomentForTheOtherFamily(t *testing.T) {
	server := zone(t, "lost.example. 300 IN A 192.0.2.1", "slow.example. 300 IN A 192.0.2.2", "slow.example. 300 IN AAAA 2001:db8::2")
	d := &DNS{Servers: Servers{Addresses: []string{server}}}
	began := time.Now()
	all, ttl, err := d.Host("lost.example", 80).Resolve(t.Context())
	if err != nil || !slices.Equal(all, []string{"192.0.2.1:80"}) || ttl != oneFamilyTTL {
		t.Errorf("%v for %v, %v", all, ttl, err)
	}
	if took := time.Since(began); took < resolutionDelay || took > maxPerServer/2 {
		t.Errorf("it took %v", took)
	}
	want := []string{"192.0.2.2:80", "[2001:db8::2]:80"}
	for range 50 { // on a busy machine, an answer may be later than resolutionDelay
		if all, ttl, err = d.Host("slow.example", 80).Resolve(t.Context()); err != nil || slices.Equal(all, want) {
			break
		}
	}
	if err != nil || !slices.Equal(all, want) || ttl != 300*time.Second {
		t.Errorf("%v for %v, %v: the moment is not waited for", all, ttl, err)
	}
}

// UL5: if the server of a name in the search list is silent, no later name is used,
// because it is another host.
func TestDNS_takesNoLaterNameWhereAnEarlierOneIsNotAnswered(t *testing.T) {
	server := zone(t, "silent.example. 1 IN A 192.0.2.1", "silent. 1 IN A 192.0.2.2")
	d := &DNS{Servers: Servers{Addresses: []string{server}, Search: []string{"example"}, Dots: 1, Timeout: 20 * time.Millisecond}}
	all, _, err := d.Host("silent", 80).Resolve(t.Context())
	if err == nil || errors.Is(err, errNoName) || !strings.HasPrefix(err.Error(), "look up silent: ask the DNS server "+server+": ") {
		t.Errorf("%v, %v", all, err)
	}
}

// UL33: a server that had no AAAA and answered NXDOMAIN (RFC 4074, section 4.2) sent
// calls to a later name of the search list, which is another host.
func TestDNS_takesANameThatHasOneKindOfAddresses(t *testing.T) {
	server := zone(t, "soon.half. 9 IN A 192.0.2.1", "later.half. 9 IN A 192.0.2.1", "soon.other. 9 IN A 192.0.2.2", "later.other. 9 IN A 192.0.2.2")
	d := &DNS{Servers: Servers{Addresses: []string{server}, Search: []string{"half", "other"}, Dots: 1}}
	for name, host := range map[string]string{"its addresses come first or second": "soon", "they come second": "later"} {
		t.Run(name, func(t *testing.T) {
			var all []string
			var ttl time.Duration
			var err error
			for range 50 { // on a busy machine, an answer may be later than resolutionDelay
				if all, ttl, err = d.Host(host, 80).Resolve(t.Context()); slices.Equal(all, []string{"192.0.2.1:80"}) {
					break
				}
			}
			if err != nil || !slices.Equal(all, []string{"192.0.2.1:80"}) || ttl != 9*time.Second {
				t.Errorf("%v for %v, %v", all, ttl, err)
			}
		})
	}
	began := time.Now()
	if _, _, err := d.Host("lost.nowhere.", 80).Resolve(t.Context()); err == nil || time.Since(began) > maxPerServer/2 {
		t.Errorf("%v after %v: that there is no such name was known", err, time.Since(began))
	}
}

func TestDNS_knowsANameWithoutAddressesFromOneThatIsNot(t *testing.T) {
	server := zone(t, "text.example. 1 IN TXT nothing", "text.there. 1 IN A 192.0.2.4", "four.example. 9 IN A 192.0.2.5")
	d := &DNS{Servers: Servers{Addresses: []string{server}, Search: []string{".", "example", "there."}, Dots: 1}}
	all, _, err := d.Host("text", 80).Resolve(t.Context()) // the system's resolver goes on, too
	if err != nil || !slices.Equal(all, []string{"192.0.2.4:80"}) {
		t.Errorf("%v, %v", all, err)
	}
	all, ttl, err := d.Host("four", 80).Resolve(t.Context())
	if err != nil || !slices.Equal(all, []string{"192.0.2.5:80"}) || ttl != 9*time.Second {
		t.Errorf("%v for %v, %v: that there is no AAAA was known", all, ttl, err)
	}
}

// Only the first query waits for a silent server. The attempts of resolv.conf cover all
// servers, and rotate distributes queries.
func TestDNS_asksServersInTurn(t *testing.T) {
	server := zone(t, "lost.example. 30 IN A 192.0.2.1", "silent.example. 30 IN A 192.0.2.1")
	const timeout = 300 * time.Millisecond
	deaf := deafServer(t)
	d := &DNS{Servers: Servers{Addresses: []string{deaf, server}, Timeout: timeout}}
	if all, _, err := d.Host("lost.example", 80).Resolve(t.Context()); err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	began := time.Now()
	if _, _, err := d.Host("lost.example", 80).Resolve(t.Context()); err != nil || time.Since(began) >= timeout {
		t.Errorf("%v after %v: the silent server was asked first again", err, time.Since(began))
	}
	d = &DNS{Servers: Servers{Addresses: []string{deaf}, Timeout: timeout / 10, Attempts: 3}}
	began = time.Now()
	if _, _, err := d.SRV("lost.example").Resolve(t.Context()); err == nil || time.Since(began) < 3*timeout/10 {
		t.Errorf("%v after %v: it was not asked three times", err, time.Since(began))
	}
	d = &DNS{Servers: Servers{Addresses: []string{"127.0.0.1:1", server}, Rotate: true}}
	for range 2 {
		at := d.firstServer.Load()
		if _, _, err := d.Host("lost.example", 80).Resolve(t.Context()); err != nil || d.firstServer.Load() < at+2 {
			t.Errorf("%v, and two questions moved the first server from %d to %d", err, at, d.firstServer.Load())
		}
	}
}

func TestDNS_endsWithItsCaller(t *testing.T) {
	d := &DNS{Servers: Servers{Addresses: []string{deafServer(t)}}}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	began := time.Now()
	if _, _, err := d.Host("a.example", 80).Resolve(ctx); err == nil || time.Since(began) > maxPerServer/2 {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

// deafServer receives queries and never answers.
func deafServer(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // the test is over
	return c.LocalAddr().String()
}
