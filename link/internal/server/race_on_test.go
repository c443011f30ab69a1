//go:build race

package server

// raceEnabled: with the race detector, allocation counts are meaningless.
const raceEnabled = true
