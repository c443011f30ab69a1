package server

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// rfc6455 is the answer to a handshake with the field order of RFC 6455, section 1.3;
// Go's servers sort the fields.
const rfc6455 = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

// closesFirst is a WebSocket server that sends n bytes, ends its side, and reads until
// the application is done.
func closesFirst(t *testing.T, sends int) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	t.Cleanup(func() { _ = l.Close() })
	all.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(c, rfc6455)
		_, _ = c.Write(bytes.Repeat([]byte("x"), sends))
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	})
	return l.Addr().String()
}

// UL1: the end of the target's side loses neither what it sent before nor what the
// application still sends. Closing the application's connection while it sends would
// reset it, and discard what it has not read yet.
func TestWebSocket_keepsTheTailOfAServerThatClosesFirst(t *testing.T) {
	const sends = 6 << 20
	l := start(t, "targets:\n"+aTarget("ws", closesFirst(t, sends), ", timeout: 1s, timeouts: {idle: 20s}"))
	c, err := net.Dial("tcp", l.calls)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprint(c, "GET /link/ws/ HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatal(resp, err)
	}
	var talking sync.WaitGroup
	talking.Go(func() { // until the connection is closed
		for {
			if _, err := c.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	})
	got, buf := 0, make([]byte, 64<<10)
	for {
		n, err := in.Read(buf)
		got += n
		if err != nil {
			if err != io.EOF || got != sends {
				t.Errorf("%d bytes of %d, then %v", got, sends, err)
			}
			break
		}
	}
	_ = c.Close()
	talking.Wait()
}
