//go:build !linux

package kafkatest

import "os/exec"

// killWithParent does nothing: only Linux supports it.
func killWithParent(*exec.Cmd) {}
