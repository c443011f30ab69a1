package h2

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// pieces is a connection that returns at most size bytes in each read.
type pieces struct {
	net.Conn
	b    *bytes.Reader
	size int
}

func (p *pieces) Read(b []byte) (int, error)    { return p.b.Read(b[:min(len(b), p.size)]) }
func (*pieces) SetReadDeadline(time.Time) error { return nil }

// greet reads everything, and returns what it read and the result of the greeting.
func greet(t *testing.T, data []byte, size int) ([]byte, error) {
	g := &handshakeConn{Conn: &pieces{b: bytes.NewReader(data), size: size}, resolved: make(chan struct{})}
	got, err := io.ReadAll(g)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-g.resolved:
	default:
		t.Fatal("nobody knows what became of the greeting")
	}
	return got, g.err
}

// In whatever pieces the bytes come, they are complete and mean the same.
func FuzzGreeted_meansTheSameInAnyPieces(f *testing.F) {
	for _, seed := range []string{"", "HTTP/1.1 400 Bad Request\r\n\r\n", "HTT", "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x01\x00\x00\x00\x04\x01\x00\x00\x00\x00",
		"\x00\x00\x08\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "\xff\xff\xff\x04\x00\x00\x00\x00\x00"} {
		f.Add([]byte(seed), 1)
		f.Add([]byte(seed), 10)
	}
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		got, err := greet(t, data, max(size, 1))
		whole, werr := greet(t, data, len(data)+1)
		if !bytes.Equal(got, data) || !bytes.Equal(whole, data) {
			t.Error("bytes were lost")
		}
		if (err == nil) != (werr == nil) {
			t.Errorf("in pieces %v, whole %v", err, werr)
		}
	})
}
