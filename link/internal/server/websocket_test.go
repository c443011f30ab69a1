package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// sockets is a real WebSocket server: /echo, /close, /gone and /silent.
func sockets(t *testing.T) (address string, closedWith chan websocket.StatusCode) {
	t.Helper()
	closedWith = make(chan websocket.StatusCode, 10)
	var all sync.WaitGroup // the server does not track upgraded connections
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		all.Add(1)
		defer all.Done()
		if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			fmt.Fprintf(w, "no upgrade: %q %q", r.Header.Get("Upgrade"), r.Header.Get("Connection"))
			return
		}
		if r.URL.Path == "/no" {
			http.Error(w, "not here", http.StatusTeapot)
			return
		}
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"chat"}, CompressionMode: websocket.CompressionContextTakeover})
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		c.SetReadLimit(32 << 20)
		switch r.URL.Path {
		case "/close":
			_ = c.Close(4001, "that was all")
			return
		case "/gone":
			return
		case "/silent":
			<-c.CloseRead(r.Context()).Done()
			return
		}
		for {
			kind, b, err := c.Read(r.Context())
			if err != nil {
				closedWith <- websocket.CloseStatus(err)
				return
			}
			if c.Write(r.Context(), kind, b) != nil {
				return
			}
		}
	}))
	t.Cleanup(all.Wait)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), closedWith
}

// socket connects to a target's path.
func (l *link) socket(t *testing.T, path string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c, resp, err := websocket.Dial(t.Context(), "ws://"+l.calls+"/link/"+path, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport}, Subprotocols: []string{"chat"}, CompressionMode: websocket.CompressionContextTakeover,
	})
	if err == nil {
		c.SetReadLimit(32 << 20)
		t.Cleanup(func() { _ = c.CloseNow() })
	}
	return c, resp, err
}

func TestWebSocket_carriesMessagesPingsAndCloseCodes(t *testing.T) {
	address, closedWith := sockets(t)
	l := start(t, "targets:\n"+aTarget("ws", address, ", timeout: 1s, timeouts: {idle: 5s}"))
	c, resp, err := l.socket(t, "ws/echo")
	if err != nil {
		t.Fatal(err)
	}
	if c.Subprotocol() != "chat" || resp.Header.Get("Sec-WebSocket-Extensions") == "" {
		t.Errorf("negotiated %q, %q", c.Subprotocol(), resp.Header.Get("Sec-WebSocket-Extensions"))
	}
	for _, size := range []int{0, 1, 125, 126, 65535, 65536, 8 << 20} {
		sent := bytes.Repeat([]byte{byte(size), 7}, size/2+1)[:size]
		go func() { _ = c.Write(t.Context(), websocket.MessageBinary, sent) }()
		kind, got, err := c.Read(t.Context())
		if err != nil || kind != websocket.MessageBinary || sha256.Sum256(got) != sha256.Sum256(sent) {
			t.Fatalf("a message of %d bytes came back with %d, %v", size, len(got), err)
		}
	}
	read := make(chan error, 1)
	go func() { _, _, err := c.Read(t.Context()); read <- err }() // a pong is only received while reading
	for range 3 {
		if err := c.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(4242, "enough"); err != nil {
		t.Error(err)
	}
	if code := <-closedWith; code != 4242 {
		t.Errorf("the server sees close code %d", code)
	}
	if err := <-read; err == nil {
		t.Error("there is a message after the end")
	}
	other, _, err := l.socket(t, "ws/close")
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = other.Read(t.Context())
	var closed websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != 4001 || closed.Reason != "that was all" {
		t.Errorf("the application sees %v", err)
	}
}

func TestWebSocket_carriesManyMessagesBothWaysAtOnce(t *testing.T) {
	address, _ := sockets(t)
	l := start(t, "targets:\n"+aTarget("ws", address, ""))
	var all sync.WaitGroup
	for range 4 {
		c, _, err := l.socket(t, "ws/echo")
		if err != nil {
			t.Fatal(err)
		}
		message := bytes.Repeat([]byte("x"), 16<<10)
		all.Go(func() {
			for range 200 {
				if err := c.Write(t.Context(), websocket.MessageText, message); err != nil {
					t.Error(err)
					return
				}
			}
		})
		all.Go(func() {
			for i := range 200 {
				if _, b, err := c.Read(t.Context()); err != nil || len(b) != len(message) {
					t.Errorf("message %d: %d bytes, %v", i, len(b), err)
					return
				}
			}
		})
	}
	all.Wait()
}

// L13, https://github.com/caddyserver/caddy/issues/6420: a reload that does not change
// its target does not end a WebSocket either.
func TestWebSocket_endsWhenItsServerIsGoneOrNothingMoves(t *testing.T) {
	t.Parallel() // mostly waiting
	address, _ := sockets(t)
	l := start(t, "targets:\n"+aTarget("ws", address, ", timeouts: {idle: 2s}")+aTarget("stays", address, ""))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, path := range []string{"ws/gone", "ws/silent"} {
		c, _, err := l.socket(t, path)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Read(ctx); err == nil || ctx.Err() != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	c, _, err := l.socket(t, "ws/silent")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan error, 1)
	go func() { _, _, err := c.Read(ctx); over <- err }()
	for end := time.After(4 * time.Second); end != nil; { // pings keep it
		if err := c.Ping(ctx); err != nil {
			t.Fatal("a ping: ", err)
		}
		select {
		case <-end:
			end = nil
		case err := <-over:
			t.Fatal("it ended although something moved: ", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
	kept, _, err := l.socket(t, "stays/echo")
	if err != nil {
		t.Fatal(err)
	}
	l.write("targets:\n" + aTarget("stays", address, ""))
	eventually(t, "the reload", func() bool { return strings.Contains(l.log.String(), "configuration reloaded") })
	if err := <-over; err == nil || ctx.Err() != nil {
		t.Errorf("the socket of a target that was removed: %v", err)
	}
	if err := kept.Write(ctx, websocket.MessageText, []byte("still here")); err != nil {
		t.Fatal(err)
	}
	if _, b, err := kept.Read(ctx); string(b) != "still here" {
		t.Errorf("the socket of a target that stays: %q, %v", b, err)
	}
}

// L6, https://github.com/golang/go/issues/80416: only WebSockets are upgraded, and only
// where they are allowed.
func TestWebSocket_isTheOnlyUpgradeAndOnlyWhereItIsAllowed(t *testing.T) {
	address, _ := sockets(t)
	l := start(t, "targets:\n"+aTarget("ws", address, ", allowedPaths: [/echo, /no]"))
	for path, want := range map[string]int{"ws/close": 403, "ws/no": 418, "ws/..%2Fclose": 400, "nobody/echo": 404} {
		if _, resp, err := l.socket(t, path); err == nil || resp == nil || resp.StatusCode != want {
			t.Errorf("%s: %v, %v", path, resp, err)
		}
	}
	for _, upgrade := range []string{"h2c", "foo", "websocket, h2c", "TLS/1.0", "websocket/13"} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+l.calls+"/link/ws/echo", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Connection", "Upgrade, HTTP2-Settings")
		r.Header.Set("Upgrade", upgrade)
		r.Header.Set("HTTP2-Settings", "AAMAAABkAAQAAP__")
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != 200 || string(b) != `no upgrade: "" ""` {
			t.Errorf("%s: %d %s", upgrade, resp.StatusCode, b)
		}
	}
}
