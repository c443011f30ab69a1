package kafkatest

import (
	"os/exec"
	"syscall"
)

// killWithParent has a process killed when this one ends, however that comes about: a
// test that its own timeout ends runs no cleanup.
func killWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
