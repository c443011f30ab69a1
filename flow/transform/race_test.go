//go:build race

package transform

// raced: the race detector makes sync.Pool drop items at random.
const raced = true
