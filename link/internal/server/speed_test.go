package server

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// quick is an upstream that gives every request the same answer, without allocating.
func quick(tb testing.TB, size int) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	reply := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size))
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				buf := make([]byte, 16<<10)
				for {
					if _, err := c.Read(buf); err != nil { // a request of the benchmark arrives in one read
						return
					}
					if _, err := c.Write(reply); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// caller is a connection to a server whose target has a bearer token.
func caller(tb testing.TB, method string, sent, size int) (call func()) {
	tb.Helper()
	secret := filepath.Join(tb.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("t"), 0o600); err != nil {
		tb.Fatal(err)
	}
	l := start(tb, "targets:\n"+aTarget("crm", quick(tb, size), ", auth: {type: bearer, secretRef: {filePath: '"+secret+"'}}, allowedPaths: ['/api/**']"), func(i *Server) { i.o.Logger = slog.New(slog.DiscardHandler) }) // at debug level, every call is logged
	c, err := net.Dial("tcp", l.calls)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	length := ""
	if sent > 0 {
		length = fmt.Sprintf("Content-Length: %d\r\n", sent)
	}
	request := []byte(method + " /link/crm/api/v2/contacts HTTP/1.1\r\nHost: " + l.calls + "\r\nUser-Agent: test\r\nAccept: */*\r\n" + length + "\r\n" + strings.Repeat("y", sent))
	buf := make([]byte, 64<<10)
	return func() {
		if _, err := c.Write(request); err != nil {
			tb.Fatal(err)
		}
		got, want := 0, -1
		for want < 0 || got < want {
			n, err := c.Read(buf[got:])
			if err != nil {
				tb.Fatal(err)
			}
			got += n
			if i := bytes.Index(buf[:got], []byte("\r\n\r\n")); i >= 0 {
				want = i + 4 + size
			}
		}
		if !bytes.HasPrefix(buf, []byte("HTTP/1.1 200 ")) {
			tb.Fatalf("%s", buf[:got])
		}
	}
}

func BenchmarkCall(b *testing.B) {
	for _, row := range []struct {
		name, method string
		sent, size   int
	}{{"GET 1 KB", "GET", 0, 1 << 10}, {"POST 1 KB", "POST", 1 << 10, 1 << 10}, {"GET 32 KB", "GET", 0, 32 << 10}} {
		b.Run(row.name, func(b *testing.B) {
			call := caller(b, row.method, row.sent, row.size)
			call()
			b.ReportAllocs()
			for b.Loop() {
				call()
			}
		})
	}
}

// The allocations of a whole call: the heads and fields of request and answer, in and
// out, and the call itself.
func TestCall_allocatesLittle(t *testing.T) {
	for _, row := range []struct {
		name, method string
		sent, most   int
	}{{"without a body", "GET", 0, 9}, {"with one", "POST", 1 << 10, 11}} {
		call := caller(t, row.method, row.sent, 1<<10)
		call()
		got := testing.AllocsPerRun(500, call)
		t.Logf("%s: %v allocations", row.name, got)
		if got > float64(row.most) && !raceEnabled {
			t.Errorf("%s: %v allocations a call; want at most %d", row.name, got, row.most)
		}
	}
}
