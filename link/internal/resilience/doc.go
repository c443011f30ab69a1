// Package resilience limits how often a failing target is called, and how long calls
// wait: a circuit breaker, a retry budget, and limits of rate, concurrency and time.
// All types are safe for concurrent use, hold their lock for a few instructions, and
// start no goroutine.
//
// A permit must be returned exactly once, however the call ends: a cancelled trial must
// not keep a breaker half-open forever (https://github.com/sony/gobreaker/issues/53).
// For that reason, and because the budget counts waiting retries, breaker and budget
// are not taken from a library.
package resilience
