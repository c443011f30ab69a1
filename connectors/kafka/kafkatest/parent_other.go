//go:build !linux

package kafkatest

import "os/exec"

// killWithParent does nothing where the system cannot.
func killWithParent(*exec.Cmd) {}
