//go:build race

package server

// raceEnabled: the race detector allocates by itself.
const raceEnabled = true
