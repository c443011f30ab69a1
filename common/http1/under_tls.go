package http1

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
)

// underTLS is a connection below TLS that knows whether it ended. crypto/tls takes
// that for the end of what was said, but anybody between us and the target can
// bring it about. Where the end of the connection is that of a body, it has to
// come by TLS (RFC 9112, section 9.8).
type underTLS struct {
	net.Conn
	ended bool // used by who reads
}

func (e *underTLS) Read(p []byte) (int, error) {
	n, err := e.Conn.Read(p)
	e.ended = e.ended || errors.Is(err, io.EOF)
	return n, err
}

// unconfirmed reports whether a connection ended below TLS.
func unconfirmed(c net.Conn) bool {
	if t, ok := c.(*tls.Conn); ok {
		e, ok := t.NetConn().(*underTLS)
		return ok && e.ended
	}
	return false
}
