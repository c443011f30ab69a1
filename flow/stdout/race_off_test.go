//go:build !race

package stdout

// raceEnabled: the race detector allocates by itself.
const raceEnabled = false
