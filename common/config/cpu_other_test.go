//go:build !unix

package config

import "time"

var began = time.Now()

// spent is the time since the tests began: here nobody tells how much of it was theirs.
func spent() time.Duration { return time.Since(began) }
