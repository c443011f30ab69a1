//go:build !linux

package http1

// idleRead is the wait of a connection for its next request.
type idleRead struct{ c *serverConn }

func (r *idleRead) init(c *serverConn) { r.c = c }

func (r *idleRead) fill() error {
	r.c.takeBuffers()
	return r.c.in.fill(readBuffer)
}
