//go:build !race

package instance

// raceEnabled: the race detector allocates by itself.
const raceEnabled = false
