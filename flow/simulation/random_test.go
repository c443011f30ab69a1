//go:build synctests

package simulation

import (
	"math/rand/v2"
	"time"
)

// random is a source of random numbers. Each event has its own, so that its decisions do not
// depend on goroutine scheduling.
type random struct{ *rand.Rand }

func newRandom(seed uint64, of ...int) random {
	n := uint64(0x9e3779b97f4a7c15)
	for _, v := range of {
		n = (n ^ uint64(v)) * 0xbf58476d1ce4e5b9 //nolint:gosec // G115: any number does
		n ^= n >> 29
	}
	return random{rand.New(rand.NewPCG(seed, n))} //nolint:gosec // G404: a simulation repeats
}

func (rnd random) chance(p float64) bool { return rnd.Float64() < p }

// between returns a duration from least to most.
func (rnd random) between(least, most time.Duration) time.Duration {
	return least + time.Duration(rnd.Int64N(int64(most-least)+1))
}

// oneOf returns one of the values.
func oneOf[T any](rnd random, of ...T) T { return of[rnd.IntN(len(of))] }
