//go:build !race

package h1

// raceEnabled: the race detector allocates by itself.
const raceEnabled = false
