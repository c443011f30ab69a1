// Package backoff computes how long to wait before a retry. It only computes:
// whoever waits owns the timer, the context and the count of retries.
//
//	p := backoff.Policy{Kind: backoff.Exponential, Initial: 200 * time.Millisecond, Max: 30 * time.Second, Jitter: 0.2}
//	p.Delay(1) // 160ms to 240ms
//	p.Delay(2) // 320ms to 480ms
package backoff

import (
	"math"
	"math/rand/v2"
	"time"
)

// The kinds of growth that a Policy knows.
const (
	Exponential = "exponential" // Initial, doubled before each further retry
	Linear      = "linear"      // Initial, and Initial more before each further retry
	Constant    = "constant"    // Initial before every retry
)

// Policy says how delays grow. It is a plain value, safe for concurrent use.
// The zero Policy never waits.
//
// The exponential form is that of gRPC's connection backoff
// (https://github.com/grpc/grpc/blob/master/doc/connection-backoff.md): the
// delay is bounded first and spread after, so that many who wait the longest
// delay do not come back in step. Max therefore bounds the middle of the
// spread; what is waited may lie above it by the share that Jitter allows.
type Policy struct {
	// Kind is Exponential, Linear or Constant; anything else, "" too, is
	// Exponential.
	Kind string
	// Initial is the delay before the first retry, before jitter. Zero or
	// less: no delay at all.
	Initial time.Duration
	// Max is the longest delay before jitter. Zero or less: no bound.
	Max time.Duration
	// Jitter is the share by which a delay may differ from the computed one,
	// both ways: 0.2 is ±20 %. Values are taken into 0 to 1.
	Jitter float64
}

// Delay is the time to wait before a retry; retries count from 1, and less
// counts as 1. Each call draws anew within Bounds. Any count is safe.
func (p Policy) Delay(retry int) time.Duration {
	lo, hi := p.Bounds(retry)
	return lo + time.Duration(rand.Uint64N(uint64(hi-lo)+1))
}

// Bounds are the shortest and the longest delay that Delay may return for a
// retry, for a person who wants to know the schedule.
func (p Policy) Bounds(retry int) (lo, hi time.Duration) {
	base := p.base(max(retry, 1))
	share := p.Jitter
	if !(share > 0) { // NaN too
		return base, base
	}
	spread := float64(base) * min(share, 1)
	lo = base - clamp(spread)
	hi = clamp(float64(base) + spread)
	return max(lo, 0), max(hi, base)
}

// base is the delay before jitter, for retry >= 1.
func (p Policy) base(retry int) time.Duration {
	limit := p.Max
	if limit <= 0 {
		limit = math.MaxInt64
	}
	if p.Initial <= 0 {
		return 0
	}
	if p.Initial >= limit {
		return limit
	}
	switch p.Kind {
	case Constant:
		return p.Initial
	case Linear:
		if int64(retry) > int64(limit/p.Initial) {
			return limit
		}
		return p.Initial * time.Duration(retry)
	default:
		// Compared by division, so that nothing is shifted out of range.
		doublings := retry - 1
		if doublings > 62 || p.Initial > limit>>doublings {
			return limit
		}
		return p.Initial << doublings
	}
}

// clamp turns nanoseconds into a duration without overflow.
func clamp(ns float64) time.Duration {
	if ns >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(ns)
}
