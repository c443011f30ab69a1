//go:build unix

package http

import "syscall"

// turn sends a request and waits for the answer in one: written with the
// descriptor in hand, and then asleep until there is something to read. With
// net.Conn's own methods each call would first try to read an answer that
// cannot be there yet, which is one system call in three.
//
// What came before the write is not waited for again. A look comes first, so
// that is little: what arrives between the two. A server that closes its own
// direction alone just then, and then neither answers nor closes the other one,
// is found out by the deadline. One that closed the connection answers the
// write with a reset.
type turn struct {
	raw     syscall.RawConn
	do      func(fd uintptr) bool
	out     []byte // what is left to write
	sent    func() // called once all is written
	written bool
}

func newTurn(raw syscall.RawConn) *turn {
	t := &turn{raw: raw}
	t.do = t.step
	return t
}

// take writes request and waits. It returns what it could not write at once.
// Whatever else fails, the next write or read tells.
func (t *turn) take(request []byte, sent func()) []byte {
	if t == nil {
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
