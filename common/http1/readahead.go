package http1

import (
	"io"
	"net"
)

// readAhead is a connection for another protocol. Bytes that were read before are read
// from it first.
type readAhead struct {
	net.Conn
	from io.Reader
}

func (r *readAhead) Read(p []byte) (int, error) { return r.from.Read(p) }

// CloseWrite ends the writing side only: by a FIN, or under TLS by close_notify.
func (r *readAhead) CloseWrite() error {
	if half, ok := r.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return r.Close()
}
