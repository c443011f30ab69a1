//go:build !race

package http

// raceEnabled reports whether the race detector is on, which makes allocations of its
// own.
const raceEnabled = false
