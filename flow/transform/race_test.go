//go:build race

package transform

// raced: under the race detector a sync.Pool forgets things at random.
const raced = true
