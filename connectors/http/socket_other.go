//go:build !unix

package http

import "net"

// socket is for systems on which a descriptor can be read without waiting.
type socket struct {
	net.Conn
	looking bool
}

func newSocket(net.Conn) (*socket, *turn) { return nil, nil }

func (*socket) readable() bool { return false }

func (*socket) unread() bool { return false }
