// Package resilience holds what keeps a target that fails from being called
// too often or waited for too long: a circuit breaker, a budget of retries, and
// limits of rate, concurrency and time. All are safe for concurrent use, take a lock for a few
// instructions, and start no goroutine.
//
// Whatever is taken is a permit, and is given back exactly once, whichever way
// a call ends: a trial that was cancelled must not keep a breaker half-open for
// ever (https://github.com/sony/gobreaker/issues/53). That, and a budget that
// counts waiting retries, is why breaker and budget are our own.
package resilience
