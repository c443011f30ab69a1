package grpc

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
)

// frameBudget limits the bytes of messages that have begun and not arrived in full, of
// all connections together. grpc-go holds them, up to the size of the whole message for
// each stream, and tells nobody. So a connection counts them by its HTTP/2 frames.
type frameBudget struct {
	limit  int64
	closed func(bytes int64) // called after a connection was closed; nil: nobody
	held   atomic.Int64

	mu    sync.Mutex
	conns map[*framedConn]struct{}
}

// watch returns conn with its unfinished messages counted.
func (b *frameBudget) watch(conn net.Conn) net.Conn {
	c := &framedConn{Conn: conn, budget: b, streams: map[uint32]*messageState{}}
	c.in.skip = len(http2Preface)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conns == nil {
		b.conns = map[*framedConn]struct{}{}
	}
	b.conns[c] = struct{}{}
	return c
}

// closeLargest closes the connection with the most unfinished bytes.
func (b *frameBudget) closeLargest() {
	b.mu.Lock()
	var largest *framedConn
	for c := range b.conns {
		if largest == nil || c.unfinished.Load() > largest.unfinished.Load() {
			largest = c
		}
	}
	b.mu.Unlock()
	if largest == nil {
		return
	}
	bytes := largest.unfinished.Load()
	_ = largest.Close() // it is lost either way
	if b.closed != nil {
		b.closed(bytes)
	}
}

// framedConn is a connection whose frames are watched. It never changes what is read or
// written.
type framedConn struct {
	net.Conn
	budget     *frameBudget
	unfinished atomic.Int64

	mu      sync.Mutex
	in, out frameScanner
	streams map[uint32]*messageState // that the client has opened and nobody has ended
	newest  uint32
	closed  bool
}

// messageState is the message of a stream that is arriving.
type messageState struct {
	held   int64   // bytes of it so far
	prefix [5]byte // the message's compression flag and length
	left   int64   // bytes that are missing; valid once the prefix is complete
}

const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Of HTTP/2 (RFC 9113, section 6).
const (
	frameHeader   = 9
	frameData     = 0
	frameHeaders  = 1
	frameReset    = 3
	flagEndStream = 1
	flagPadded    = 8
)

// Read counts the messages of the client.
func (c *framedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	if !c.closed {
		c.in.scan(b[:n], c.clientFrame, c.clientData)
	}
	c.mu.Unlock()
	if c.budget.held.Load() > c.budget.limit {
		c.budget.closeLargest()
	}
	return n, err
}

// Write learns which streams the server ends.
func (c *framedConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	if !c.closed {
		c.out.scan(b, c.serverFrame, func(uint32, []byte) {})
	}
	c.mu.Unlock()
	return c.Conn.Write(b)
}

// Close also returns the connection's bytes to the budget.
func (c *framedConn) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed, c.streams = true, nil
		c.count(-c.unfinished.Load())
	}
	c.mu.Unlock()
	c.budget.mu.Lock()
	delete(c.budget.conns, c)
	c.budget.mu.Unlock()
	return c.Conn.Close()
}

func (c *framedConn) count(n int64) {
	c.unfinished.Add(n)
	c.budget.held.Add(n)
}

// clientFrame is called at the end of each frame of the client.
func (c *framedConn) clientFrame(kind, flags byte, stream uint32, begins bool) {
	switch {
	case begins && kind == frameHeaders && stream > c.newest:
		c.newest, c.streams[stream] = stream, new(messageState)
	case !begins && kind == frameReset, !begins && kind == frameData && flags&flagEndStream != 0:
		c.forget(stream)
	}
}

// serverFrame is called at the end of each frame of the server.
func (c *framedConn) serverFrame(kind, flags byte, stream uint32, begins bool) {
	if !begins && (kind == frameReset || kind <= frameHeaders && flags&flagEndStream != 0) {
		c.forget(stream)
	}
}

func (c *framedConn) forget(stream uint32) {
	if m := c.streams[stream]; m != nil {
		c.count(-m.held)
		delete(c.streams, stream)
	}
}

// clientData follows the messages in the data of a stream.
func (c *framedConn) clientData(stream uint32, b []byte) {
	m := c.streams[stream]
	if m == nil {
		return
	}
	before := m.held
	for len(b) > 0 {
		if m.held < int64(len(m.prefix)) {
			n := copy(m.prefix[m.held:], b)
			b = b[n:]
			if m.held += int64(n); m.held < int64(len(m.prefix)) {
				break
			}
			m.left = int64(binary.BigEndian.Uint32(m.prefix[1:]))
		}
		n := min(int64(len(b)), m.left)
		b = b[n:]
		m.held, m.left = m.held+n, m.left-n
		if m.left == 0 {
			m.held = 0
		}
	}
	c.count(m.held - before)
}

// frameScanner splits a connection's bytes into frames, as they come.
type frameScanner struct {
	skip    int // bytes before the first frame
	header  [frameHeader]byte
	have    int // bytes of the header so far
	left    int // bytes of the payload that are missing
	padding int // of them, at its end; -1: its length comes next
}

// scan calls frame at the beginning and at the end of each frame, and data with each
// piece of a frame's data.
func (s *frameScanner) scan(b []byte, frame func(kind, flags byte, stream uint32, begins bool), data func(stream uint32, b []byte)) {
	n := min(s.skip, len(b))
	s.skip, b = s.skip-n, b[n:]
	for len(b) > 0 {
		if s.have < frameHeader {
			n := copy(s.header[s.have:], b)
			s.have, b = s.have+n, b[n:]
			if s.have < frameHeader {
				return
			}
			s.left = int(s.header[0])<<16 | int(s.header[1])<<8 | int(s.header[2])
			s.padding = 0
			if s.kind() == frameData && s.flags()&flagPadded != 0 {
				s.padding = -1
			}
			frame(s.kind(), s.flags(), s.stream(), true)
		}
		n := min(len(b), s.left)
		if s.kind() == frameData {
			s.payload(b[:n], data)
		}
		s.left, b = s.left-n, b[n:]
		if s.left == 0 {
			frame(s.kind(), s.flags(), s.stream(), false)
			s.have = 0
		}
	}
}

// payload passes a piece of a data frame's payload on without its padding. s.left still
// counts the piece.
func (s *frameScanner) payload(b []byte, data func(stream uint32, b []byte)) {
	left := s.left
	if s.padding < 0 && len(b) > 0 {
		s.padding = int(b[0])
		b, left = b[1:], left-1
	}
	if n := min(len(b), left-s.padding); n > 0 {
		data(s.stream(), b[:n])
	}
}

func (s *frameScanner) kind() byte     { return s.header[3] }
func (s *frameScanner) flags() byte    { return s.header[4] }
func (s *frameScanner) stream() uint32 { return binary.BigEndian.Uint32(s.header[5:]) & (1<<31 - 1) }
