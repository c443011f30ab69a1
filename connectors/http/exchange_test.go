package http

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// canned is a connection with a prepared answer.
type canned struct {
	net.Conn
	io.Reader
	closed bool
}

func (c *canned) Read(b []byte) (int, error)      { return c.Reader.Read(b) }
func (c *canned) Write(b []byte) (int, error)     { return len(b), nil }
func (c *canned) Close() error                    { c.closed = true; return nil }
func (*canned) SetDeadline(time.Time) error       { return nil }
func (*canned) SetReadDeadline(t time.Time) error { return nil }

// read reads an answer that arrives in pieces of this size; 0: in one piece. spent
// reports that the connection is not used for another answer.
func read(t *testing.T, bytes []byte, piece, limit int) (x *exchange, spent bool, err error) {
	t.Helper()
	c := &canned{Reader: strings.NewReader(string(bytes))}
	switch piece {
	case 1:
		c.Reader = iotest.OneByteReader(c.Reader)
	case 2:
		c.Reader = iotest.HalfReader(c.Reader)
	}
	s, err := NewSink(sinkConfig("http://x"), SinkOptions{Dial: func(context.Context, string, string) (net.Conn, error) { return c, nil }})
	if err != nil {
		t.Fatal(err)
	}
	x = s.exchanges.Get().(*exchange)
	x.out.Raw = []byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
	_, err = s.roundTrip(t.Context(), x, limit)
	spent = c.closed
	if cerr := s.Close(t.Context()); cerr != nil {
		t.Error(cerr)
	}
	return x, spent, err
}

func TestExchange_readsAnswers(t *testing.T) {
	for _, row := range []struct {
		name, answer string
		status       int // 0: none
		body         string
		spent        bool
	}{
		{"plain", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", false},
		{"no reason phrase", "HTTP/1.1 204\r\n\r\n", 204, "", false},
		{"names in any case", "HTTP/1.1 200 OK\r\ncOnTeNt-LeNgTh:2\r\n\r\nok", 200, "ok", false},
		{"bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, "ok", true},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n", 200, "ok", false},
		{"the same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", 200, "ok", false},
		{"body until the connection closes", "HTTP/1.1 200 OK\r\n\r\nok", 200, "ok", true},
		{"length and chunked", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "", true},
		{"chunked and length", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "", true},
		{"another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\nok", 200, "", true},
		{"chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "", true},
		{"a folded line", "HTTP/1.1 200 OK\r\nX: 1\r\n Content-Length: 5\r\nContent-Length: 2\r\n\r\nok", 200, "ok", true},
		{"a space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", 200, "ok", false},
		{"body shorter than Content-Length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", 200, "ok", true},
		{"body longer than Content-Length", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok", 200, "o", true},
		{"over the limit", "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + strings.Repeat("x", 40), 200, strings.Repeat("x", 32), true},
		{"chunks over the limit", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n28\r\n" + strings.Repeat("x", 40) + "\r\n0\r\n\r\n", 200, strings.Repeat("x", 32), true},
		{"a chunk without its end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokx\r\n0\r\n\r\n", 200, "ok", true},
		{"a chunk without a size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n;x\r\n", 200, "", true},
		{"too large a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n123456789\r\n", 200, "", true},
		{"trailers without an end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("X: y\r\n", 5000), 200, "", true},
		{"a chunk's line without an end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("x", 20000), 200, "", true},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", true},

		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", 0, "", true},
		{"no number", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", 0, "", true},
		{"an endless number", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok", 0, "", true},
		{"no colon", "HTTP/1.1 200 OK\r\nX\r\n\r\n", 0, "", true},
		{"no name", "HTTP/1.1 200 OK\r\n: x\r\n\r\n", 0, "", true},
		{"no status", "HTTP/1.1 OK\r\n\r\n", 0, "", true},
		{"status 099", "HTTP/1.1 099 OK\r\n\r\n", 0, "", true},
		{"status 2000", "HTTP/1.1 2000 OK\r\n\r\n", 0, "", true},
		{"HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n", 0, "", true},
		{"HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", 0, "", true},
		{"empty", "", 0, "", true},
		{"half a header", "HTTP/1.1 200 OK\r\nContent-", 0, "", true},
		{"many headers", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: yyyyyyyyyyyyy\r\n", 2000) + "\r\n", 0, "", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			for piece := range 3 {
				x, spent, err := read(t, []byte(row.answer), piece, 32)
				if (err == nil) != (row.status != 0) {
					t.Fatalf("in pieces %d: error is %v", piece, err)
				}
				// Surplus bytes that have not arrived cannot be seen.
				if spent != row.spent && (row.name != "body longer than Content-Length" || piece != 1) {
					t.Errorf("in pieces %d: spent is %v", piece, spent)
				}
				if err == nil && (x.status != row.status || string(x.body) != row.body) {
					t.Errorf("in pieces %d: %d %q", piece, x.status, x.body)
				}
			}
		})
	}
}

// An answer after which the connection is reused is read as net/http reads it, so that
// the next answer begins at the same byte.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(okAnswer))
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nRetry-After: 1\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\nX-T: 1\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 503 Busy\nConnection: a, close\nContent-Type: text/plain\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		x, spent, err := read(t, data, 0, 1<<10)
		slow, slowSpent, slowErr := read(t, data, 1, 1<<10)
		if fmt.Sprint(err) != fmt.Sprint(slowErr) || err == nil && (!bytes.Equal(x.body, slow.body) || slowSpent && !spent) {
			t.Fatalf("in pieces it is another answer: %v, %v", err, slowErr)
		}
		if len(x.body) > 1<<10 {
			t.Fatalf("%d bytes of body", len(x.body))
		}
		if err != nil || spent {
			return
		}
		br := bufio.NewReader(bytes.NewReader(data))
		resp := &nethttp.Response{StatusCode: 100}
		for resp.StatusCode/100 == 1 {
			if resp, err = nethttp.ReadResponse(br, &nethttp.Request{Method: "POST"}); err != nil {
				return // net/http is stricter here, which does not matter: the one answer was read whole
			}
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != x.status || err == nil && (!bytes.Equal(body, x.body) || br.Buffered() > 0) {
			t.Fatalf("%d %q here, %d %q (%v) by net/http, %d left", x.status, x.body, resp.StatusCode, body, err, br.Buffered())
		}
	})
}
