//go:build unix && !linux

package http

// unacknowledged is not known here.
func unacknowledged(int) int { return 0 }
