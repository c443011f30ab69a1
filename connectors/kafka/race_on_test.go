//go:build race

package kafka

// raceEnabled skips allocation tests: the race detector allocates.
const raceEnabled = true
