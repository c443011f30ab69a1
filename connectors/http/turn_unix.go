//go:build unix

package http

import (
	"net"
	"syscall"
)

// turn sends a request and waits for the answer in one: written with the
// descriptor in hand, and then asleep until there is something to read. With
// net.Conn's own methods each call would first try to read an answer that
// cannot be there yet, which is one system call in three.
//
// What came before the write is not waited for again, so a server that closed
// its own direction alone, while the connection was idle, and then neither
// answers nor closes the other one, is found out by the deadline. One that
// closed the connection answers the write with a reset.
type turn struct {
	raw     syscall.RawConn // nil: send and receive with net.Conn
	do      func(fd uintptr) bool
	out     []byte // what is left to write
	sent    func() // called once all is written
	written bool
}

func newTurn(nc net.Conn) *turn {
	t := &turn{}
	if tcp, ok := nc.(*net.TCPConn); ok {
		// The only failure is a closed connection, which the first write tells.
		t.raw, _ = tcp.SyscallConn()
	}
	t.do = t.step
	return t
}

// take writes request and waits. It returns what it could not write at once.
// Whatever else fails, the next write or read tells.
func (t *turn) take(request []byte, sent func()) []byte {
	if t.raw == nil {
		return request
	}
	t.out, t.sent, t.written = request, sent, false
	_ = t.raw.Read(t.do)
	rest := t.out
	t.out, t.sent = nil, nil
	return rest
}

// step is called when the descriptor may be used, and again when it can be
// read; it returns true to have it no more.
func (t *turn) step(fd uintptr) bool {
	if t.written {
		return true
	}
	n, err := syscall.Write(int(fd), t.out)
	t.out = t.out[max(n, 0):]
	if err != nil || len(t.out) > 0 {
		return true // net.Conn goes on with the rest, or meets the same error
	}
	t.written = true
	t.sent()
	return false
}
