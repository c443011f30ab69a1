//go:build race

package stdout

// raceEnabled: the race detector allocates memory.
const raceEnabled = true
