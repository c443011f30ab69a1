//go:build unix

package config

import (
	"syscall"
	"time"
)

// spent returns the CPU time of this process, which does not depend on other work on the machine.
func spent() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
