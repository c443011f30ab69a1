package http1

import (
	"net"
	"syscall"
)

// turn is what a connection that was unused needs for another call: it looks
// whether it is still good, writes the request, and sleeps until there is
// something to read, all with the descriptor in hand. A net.Conn would first try
// to read an answer that cannot be there yet.
//
// The sleep was got ready before the look, so nothing that comes after it is
// missed, and what came before it is seen by it.
type turn struct {
	raw   syscall.RawConn // nil: of another network, in tests
	plain bool            // what is written goes out as it is: no TLS
	step  func(fd uintptr) bool

	look    bool
	good    bool
	out     []byte // nil: only a look
	written int
	sent    func() // all was written; the sleep is next
}

func (t *turn) init(c net.Conn) {
	if wrapped, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = wrapped.NetConn()
		if under, ok := c.(*underTLS); ok {
			c = under.Conn
		}
	} else {
		t.plain = true
	}
	if s, ok := c.(syscall.Conn); ok {
		t.raw, _ = s.SyscallConn() // it fails where the connection does
	}
	t.step = t.do
}

// alive reports whether an unused connection is open and silent: what a target
// says without being asked is no answer to the next request.
func (t *turn) alive() bool {
	if t.raw == nil {
		return true
	}
	t.look, t.good, t.out, t.written = true, false, nil, 0
	return t.raw.Read(t.step) == nil && t.good
}

// direct reports whether take can be used.
func (t *turn) direct() bool { return t.raw != nil && t.plain }

// take writes a request and waits for an answer to begin. Where it is to look
// first, good says that the connection was open and silent; if not, nothing was
// written. What was not written, for whatever reason, another write tells of.
func (t *turn) take(request []byte, look bool, sent func()) (written int, good bool) {
	t.look, t.good, t.out, t.written, t.sent = look, !look, request, 0, sent
	err := t.raw.Read(t.step)
	t.out, t.sent = nil, nil
	return t.written, t.good || err != nil && t.written == 0
}

// do is called with the descriptor, and again once there is something to read;
// true ends the turn.
func (t *turn) do(fd uintptr) bool {
	if t.look {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT) //nolint:gosec // G115: a descriptor
		t.look, t.good = false, err == syscall.EAGAIN
		if !t.good {
			return true
		}
	}
	if t.written == len(t.out) {
		return true // only a look, or the answer begins
	}
	n, err := syscall.Write(int(fd), t.out) //nolint:gosec // G115: the same
	t.written = max(n, 0)
	if err != nil || t.written < len(t.out) {
		return true
	}
	t.sent()
	return false
}
