//go:build !race

package kafka

// raceEnabled: the race detector allocates by itself.
const raceEnabled = false
