package resilience

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func breaker(change ...func(*BreakerConfig)) *Breaker {
	cfg := BreakerConfig{FailureThreshold: 3, SuccessThreshold: 2, ResetTimeout: 30 * time.Second, MinRequests: 10}
	for _, c := range change {
		c(&cfg)
	}
	return NewBreaker(cfg)
}

// attempt makes one attempt with that outcome, and reports whether it was allowed.
func attempt(b *Breaker, o Outcome) bool {
	p, _, ok := b.Allow()
	if ok {
		p.Done(o)
	}
	return ok
}

func TestBreaker_opensAfterFailuresInARow(t *testing.T) {
	b := breaker()
	for _, o := range []Outcome{Failure, Failure, Success, Failure, Failure, Inconclusive} {
		if !attempt(b, o) {
			t.Fatal("it opened too early")
		}
	}
	attempt(b, Failure)
	if _, wait, ok := b.Allow(); ok || wait <= 0 || wait > 30*time.Second || b.State() != Open {
		t.Errorf("after three failures in a row: %v, wait %v, %v", ok, wait, b.State())
	}
}

func TestBreaker_closesAfterTrialsThatSucceed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes []string
		b := breaker(func(c *BreakerConfig) {
			c.Changed = func(from, to State) { changes = append(changes, fmt.Sprintf("%v to %v", from, to)) }
		})
		for range 3 {
			attempt(b, Failure)
		}
		time.Sleep(29 * time.Second)
		if attempt(b, Success) {
			t.Error("it let a call through before the reset timeout")
		}
		time.Sleep(time.Second)
		if b.State() != HalfOpen || !attempt(b, Failure) || b.State() != Open {
			t.Error("a failed trial does not open it again")
		}
		time.Sleep(30 * time.Second)
		if !attempt(b, Success) || b.State() != HalfOpen || !attempt(b, Success) || b.State() != Closed {
			t.Error("two good trials do not close it")
		}
		want := []string{"closed to open", "open to half-open", "half-open to open", "open to half-open", "half-open to closed"}
		if !slices.Equal(changes, want) {
			t.Errorf("told of %q", changes)
		}
	})
}

// L12: an inconclusive trial returns its permit; otherwise the breaker would stay
// half-open forever: https://github.com/getnora-io/nora/issues/607.
func TestBreaker_takesTheTrialsPlaceBackWhateverItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker()
		for range 3 {
			attempt(b, Failure)
		}
		time.Sleep(30 * time.Second)
		for range 100 {
			if !attempt(b, Inconclusive) {
				t.Fatal("a cancelled trial kept its place")
			}
		}
	})
}

// L12: https://github.com/sony/gobreaker/issues/53
func TestBreaker_boundsTrialsUnderRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker()
		for range 3 {
			attempt(b, Failure)
		}
		time.Sleep(30 * time.Second)
		var all sync.WaitGroup
		var mu sync.Mutex
		var through []Permit
		for range 100 {
			all.Go(func() {
				if p, _, ok := b.Allow(); ok {
					mu.Lock()
					through = append(through, p)
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if len(through) != 2 {
			t.Errorf("%d trials at once", len(through))
		}
	})
}

// An attempt that began before the circuit opened is not a trial.
func TestBreaker_takesNoOutcomeOfAnEarlierPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker()
		late, _, _ := b.Allow()
		later, _, _ := b.Allow()
		for range 3 {
			attempt(b, Failure)
		}
		time.Sleep(30 * time.Second)
		first, _, _ := b.Allow()
		late.Done(Success)
		later.Done(Failure)
		if b.State() != HalfOpen {
			t.Errorf("it is %v", b.State())
		}
		first.Done(Success)
		if !attempt(b, Success) || b.State() != Closed {
			t.Error("the trials do not count")
		}
	})
}

func TestBreaker_opensByRatioOfTheLastWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker(func(c *BreakerConfig) { c.FailureRatio = 0.5 })
		for i := range 9 {
			attempt(b, []Outcome{Failure, Success}[i%2])
		}
		if b.State() != Closed {
			t.Error("it opened before there were enough outcomes")
		}
		time.Sleep(31 * time.Second) // the whole window is over
		for range 6 {
			attempt(b, Success)
		}
		for range 5 {
			attempt(b, Failure)
		}
		if b.State() != Closed {
			t.Error("five of eleven opened it")
		}
		if attempt(b, Failure); b.State() != Open {
			t.Error("six of twelve did not open it")
		}
	})
}

func TestBreaker_ofNobodyLetsAllThrough(t *testing.T) {
	var b *Breaker
	if !attempt(b, Failure) || b.State() != Closed {
		t.Error("no breaker, and it breaks")
	}
}

// L12: a waiting retry counts: https://github.com/envoyproxy/envoy/issues/30205.
func TestBudget_countsRetriesThatWait(t *testing.T) {
	b := NewBudget(0.2)
	for range 100 {
		b.CallBegan()
		defer b.CallEnded()
	}
	var back []func()
	for {
		give := b.TryRetry()
		if give == nil {
			break
		}
		if back = append(back, give); len(back) > 100 {
			t.Fatal("there is no end to it")
		}
	}
	if len(back) != 20 {
		t.Errorf("%d retries for 100 calls", len(back))
	}
}

func TestBudget_isAShareOfTheLastTenSecondsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(0.1)
		for range 100 {
			b.CallBegan()
			b.CallEnded()
		}
		taken := 0
		for range 50 { // one after the other, so none waits at the next request
			hold := []func(){b.TryRetry(), b.TryRetry(), b.TryRetry(), b.TryRetry()}
			for _, give := range hold {
				if give != nil {
					taken++
					give()
				}
			}
		}
		if taken < 10 || taken > 3*50+10 {
			t.Errorf("%d retries in ten seconds of 100 calls", taken)
		}
		time.Sleep(11 * time.Second)
		give := b.TryRetry()
		if give == nil {
			t.Fatal("three at once are always allowed")
		}
		give()
	})
}

func TestBudget_ofNothingAllowsNone(t *testing.T) {
	if NewBudget(0).TryRetry() != nil {
		t.Error("a retry was allowed")
	}
}

func TestRate_saysWhenTheNextCallMayCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRate(10, 2)
		for range 2 {
			if _, ok := r.Allow(); !ok {
				t.Fatal("the burst was refused")
			}
		}
		for range 5 { // a refused call uses nothing up
			if wait, ok := r.Allow(); ok || wait != 100*time.Millisecond {
				t.Fatalf("wait %v, %v", wait, ok)
			}
		}
		time.Sleep(100 * time.Millisecond)
		if _, ok := r.Allow(); !ok {
			t.Error("it said when, and refused then")
		}
	})
}

func TestRate_hasABurstOfOneSecondWhereNoneIsGiven(t *testing.T) {
	r, n := NewRate(2.5, 0), 0
	for ; n < 10; n++ {
		if _, ok := r.Allow(); !ok {
			break
		}
	}
	if n != 3 {
		t.Errorf("a burst of %d", n)
	}
	if _, ok := (*Rate)(nil).Allow(); !ok {
		t.Error("no rate, and it limits")
	}
}

