//go:build !linux

package http1

// rest is the wait of a connection for its next request.
type rest struct{ c *conn }

func (r *rest) init(c *conn) { r.c = c }

func (r *rest) fill() error {
	r.c.lend()
	return r.c.in.fill(readBuffer)
}
