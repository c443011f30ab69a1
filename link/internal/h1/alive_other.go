//go:build !linux

package h1

import "net"

// alive cannot look without reading here; a connection is taken to be open.
func alive(net.Conn) bool { return true }
