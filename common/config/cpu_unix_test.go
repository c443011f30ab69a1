//go:build unix

package config

import (
	"syscall"
	"time"
)

// spent is the time that this process has had a core, which other work on the
// machine does not make longer.
func spent() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
