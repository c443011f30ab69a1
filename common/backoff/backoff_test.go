package backoff

import (
	"fmt"
	"math"
	"testing"
	"time"
)

const ms = time.Millisecond

func TestBounds_followsTheKindUpToMax(t *testing.T) {
	for _, tc := range []struct {
		name string
		p    Policy
		want []time.Duration // for retries 1, 2, 3, …
	}{
		{"exponential doubles", Policy{Kind: Exponential, Initial: 200 * ms, Max: 1500 * ms}, []time.Duration{200 * ms, 400 * ms, 800 * ms, 1500 * ms, 1500 * ms}},
		{"exponential reaches max exactly", Policy{Kind: Exponential, Initial: 100 * ms, Max: 400 * ms}, []time.Duration{100 * ms, 200 * ms, 400 * ms, 400 * ms}},
		{"no kind is exponential", Policy{Initial: ms}, []time.Duration{ms, 2 * ms, 4 * ms}},
		{"unknown kind is exponential", Policy{Kind: "fibonacci", Initial: ms}, []time.Duration{ms, 2 * ms, 4 * ms}},
		{"linear adds the initial", Policy{Kind: Linear, Initial: 100 * ms, Max: 250 * ms}, []time.Duration{100 * ms, 200 * ms, 250 * ms, 250 * ms}},
		{"linear reaches max exactly", Policy{Kind: Linear, Initial: 100 * ms, Max: 200 * ms}, []time.Duration{100 * ms, 200 * ms, 200 * ms}},
		{"constant stays", Policy{Kind: Constant, Initial: 100 * ms, Max: time.Second}, []time.Duration{100 * ms, 100 * ms, 100 * ms}},
		{"max below initial holds", Policy{Kind: Constant, Initial: time.Second, Max: 100 * ms}, []time.Duration{100 * ms, 100 * ms}},
		{"zero policy never waits", Policy{}, []time.Duration{0, 0, 0}},
		{"negative initial never waits", Policy{Initial: -time.Second, Jitter: 0.5}, []time.Duration{0, 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := tc.p
			for i, want := range tc.want {
				lo, hi := p.Bounds(i + 1)
				if lo != want || hi != want {
					t.Errorf("Bounds(%d) = %v, %v, want %v twice", i+1, lo, hi, want)
				}
				if got := p.Delay(i + 1); got != want {
					t.Errorf("Delay(%d) = %v, want %v", i+1, got, want)
				}
			}
		})
	}
}

func TestBounds_spreadsByTheJitterBothWays(t *testing.T) {
	for _, tc := range []struct {
		name   string
		jitter float64
		lo, hi time.Duration
	}{
		{"a fifth", 0.2, 800 * ms, 1200 * ms},
		{"all of it", 1, 0, 2 * time.Second},
		{"above 1 counts as 1", 7, 0, 2 * time.Second},
		{"negative counts as 0", -1, time.Second, time.Second},
		{"not a number counts as 0", math.NaN(), time.Second, time.Second},
		{"infinite counts as 1", math.Inf(1), 0, 2 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := Policy{Initial: time.Second, Max: time.Second, Jitter: tc.jitter}
			lo, hi := p.Bounds(3)
			if lo != tc.lo || hi != tc.hi {
				t.Fatalf("Bounds = %v, %v, want %v, %v", lo, hi, tc.lo, tc.hi)
			}
		})
	}
}

func TestDelay_staysInBoundsAndUsesBothHalves(t *testing.T) {
	p := Policy{Kind: Exponential, Initial: 200 * ms, Max: 30 * time.Second, Jitter: 0.2}
	for retry := 1; retry <= 12; retry++ {
		lo, hi := p.Bounds(retry)
		middle := lo + (hi-lo)/2
		var below, above int
		for range 200 {
			d := p.Delay(retry)
			if d < lo || d > hi {
				t.Fatalf("Delay(%d) = %v, outside %v to %v", retry, d, lo, hi)
			}
			if d < middle {
				below++
			} else {
				above++
			}
		}
		if below == 0 || above == 0 { // one in 2^199 by chance
			t.Errorf("retry %d: %d draws below the middle, %d above: no spread", retry, below, above)
		}
	}
}

func TestDelay_isSafeForAnyCountAndSize(t *testing.T) {
	for _, kind := range []string{Exponential, Linear, Constant} {
		for _, initial := range []time.Duration{1, 3, ms, time.Hour, math.MaxInt64/2 + 1, math.MaxInt64} {
			for _, limit := range []time.Duration{0, ms, 30 * time.Second, math.MaxInt64} {
				for _, jitter := range []float64{0, 0.2, 1} {
					p := Policy{kind, initial, limit, jitter}
					before := time.Duration(0)
					for _, retry := range []int{math.MinInt, -1, 0, 1, 2, 31, 62, 63, 64, 65, 1 << 20, math.MaxInt} {
						lo, hi := p.Bounds(retry)
						d := p.Delay(retry)
						if lo < 0 || hi < lo || d < lo || d > hi {
							t.Fatalf("%+v retry %d: delay %v in %v to %v", p, retry, d, lo, hi)
						}
						if hi < before {
							t.Fatalf("%+v retry %d: longest delay shrank from %v to %v", p, retry, before, hi)
						}
						before = hi
					}
				}
			}
		}
	}
}

func ExamplePolicy_Bounds() {
	p := Policy{Kind: Exponential, Initial: 200 * time.Millisecond, Max: 2 * time.Second, Jitter: 0.2}
	for retry := 1; retry <= 5; retry++ {
		lo, hi := p.Bounds(retry)
		fmt.Printf("retry %d after %v to %v\n", retry, lo, hi)
	}
	// Output:
	// retry 1 after 160ms to 240ms
	// retry 2 after 320ms to 480ms
	// retry 3 after 640ms to 960ms
	// retry 4 after 1.28s to 1.92s
	// retry 5 after 1.6s to 2.4s
}
