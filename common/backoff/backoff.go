// Package backoff computes how long to wait before a retry. It does not wait: its
// caller owns the timer, the context and the count of retries.
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

// Values of Policy.Kind.
const (
	Exponential = "exponential" // Initial, doubled for each further retry
	Linear      = "linear"      // Initial, plus Initial for each further retry
	Constant    = "constant"    // Initial for every retry
)

// Policy says how delays grow. It is a plain value, safe for concurrent use. The
// zero Policy never waits.
//
// The exponential form is that of gRPC's connection backoff
// (https://github.com/grpc/grpc/blob/master/doc/connection-backoff.md): Max is
// applied before the jitter, so that clients at the longest delay do not retry in
// step. A delay may therefore exceed Max by the share in Jitter.
type Policy struct {
	// Kind is Exponential, Linear or Constant. Any other value, also "", is
	// Exponential.
	Kind string
	// Initial is the delay before the first retry, before jitter. Zero or less: no
	// delay.
	Initial time.Duration
	// Max is the longest delay before jitter. Zero or less: no bound.
	Max time.Duration
	// Jitter is the share by which a delay may be shorter or longer than computed:
	// 0.2 is ±20 %. Values are limited to 0 to 1.
	Jitter float64
}

// Delay returns a random delay within Bounds. retry counts from 1; less counts as
// 1.
func (p Policy) Delay(retry int) time.Duration {
	lo, hi := p.Bounds(retry)
	return lo + time.Duration(rand.Uint64N(uint64(hi-lo)+1))
}

// Bounds returns the shortest and the longest delay that Delay may return for a
// retry.
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

// base returns the delay before jitter, for retry >= 1.
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
		// The limit is shifted, not Initial, so that nothing overflows.
		doublings := retry - 1
		if doublings > 62 || p.Initial > limit>>doublings {
			return limit
		}
		return p.Initial << doublings
	}
}

// clamp converts nanoseconds to a duration without overflow.
func clamp(ns float64) time.Duration {
	if ns >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(ns)
}
