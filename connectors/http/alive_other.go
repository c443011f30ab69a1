//go:build !unix

package http

import "net"

// alive cannot look without reading here; the call will tell.
func alive(net.Conn) bool { return true }
