//go:build !race

package http1

// raceEnabled: the race detector allocates by itself.
const raceEnabled = false
