//go:build synctests

package simulation

import (
	"math/rand/v2"
	"time"
)

// dice is the source of randomness. Each event has its own dice, so that its decisions do not
// depend on goroutine scheduling.
type dice struct{ *rand.Rand }

func newDice(seed uint64, of ...int) dice {
	n := uint64(0x9e3779b97f4a7c15)
	for _, v := range of {
		n = (n ^ uint64(v)) * 0xbf58476d1ce4e5b9 //nolint:gosec // G115: any number does
		n ^= n >> 29
	}
	return dice{rand.New(rand.NewPCG(seed, n))} //nolint:gosec // G404: a simulation repeats
}

func (d dice) chance(p float64) bool { return d.Float64() < p }

// between returns a duration from least to most.
func (d dice) between(least, most time.Duration) time.Duration {
	return least + time.Duration(d.Int64N(int64(most-least)+1))
}

// one returns one of the values.
func one[T any](d dice, of ...T) T { return of[d.IntN(len(of))] }
