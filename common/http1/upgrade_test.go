package http1

import (
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
)

const preface = prefaceHead + prefaceRest

// A malformed upgrade is no upgrade: after one, nothing is checked any more
// (https://github.com/golang/go/issues/80416, https://github.com/dotnet/yarp/issues/877).
func TestServer_seesAnUpgradeOnlyWhereItIsWellFormed(t *testing.T) {
	addr := serve(t, &Server{Handler: handlerFunc(func(_ context.Context, w ResponseWriter, r *Request) { _ = reply(w, 200, "["+r.Upgrade+"]") })})
	for _, row := range []struct{ name, raw, want string }{
		{"a WebSocket", "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n", "WebSocket"},
		{"Connection does not name it", "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nUpgrade: websocket\r\n\r\n", ""},
		{"no Connection", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", ""},
		{"Connection alone", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\r\n", ""},
		{"HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n", ""},
		{"POST", "POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", ""},
		{"with a body", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi", ""},
		{"a list", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n", ""},
		{"two fields", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n", ""},
		{"an empty one", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade:\r\n\r\n", ""},
		{"h2c", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: H2C\r\nHTTP2-Settings: \r\n\r\n", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := dial(t, addr)
			for range 2 {
				a.say(row.raw)
				a.expect(200, "["+row.want+"]")
			}
		})
	}
}

const webSocket = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

// tunnelEcho upgrades, and echoes until the other side ends.
var tunnelEcho = handlerFunc(func(_ context.Context, w ResponseWriter, _ *Request) {
	tunnel, err := w.Upgrade(Header{{Name: "Connection", Value: "Upgrade"}, {Name: "Upgrade", Value: "websocket"}})
	if err != nil {
		return
	}
	if w.Head(200, nil, 0) == nil || !w.Begun() {
		_, _ = io.WriteString(tunnel, "there can be an answer in a tunnel")
	}
	_, _ = io.Copy(tunnel, tunnel)
	_ = tunnel.Close()
})

func TestServer_tunnelCarriesWhatWasReadAhead(t *testing.T) {
	a := dial(t, serve(t, &Server{Handler: tunnelEcho}))
	a.say(webSocket + "ahead,")
	if got := a.line() + a.line() + a.line() + a.line(); got != "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" {
		t.Fatalf("got %q", got)
	}
	a.say("later")
	_ = a.Conn.(*net.TCPConn).CloseWrite()
	if b, err := io.ReadAll(a.in); string(b) != "ahead,later" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
}

func TestServer_upgradeFailsWhereTheApplicationHasLeft(t *testing.T) {
	client, server := net.Pipe()
	failed := make(chan error, 1)
	s := &Server{Refuse: refuse, Handler: handlerFunc(func(_ context.Context, w ResponseWriter, _ *Request) {
		_ = client.Close()
		_, err := w.Upgrade(nil)
		failed <- err
	})}
	go func() { _, _ = io.WriteString(client, webSocket) }()
	s.ServeConn(t.Context(), server)
	if <-failed == nil {
		t.Error("it was upgraded")
	}
}

func TestServer_handsHTTP2OverWhole(t *testing.T) {
	got := make(chan string, 1)
	addr := serve(t, &Server{
		Handler: handlerFunc(func(context.Context, ResponseWriter, *Request) { t.Error("it is no request") }),
		HTTP2: func(c net.Conn) {
			b, err := io.ReadAll(c)
			if err != nil {
				t.Error(err)
			}
			got <- string(b)
		},
	})
	frames := strings.Repeat("frame", 3000)
	a := dial(t, addr)
	a.say(preface[:20])
	a.say(preface[20:22])
	a.say(preface[22:] + frames)
	_ = a.Conn.(*net.TCPConn).CloseWrite()
	if text := <-got; text != preface+frames {
		t.Errorf("got %d bytes, %.40q", len(text), text)
	}
	a.over()
	t.Run("only as the first words", func(t *testing.T) {
		a := dial(t, serve(t, &Server{Handler: echo, HTTP2: func(net.Conn) { t.Error("it was handed over") }}))
		a.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n" + preface)
		a.expect(200, "GET / ")
		if res, _, _ := a.answer("GET"); res.StatusCode != 400 {
			t.Errorf("answered %d", res.StatusCode)
		}
	})
}

func TestTransport_upgrades(t *testing.T) {
	addr := serve(t, &Server{Handler: tunnelEcho})
	tr := transport(t, TransportConfig{})
	out := get("/")
	out.Upgrade = "websocket"
	a, err := tr.RoundTrip(t.Context(), addr, out, nil)
	if err != nil || a.Status != 101 || a.Upgraded == nil || a.Length != 0 {
		t.Fatalf("got %+v, %v", a, err)
	}
	if b, err := io.ReadAll(a.Body); len(b) > 0 || err != nil {
		t.Errorf("the answer has a body: %q, %v", b, err)
	}
	_, _ = io.WriteString(a.Upgraded, "hello")
	b := make([]byte, 5)
	if _, err := io.ReadFull(a.Upgraded, b); err != nil || string(b) != "hello" {
		t.Errorf("got %q, %v", b, err)
	}
	_ = a.Upgraded.Close()
	if n, _ := kept(&tr.pool); n != 0 {
		t.Error("a tunnel is kept for another call")
	}
}

// UL1: servers write the fields of a 101 in any order. The example of RFC 6455 has
// Upgrade first.
func TestTransport_upgradesWhateverTheOrderOfFields(t *testing.T) {
	fields := []string{"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: x", "Sec-WebSocket-Protocol: chat", "Keep-Alive: timeout=5", "Date: Mon"}
	for n := 2; n <= len(fields); n++ {
		for turn := range n {
			order := append(slices.Clone(fields[turn:n]), fields[:turn]...)
			t.Run(strings.Join(order, ", "), func(t *testing.T) {
				g := newTarget(t, func(p *peer) {
					p.request()
					p.say("HTTP/1.1 101 Switching Protocols\r\n" + strings.Join(order, "\r\n") + "\r\n\r\n")
				})
				out := get("/")
				out.Upgrade = "websocket"
				a, err := transport(t, TransportConfig{}).RoundTrip(t.Context(), g.addr, out, nil)
				if err != nil {
					t.Fatal(err)
				}
				if a.Status != 101 || a.Header.Has("Upgrade") || a.Header.Has("Connection") || (n > 2) != a.Header.Has("Sec-WebSocket-Accept") {
					t.Errorf("got %d, %v", a.Status, a.Header)
				}
				_ = a.Upgraded.Close()
			})
		}
	}
}

func TestTransport_giveTheTunnelWhatWasReadAhead(t *testing.T) {
	g := newTarget(t, func(p *peer) {
		p.request()
		p.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nahead")
	})
	out := get("/")
	out.Upgrade = "websocket"
	a, err := transport(t, TransportConfig{}).RoundTrip(t.Context(), g.addr, out, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(a.Upgraded); string(b) != "ahead" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
	_ = a.Upgraded.Close()
}
