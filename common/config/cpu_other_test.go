//go:build !unix

package config

import "time"

var began = time.Now()

// spent returns the time since the tests began: the CPU time is not known here.
func spent() time.Duration { return time.Since(began) }
