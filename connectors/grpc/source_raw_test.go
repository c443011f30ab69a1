package grpc

import (
	"bytes"
	"encoding/binary"
	"net"
	"strconv"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
)

// stalledCaller is a client that speaks HTTP/2 by hand.
type stalledCaller struct {
	t     testing.TB
	conn  net.Conn
	frame *http2.Framer
	done  chan struct{}
	wide  chan struct{} // closed when the server has widened the window

	isWide bool // of the reader
}

// rawCall connects and opens one call of the method.
func rawCall(t testing.TB, address, path string) *stalledCaller {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return nil
	}
	c := &stalledCaller{t: t, conn: conn, frame: http2.NewFramer(conn, conn), done: make(chan struct{}), wide: make(chan struct{})}
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		t.Error(err)
	}
	var head bytes.Buffer
	enc := hpack.NewEncoder(&head)
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", path}, {":authority", "x"}, {"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		if err := enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			t.Error(err)
		}
	}
	err = c.frame.WriteSettings()
	if err == nil {
		err = c.frame.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndHeaders: true})
	}
	if err != nil {
		t.Error(err)
	}
	return c
}

// write sends data as frames of at most 16 KiB.
func (c *stalledCaller) write(data []byte) error {
	for len(data) > 0 {
		n := min(len(data), 16<<10)
		if err := c.frame.WriteData(1, false, data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

func (c *stalledCaller) close() {
	_ = c.conn.Close()
	<-c.done
}

// discard reads and drops what the server sends, and answers nothing.
func (c *stalledCaller) discard() {
	go func() {
		defer close(c.done)
		for {
			f, err := c.frame.ReadFrame()
			if err != nil {
				return
			}
			if f.Header().Type == http2.FrameWindowUpdate && f.Header().StreamID == 1 && !c.isWide {
				c.isWide = true
				close(c.wide)
			}
		}
	}()
}

// message is a message of gRPC: its length and its bytes.
func message(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
}

// stall begins a message of 4 MiB and sends a part of it: as much as fits into the
// window, or a quarter of a MiB, for which grpc-go widens it.
func stall(t testing.TB, address string, large bool) *stalledCaller {
	c := rawCall(t, address, "/fiso.v1.Events/PublishStream")
	c.discard()
	begun := message(make([]byte, 256<<10))
	binary.BigEndian.PutUint32(begun[1:], 4<<20)
	const window = 60 << 10
	err := c.write(begun[:window])
	if err == nil && large {
		select {
		case <-c.wide:
			_ = c.write(begun[window:]) // it fails if the listener closes the connection, to stay within its budget
		case <-c.done:
		}
	}
	return c
}

// status reads until the call ends and returns its code.
func (c *stalledCaller) status() codes.Code {
	c.t.Helper()
	code := codes.Unknown
	c.frame.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		f, err := c.frame.ReadFrame()
		if err != nil {
			c.t.Fatal(err)
		}
		h, ok := f.(*http2.MetaHeadersFrame)
		if !ok {
			continue
		}
		for _, field := range h.Fields {
			if field.Name == "grpc-status" {
				n, err := strconv.Atoi(field.Value)
				if err != nil {
					c.t.Fatal(err)
				}
				code = codes.Code(n)
			}
		}
		if h.StreamEnded() {
			return code
		}
	}
}
