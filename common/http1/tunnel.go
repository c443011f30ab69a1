package http1

import "net"

// tunnel is a connection after an upgrade. Bytes that were read ahead are read first.
type tunnel struct {
	net.Conn
	in *buffer
}

func (t *tunnel) Read(p []byte) (int, error) { return t.in.Read(p) }

// CloseWrite ends the writing side only: by a FIN, or under TLS by close_notify.
func (t *tunnel) CloseWrite() error {
	if half, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return t.Close()
}
