package kafkatest

import (
	"os/exec"
	"syscall"
)

// endsWithUs has a process killed when this one ends, however that comes about: a
// test that its own timeout ends runs no cleanup.
func endsWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
