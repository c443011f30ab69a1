package discovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/lsm/fiso/link/internal/resilience"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// book is a resolver that returns what the test sets.
type book struct {
	mu    sync.Mutex
	all   []string
	ttl   time.Duration
	err   error
	asked int
	slow  time.Duration
}

func (b *book) Resolve(ctx context.Context) ([]string, time.Duration, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	if b.slow > 0 {
		select {
		case <-time.After(b.slow):
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
	return slices.Clone(b.all), b.ttl, b.err
}

func (b *book) write(all []string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all, b.err = all, err
}

func pick(t *testing.T, e *Endpoints, tried ...string) (string, func(resilience.Outcome)) {
	t.Helper()
	a, done, err := e.Pick(t.Context(), tried)
	if err != nil {
		t.Fatal(err)
	}
	return a, done
}

func TestEndpoints_takeTheLeastBusy(t *testing.T) {
	e := New(Static{"a:1", "b:1", "c:1"})
	defer e.Close()
	busy := map[string]int{}
	var ends []func(resilience.Outcome)
	for range 9 {
		a, done := pick(t, e)
		busy[a]++
		ends = append(ends, done)
	}
	if busy["a:1"] != 3 || busy["b:1"] != 3 || busy["c:1"] != 3 {
		t.Errorf("calls under way: %v", busy)
	}
	for _, done := range ends {
		done(resilience.Success)
	}
	if all, err := e.Status(); err != nil || len(all) != 3 || all[0].InFlight != 0 {
		t.Errorf("%v, %v", all, err)
	}
}

func TestEndpoints_tryAnotherAddressFirst(t *testing.T) {
	e := New(Static{"a:1", "b:1"})
	defer e.Close()
	for range 20 {
		if a, _ := pick(t, e, "a:1"); a != "b:1" {
			t.Fatal("the address that was tried came again, though there is another")
		}
	}
	if a, _ := pick(t, e, "a:1", "b:1"); a != "a:1" {
		t.Errorf("of two that were tried the busier came, %s", a)
	}
}

func TestEndpoints_putAFailingAddressAsideAndTakeItBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(Static{"a:1", "b:1"})
		defer e.Close()
		fail := func() {
			for a := ""; a != "a:1"; {
				var done func(resilience.Outcome)
				a, done = pick(t, e, "b:1")
				done(resilience.Failure)
			}
		}
		for range 3 {
			fail()
		}
		for range 50 {
			if a, done := pick(t, e); a == "a:1" {
				t.Fatal("the address that fails is still taken")
			} else {
				done(resilience.Inconclusive)
			}
		}
		time.Sleep(ejectFirst)
		fail() // one failure ejects it again, and for longer
		time.Sleep(ejectFirst)
		if all, _ := e.Status(); !all[0].Ejected {
			t.Error("it is back as soon as the first time")
		}
		time.Sleep(ejectFirst)
		seen := false
		for range 100 {
			a, done := pick(t, e)
			done(resilience.Success)
			seen = seen || a == "a:1"
		}
		if !seen {
			t.Error("it never came back")
		}
	})
}

func TestEndpoints_followWhatDNSSaysForAsLongAsItSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{all: []string{"a:1", "a:1"}, ttl: 30 * time.Second}
		e := New(b)
		defer e.Close()
		for range 10 {
			if a, _ := pick(t, e); a != "a:1" {
				t.Fatal(a)
			}
		}
		b.write([]string{"b:1"}, nil)
		time.Sleep(29 * time.Second)
		if a, _ := pick(t, e); a != "a:1" || b.asked != 1 {
			t.Errorf("%s after %d look-ups: the answer was not kept", a, b.asked)
		}
		time.Sleep(time.Second)
		pick(t, e) // the old address is used while the look-up runs
		synctest.Wait()
		if a, _ := pick(t, e); a != "b:1" {
			t.Errorf("got %s", a)
		}
	})
}

// UL5: after a time without calls, the first call went to an address whose TTL had
// ended long ago.
func TestEndpoints_useNoAddressLongAfterItsTTL(t *testing.T) {
	for name, test := range map[string]struct {
		rest time.Duration // time without calls after the TTL
		slow time.Duration // duration of the look-up
		err  error
		want string
		took time.Duration
	}{
		"a moment":                   {staleWhileLooking - 1, time.Second, nil, "a:1", 0},
		"longer":                     {staleWhileLooking, time.Second, nil, "b:1", time.Second},
		"an hour":                    {time.Hour, 4 * time.Second, nil, "b:1", 4 * time.Second},
		"an hour, and DNS fails":     {time.Hour, time.Second, errors.New("SERVFAIL"), "a:1", time.Second},
		"an hour, and DNS is silent": {time.Hour, time.Hour, nil, "a:1", lookUpTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &book{all: []string{"a:1"}, ttl: 30 * time.Second}
				e := New(b)
				defer e.Close()
				pick(t, e)
				b.write([]string{"b:1"}, test.err)
				b.slow = test.slow
				time.Sleep(b.ttl + test.rest)
				began := time.Now()
				if a, _ := pick(t, e); a != test.want || time.Since(began) != test.took {
					t.Errorf("%s after %v", a, time.Since(began))
				}
			})
		})
	}
}

