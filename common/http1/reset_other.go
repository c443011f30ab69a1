//go:build !linux

package http1

import "net"

// awaitReset does not wait here: an application that has ended its side is taken to be
// gone.
func awaitReset(net.Conn) {}
