//go:build unix && !linux

package http1

// unacknowledged is not known here.
func unacknowledged(int) int { return 0 }
