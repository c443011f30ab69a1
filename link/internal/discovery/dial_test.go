package discovery

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errRefused = errors.New("refused")

// dialer connects or fails as configured for each address.
type dialer struct {
	mu    sync.Mutex
	began map[string]time.Time
	open  int
	do    map[string]time.Duration // how long it takes; below 0: it fails after that; no entry: for ever
}

type opened struct {
	net.Conn
	address string
	d       *dialer
}

func (c *opened) Close() error {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.d.open--
	return nil
}

func (d *dialer) dial(ctx context.Context, _, address string) (net.Conn, error) {
	d.mu.Lock()
	d.began[address] = time.Now()
	d.mu.Unlock()
	took, ok := d.do[address]
	if !ok {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	<-time.After(max(took, -took)) // even if nobody waits any more, like the kernel
	if took < 0 {
		return nil, errRefused
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open++
	return &opened{address: address, d: d}, nil
}

const (
	six  = "[2001:db8::1]:80"
	four = "192.0.2.1:80"
)

func known(t *testing.T, d *dialer, addresses ...string) *Endpoints {
	t.Helper()
	e := New(Static(addresses))
	e.dial = d.dial
	if _, done, err := e.Pick(t.Context(), nil); err != nil {
		t.Fatal(err)
	} else {
		done(2) // neither success nor failure
	}
	return e
}

// RFC 8305: an unreachable address costs a short time and not the whole connect
// timeout; the losing connection is closed.
func TestDial_racesTheOtherFamily(t *testing.T) {
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		addresses []string
		do        map[string]time.Duration
		got       string // "": an error
		took      time.Duration
		second    time.Duration // when the other address was dialled; 0: never
	}{
		"the first is fast":                {[]string{six, four}, map[string]time.Duration{six: 100 * ms, four: 0}, six, 100 * ms, 0},
		"the first is a black hole":        {[]string{six, four}, map[string]time.Duration{four: 30 * ms}, four, 280 * ms, 250 * ms},
		"the first is slow, and wins":      {[]string{six, four}, map[string]time.Duration{six: 260 * ms, four: 100 * ms}, six, 260 * ms, 250 * ms},
		"the first is slow, and loses":     {[]string{six, four}, map[string]time.Duration{six: 500 * ms, four: 30 * ms}, four, 280 * ms, 250 * ms},
		"the first fails":                  {[]string{six, four}, map[string]time.Duration{six: -10 * ms, four: 30 * ms}, four, 40 * ms, 10 * ms},
		"the first fails late":             {[]string{six, four}, map[string]time.Duration{six: -260 * ms, four: 30 * ms}, four, 280 * ms, 250 * ms},
		"both fail":                        {[]string{six, four}, map[string]time.Duration{six: -10 * ms, four: -30 * ms}, "", 40 * ms, 10 * ms},
		"the second fails, not waited for": {[]string{six, four}, map[string]time.Duration{six: 400 * ms, four: -30 * ms}, six, 400 * ms, 250 * ms},
		"both are black holes":             {[]string{six, four}, nil, "", time.Second, 250 * ms},
		"one family":                       {[]string{six, "[2001:db8::2]:80"}, map[string]time.Duration{"[2001:db8::2]:80": 0}, "", time.Second, 0},
		"one address":                      {[]string{six}, map[string]time.Duration{six: 300 * ms}, six, 300 * ms, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &dialer{began: map[string]time.Time{}, do: test.do}
				e := known(t, d, test.addresses...)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				began := time.Now()
				c, err := e.Dial(ctx, "tcp", six)
				took := time.Since(began)
				got := ""
				if err == nil {
					got = c.(*opened).address
				}
				if got != test.got || took != test.took {
					t.Errorf("%q %v after %v", got, err, took)
				}
				e.Close() // waits for the slower attempt
				if at, ok := d.began[four]; ok != (test.second > 0) || ok && at.Sub(began) != test.second {
					t.Errorf("the other was tried %v: after %v", ok, at.Sub(began))
				}
				want := 0
				if got != "" {
					want = 1
				}
				if d.open != want {
					t.Errorf("%d connections are open, not %d", d.open, want)
				}
			})
		})
	}
}

func TestDial_endsWithItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := known(t, &dialer{began: map[string]time.Time{}}, six, four)
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(300*time.Millisecond, func() { cancel(errRefused) })
		if _, err := e.Dial(ctx, "tcp", six); !errors.Is(err, errRefused) {
			t.Error(err)
		}
		e.Close()
	})
}

// A family that lost is not tried first for every connection. A host name is left to
// net.Dialer, which does the same.
func TestDial_remembersWhatLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dialer{began: map[string]time.Time{}, do: map[string]time.Duration{four: 0, "a:80": 0}}
		e := known(t, d, six, four)
		if _, err := e.Dial(t.Context(), "tcp", six); err != nil {
			t.Fatal(err)
		}
		for range 50 {
			address, done, err := e.Pick(t.Context(), nil)
			if err != nil || address != four {
				t.Fatal(address, err)
			}
			done(0) // a success
		}
		if address, _, _ := e.Pick(t.Context(), []string{four}); address != six {
			t.Error("what was slow is not picked where the other was tried:", address)
		}
		<-time.After(slowPenalty)
		seen := map[string]bool{}
		for range 100 {
			address, _, _ := e.Pick(t.Context(), nil)
			seen[address] = true
		}
		if !seen[six] {
			t.Error("it never comes back")
		}
		if c, err := e.Dial(t.Context(), "tcp", "a:80"); err != nil || c.(*opened).address != "a:80" {
			t.Error(c, err)
		}
		e.Close()
	})
}

// After a failure, an address of the other family is preferred to another one of the
// same.
func TestPick_alternatesFamilies(t *testing.T) {
	e := New(Static{six, "[2001:db8::2]:80", four})
	defer e.Close()
	for range 20 {
		address, _, err := e.Pick(t.Context(), []string{six})
		if err != nil || netip.MustParseAddrPort(address).Addr().Is6() {
			t.Fatal(address, err)
		}
	}
}

// On real sockets, except for the unreachable address, which is simulated: loopback has
// none.
func TestDial_reachesIPv4BesideADeadIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // the test is over
	var dead sync.Map
	dead.Store("[::1]:9", true)
	e := New(Static{"[::1]:9", l.Addr().String()})
	e.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if _, ok := dead.Load(address); ok {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	if _, _, err := e.Pick(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	c, err := e.Dial(t.Context(), "tcp", "[::1]:9")
	if err != nil || c.RemoteAddr().String() != l.Addr().String() {
		t.Fatal(c, err)
	}
	e.Close()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Error("the winner was closed with the loser:", err)
	}
	_ = c.Close() // the test is over
}