func TestConcurrency_isBoundedUnderRace(t *testing.T) {
	c := NewConcurrency(5)
	var all sync.WaitGroup
	var mu sync.Mutex
	in := 0
	for range 100 {
		all.Go(func() {
			if c.TryAcquire() {
				mu.Lock()
				in++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if in > 5 || in == 0 || c.InFlight() != in {
		t.Errorf("%d are in, it counts %d", in, c.InFlight())
	}
	c.Release()
	if !c.TryAcquire() {
		t.Error("a place that was left is not free")
	}
}

// UL18: a path that always fails does not take its target away from the others.
func TestBreaker_onePathAloneDoesNotOpenItWhileOthersAreWell(t *testing.T) {
	const good, bad, other = 1, 2, 3
	type outcome struct {
		of    uint64
		o     Outcome
		after time.Duration
	}
	for name, test := range map[string]struct {
		outcomes []outcome
		open     bool
	}{
		"no other path is known":             {[]outcome{{bad, Failure, 0}, {bad, Failure, 0}, {bad, Failure, 0}}, true},
		"it was well itself":                 {[]outcome{{bad, Success, 0}, {bad, Failure, 0}, {bad, Failure, 0}, {bad, Failure, 0}}, true},
		"another one is well":                {[]outcome{{good, Success, 0}, {bad, Failure, 0}, {bad, Failure, 0}, {bad, Failure, 0}, {bad, Failure, 0}}, false},
		"another one was, before itself":     {[]outcome{{good, Success, 0}, {bad, Success, 0}, {bad, Success, 0}, {bad, Failure, 0}, {bad, Failure, 0}, {bad, Failure, 0}}, false},
		"another one was, long ago":          {[]outcome{{good, Success, 0}, {bad, Failure, otherPathSuccessTTL}, {bad, Failure, 0}, {bad, Failure, 0}}, true},
		"another one was, and fails as well": {[]outcome{{good, Success, 0}, {bad, Failure, 0}, {bad, Failure, 0}, {good, Failure, 0}}, true},
		"a third one fails as well":          {[]outcome{{good, Success, 0}, {bad, Failure, 0}, {bad, Failure, 0}, {other, Failure, 0}}, true},
		"the target fails as well":           {[]outcome{{good, Success, 0}, {bad, Failure, 0}, {bad, Failure, 0}, {0, Failure, 0}}, true},
		"the target fails":                   {[]outcome{{good, Success, 0}, {0, Failure, 0}, {0, Failure, 0}, {0, Failure, 0}}, true},
		"the target failed before it":        {[]outcome{{good, Success, 0}, {0, Failure, 0}, {bad, Failure, 0}, {bad, Failure, 0}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := breaker()
				for _, o := range test.outcomes {
					time.Sleep(o.after)
					p, _, ok := b.Allow()
					if !ok {
						t.Fatal("it opened too early")
					}
					p.DoneAt(o.o, o.of)
				}
				if open := b.State() == Open; open != test.open {
					t.Errorf("open: %v", open)
				}
			})
		})
	}
}

// UL18: a path that always fails does not keep the circuit from closing when the target
// works again. UL36: the change to half-open is reported even if the first call leaves
// its trial to others.
func TestBreaker_aPathThatFailsATrialLeavesTheNextToOthers(t *testing.T) {
	const good, bad = 1, 2
	for name, test := range map[string]struct {
		known    bool // another path
		failedAt uint64
		allowed  bool
		later    bool // resetTimeout later
	}{
		"others are there":       {true, bad, false, true},
		"there are no others":    {false, bad, true, true},
		"it was the target":      {true, 0, true, true},
		"it was another's trial": {true, good, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				last := Closed
				b := breaker(func(c *BreakerConfig) { c.SuccessThreshold, c.Changed = 1, func(_, to State) { last = to } })
				if test.known {
					p, _, _ := b.AllowAt(good)
					p.DoneAt(Success, good)
				}
				for range 3 {
					attempt(b, Failure)
				}
				time.Sleep(30 * time.Second)
				p, _, _ := b.AllowAt(test.failedAt)
				p.DoneAt(Failure, test.failedAt)
				time.Sleep(30 * time.Second)
				may := func() bool {
					p, wait, ok := b.AllowAt(bad)
					if p.Done(Inconclusive); !ok && wait != time.Second {
						t.Errorf("it is to come again after %v", wait)
					}
					return ok
				}
				if got := may(); got != test.allowed {
					t.Errorf("it may make a trial: %v", got)
				}
				if last != HalfOpen {
					t.Errorf("the last change that was told was to %v", last)
				}
				time.Sleep(30 * time.Second)
				if got := may(); got != test.later {
					t.Errorf("later it may make a trial: %v", got)
				}
				p, _, ok := b.AllowAt(good)
				if p.DoneAt(Success, good); !ok || b.State() != Closed {
					t.Error("the others do not close it")
				}
			})
		})
	}
}