// During an outage of DNS, only the first call waits for it.
func TestEndpoints_doNotWaitForADNSThatIsKnownToBeSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{all: []string{"a:1"}, ttl: time.Second}
		e := New(b)
		defer e.Close()
		pick(t, e)
		time.Sleep(time.Minute)
		b.slow = time.Hour
		pick(t, e)
		began := time.Now()
		for time.Since(began) < time.Minute {
			at := time.Now()
			if pick(t, e); !time.Now().Equal(at) {
				t.Fatalf("a call waited %v, %v after the first", time.Since(at), at.Sub(began))
			}
			time.Sleep(time.Second)
		}
	})
}

func TestEndpoints_keepOldAddressesWhileDNSFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{all: []string{"a:1"}, ttl: time.Second}
		e := New(b)
		defer e.Close()
		pick(t, e)
		b.write(nil, errors.New("SERVFAIL"))
		for range 60 {
			time.Sleep(time.Second)
			if a, done := pick(t, e); a != "a:1" {
				t.Fatal(a)
			} else {
				done(resilience.Success)
			}
			synctest.Wait()
		}
		if b.asked > 15 {
			t.Errorf("a failing DNS was asked %d times in a minute", b.asked)
		}
	})
}

// The addresses of a name that no longer exists are dropped: they may belong to
// somebody else by now (https://nvd.nist.gov/vuln/detail/CVE-2012-1033 kept such names alive).
func TestEndpoints_letANameGoThatIsGoneForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{all: []string{"a:1"}, ttl: time.Second}
		e := New(b)
		defer e.Close()
		pick(t, e)
		for range 3 { // the name comes back in time
			b.write(nil, fmt.Errorf("look up a: %w", errNoName))
			for range 40 {
				time.Sleep(time.Second)
				if a, done := pick(t, e); a != "a:1" {
					t.Fatal(a)
				} else {
					done(resilience.Success)
				}
				synctest.Wait()
			}
			b.write([]string{"a:1"}, nil)
			time.Sleep(lookUpRetry + time.Second)
			pick(t, e)
			synctest.Wait()
		}
		b.write(nil, fmt.Errorf("look up a: %w", errNoName))
		began := time.Now()
		for {
			time.Sleep(time.Second)
			if _, _, err := e.Pick(t.Context(), nil); err != nil {
				if !errors.Is(err, errNoName) {
					t.Error(err)
				}
				break
			}
			synctest.Wait()
		}
		if took := time.Since(began); took < goneNameTTL || took > goneNameTTL+10*time.Second {
			t.Errorf("it was let go of after %v", took)
		}
		b.write([]string{"b:1"}, nil)
		time.Sleep(minTTL)
		if a, _ := pick(t, e); a != "b:1" {
			t.Errorf("it is back at %s", a)
		}
	})
}

func TestEndpoints_useNoMoreThanSoManyAddressesForSoLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{ttl: 100 * 365 * 24 * time.Hour}
		for i := range 4000 {
			b.all = append(b.all, fmt.Sprintf("a%d:1", i))
		}
		e := New(b)
		defer e.Close()
		pick(t, e)
		if all, _ := e.Status(); len(all) != maxAddresses {
			t.Errorf("%d of 4000 addresses are used", len(all))
		}
		time.Sleep(maxTTL)
		pick(t, e)
		synctest.Wait()
		if b.asked != 2 {
			t.Errorf("DNS was asked %d times in more than an hour", b.asked)
		}
	})
}

func TestEndpoints_sayWhyThereIsNoAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{err: errors.New("no such host")}
		e := New(b)
		defer e.Close()
		for range 5 {
			if _, _, err := e.Pick(t.Context(), nil); err == nil || err.Error() != "no such host" {
				t.Fatal(err)
			}
		}
		if b.asked != 1 {
			t.Errorf("five calls at once asked %d times", b.asked)
		}
		b.write([]string{"a:1"}, nil)
		time.Sleep(minTTL)
		if _, _, err := e.Pick(t.Context(), nil); err != nil {
			t.Error("it does not recover:", err)
		}
		b.write(nil, nil)
	})
	synctest.Test(t, func(t *testing.T) {
		e := New(&book{})
		defer e.Close()
		if _, _, err := e.Pick(t.Context(), nil); !errors.Is(err, errNoAddressKnown) {
			t.Error(err)
		}
	})
}

func TestEndpoints_doNotOutwaitTheirCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(&book{slow: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := e.Pick(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		began := time.Now()
		e.Close()
		if took := time.Since(began); took != 0 {
			t.Errorf("the end waited %v for a look-up", took)
		}
		if _, _, err := e.Pick(t.Context(), nil); err == nil {
			t.Error("there is an address after the end")
		}
	})
}

// unnamedNow is a resolver whose name no longer exists.
type unnamedNow struct{}

func (unnamedNow) Resolve(context.Context) ([]string, time.Duration, error) {
	return nil, 0, errNoName
}

// UL39: a call that picked while the last address was removed panicked.
func TestEndpoints_aNameThatIsLetGoOfAsCallsPickFailsThem(t *testing.T) {
	e := New(unnamedNow{})
	defer e.Close()
	for range 60_000 { // most of them were needed to hit the race once
		e.mu.Lock()
		e.replace([]string{"192.0.2.1:80"})
		e.expires, e.goneSince, e.usableUntil = time.Time{}, time.Now().Add(-goneNameTTL), time.Now().Add(time.Hour)
		e.mu.Unlock()
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				address, free, err := e.Pick(t.Context(), nil)
				if err == nil {
					free(resilience.Success)
				}
				if address != "192.0.2.1:80" && !errors.Is(err, errNoName) {
					t.Errorf("%q, %v", address, err)
				}
			})
		}
		all.Wait()
		e.wg.Wait() // for the look-up
	}
}
