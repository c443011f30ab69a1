//go:build race

package http

// raceEnabled: the race detector allocates by itself.
const raceEnabled = true
