//go:build !unix

package http

import "math"

// descriptors returns no bound: these systems have none that can be asked.
func descriptors() int { return math.MaxInt }
