package server

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// raw is a target that writes arbitrary bytes, and counts requests.
type raw struct {
	address string

	mu       sync.Mutex
	accepted int
	heads    map[string]int // number of heads read, by the field X-Case
}

// peer is one connection of a raw target.
type peer struct {
	*net.TCPConn
	in  *bufio.Reader
	raw *raw
	end chan struct{} // closed at the end of the test
}

// newRaw runs a target that handles each connection with treat, and then closes it.
func newRaw(t *testing.T, treat func(p *peer)) *raw {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &raw{address: l.Addr().String(), heads: map[string]int{}}
	end := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.accepted++
			r.mu.Unlock()
			all.Go(func() {
				defer func() { _ = c.Close() }()
				_ = c.SetDeadline(time.Now().Add(time.Minute))
				treat(&peer{TCPConn: c.(*net.TCPConn), in: bufio.NewReader(c), raw: r, end: end})
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		close(end)
		all.Wait()
	})
	return r
}

// head reads the head of a request and counts it: after that the target may have acted.
func (p *peer) head() (*http.Request, bool) {
	r, err := http.ReadRequest(p.in)
	if err != nil {
		return nil, false
	}
	p.raw.mu.Lock()
	defer p.raw.mu.Unlock()
	p.raw.heads[r.Header.Get("X-Case")]++
	return r, true
}

// request reads a whole request.
func (p *peer) request() bool {
	r, ok := p.head()
	if !ok {
		return false
	}
	_, err := io.Copy(io.Discard, r.Body)
	return err == nil
}

func (p *peer) say(text string) { _, _ = io.WriteString(p.TCPConn, text) }

// endlessly writes text until the other side closes.
func (p *peer) endlessly(text string) {
	text = strings.Repeat(text, 64)
	for {
		if _, err := io.WriteString(p.TCPConn, text); err != nil {
			return
		}
	}
}

// stall waits until the other side closes.
func (p *peer) stall() {
	gone := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, p.in); close(gone) }()
	select {
	case <-gone:
	case <-p.end:
		_ = p.TCPConn.Close()
		<-gone
	}
}

// reset closes the connection with a reset.
func (p *peer) reset() {
	_ = p.SetLinger(0)
	_ = p.TCPConn.Close()
}

func (r *raw) counted(what string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.heads[what]
}

func (r *raw) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accepted
}
