//go:build integration

package grpc

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// relay is a TCP relay whose connections a test cuts.
type relay struct {
	address string
	target  string
	wait    sync.WaitGroup

	// PING frames of HTTP/2, without the answers to them.
	clientPings, serverPings atomic.Int64

	mu     sync.Mutex
	conns  map[*net.TCPConn]bool
	closed bool
}

// newRelay relays to target until the test ends.
func newRelay(t *testing.T, target string) *relay {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{address: ln.Addr().String(), target: target, conns: map[*net.TCPConn]bool{}}
	r.wait.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			r.wait.Go(func() { r.relay(c.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close() // nobody dials any more
		r.mu.Lock()
		r.closed = true
		r.mu.Unlock()
		r.cut()
		r.wait.Wait()
	})
	return r
}

// relay copies both ways until one side closes.
func (r *relay) relay(client *net.TCPConn) {
	defer func() { _ = client.Close() }()
	c, err := net.Dial("tcp", r.target)
	if err != nil {
		return // the client sees its connection close
	}
	server := c.(*net.TCPConn)
	defer func() { _ = server.Close() }()
	if !r.add(client, server) {
		return
	}
	defer r.remove(client, server)
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(client, io.TeeReader(server, &pingCounter{count: &r.serverPings})) // ends with the connection
		_ = client.Close()
	})
	_, _ = io.Copy(server, io.TeeReader(client, &pingCounter{skip: len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), count: &r.clientPings})) // ends with the connection
	_ = server.Close()
	back.Wait()
}

func (r *relay) add(conns ...*net.TCPConn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		r.conns[c] = true
	}
	return !r.closed
}

func (r *relay) remove(conns ...*net.TCPConn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		delete(r.conns, c)
	}
}

// cut resets all connections on both sides.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		_ = c.SetLinger(0) // it may be closed already
		_ = c.Close()
	}
}

// pingCounter counts the PING frames of the bytes that are written to it.
type pingCounter struct {
	skip  int // bytes that belong to no header
	head  []byte
	count *atomic.Int64
}

func (p *pingCounter) Write(b []byte) (int, error) {
	const headerBytes, typePing, flagAck = 9, 6, 1
	n := len(b)
	for len(b) > 0 {
		if p.skip > 0 {
			skipped := min(p.skip, len(b))
			p.skip, b = p.skip-skipped, b[skipped:]
			continue
		}
		taken := min(headerBytes-len(p.head), len(b))
		p.head, b = append(p.head, b[:taken]...), b[taken:]
		if len(p.head) < headerBytes {
			break
		}
		if p.head[3] == typePing && p.head[4]&flagAck == 0 {
			p.count.Add(1)
		}
		p.skip = int(binary.BigEndian.Uint32(p.head) >> 8)
		p.head = p.head[:0]
	}
	return n, nil
}
