package kafkatest

import (
	"os/exec"
	"syscall"
)

// killWithParent makes the kernel kill the process when this one ends in any way: a
// test that exceeds its timeout runs no cleanup.
func killWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
