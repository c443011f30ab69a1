package http

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// canned is a connection on which an answer stands ready.
type canned struct {
	net.Conn
	io.Reader
}

func (c canned) Read(b []byte) (int, error)    { return c.Reader.Read(b) }
func (canned) SetDeadline(time.Time) error     { return nil }
func (canned) SetReadDeadline(time.Time) error { return nil }

// read reads an answer that arrives in pieces of this size; 0: in one.
func read(bytes []byte, piece, limit int) (*conn, error) {
	var r io.Reader = strings.NewReader(string(bytes))
	switch piece {
	case 1:
		r = iotest.OneByteReader(r)
	case 2:
		r = iotest.HalfReader(r)
	}
	c := newConn(canned{Reader: r}, time.Now())
	return c, c.receive(context.Background(), nil, limit)
}

func TestConn_readsAnswers(t *testing.T) {
	for _, row := range []struct {
		name, answer string
		status       int // 0: none
		body         string
		spent        bool
	}{
		{"plain", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", false},
		{"no reason", "HTTP/1.1 204\r\n\r\n", 204, "", false},
		{"names in any case", "HTTP/1.1 200 OK\r\ncOnTeNt-LeNgTh:2\r\n\r\nok", 200, "ok", false},
		{"bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, "ok", false},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n", 200, "ok", false},
		{"the same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", 200, "ok", false},
		{"to the end", "HTTP/1.1 200 OK\r\n\r\nok", 200, "ok", true},
		{"length and chunked", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "ok", true},
		{"chunked and length", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "ok", true},
		{"another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\nok", 200, "ok", true},
		{"chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "ok", true},
		{"a folded line", "HTTP/1.1 200 OK\r\nX: 1\r\n Content-Length: 5\r\nContent-Length: 2\r\n\r\nok", 200, "ok", true},
		{"a space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", 200, "ok", true},
		{"short", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", 200, "ok", true},
		{"long", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok", 200, "o", true},
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
				c, err := read([]byte(row.answer), piece, 32)
				if (err == nil) != (row.status != 0) {
					t.Fatalf("in pieces %d: error is %v", piece, err)
				}
				// Bytes to spare that have not arrived cannot be seen.
				if c.spent != row.spent && (row.name != "long" || piece != 1) {
					t.Errorf("in pieces %d: spent is %v", piece, c.spent)
				}
				if err == nil && (c.answer.status != row.status || string(c.answer.body) != row.body) {
					t.Errorf("in pieces %d: %d %q", piece, c.answer.status, c.answer.body)
				}
			}
		})
	}
}

func TestConn_givesUpOnAReaderThatReturnsNothing(t *testing.T) {
	c := newConn(canned{Reader: iotest.ErrReader(nil)}, time.Now())
	if err := c.receive(t.Context(), nil, 32); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("error is %v", err)
	}
}

// What a connection may be used again after is read as net/http reads it, so
// that the next answer begins where it does.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(okAnswer))
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nRetry-After: 1\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\nX-T: 1\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 503 Busy\nConnection: a, close\nContent-Type: text/plain\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := read(data, 0, 1<<10)
		slow, slowErr := read(data, 1, 1<<10)
		if fmt.Sprint(err) != fmt.Sprint(slowErr) || err == nil && (!bytes.Equal(c.answer.body, slow.answer.body) || slow.spent && !c.spent) {
			t.Fatalf("in pieces it is another answer: %v, %v", err, slowErr)
		}
		if len(c.buf) > maxAnswerHeader || len(c.answer.body) > 1<<10 {
			t.Fatalf("%d bytes of buffer, %d of body", len(c.buf), len(c.answer.body))
		}
		if err != nil || c.spent {
			return
		}
		br := bufio.NewReader(bytes.NewReader(data))
		resp := &nethttp.Response{StatusCode: 100}
		for resp.StatusCode/100 == 1 {
			if resp, err = nethttp.ReadResponse(br, &nethttp.Request{Method: "POST"}); err != nil {
				return // it is stricter, which loses nothing here: one answer, all of it read
			}
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != c.answer.status || err == nil && (!bytes.Equal(body, c.answer.body) || br.Buffered() > 0) {
			t.Fatalf("%d %q here, %d %q (%v) by net/http, %d left", c.answer.status, c.answer.body, resp.StatusCode, body, err, br.Buffered())
		}
	})
}

// A server may refuse a request that it has not read; it cannot have taken it.
func TestConn_anAnswerToHalfARequestRefusesAndNeverDelivers(t *testing.T) {
	broken := errors.New("broken")
	for answer, want := range map[string]error{
		okAnswer:                              broken,
		status("413 Payload Too Large", ""):   nil,
		status("503 Service Unavailable", ""): nil,
		"":                                    broken,
	} {
		c := newConn(canned{Reader: strings.NewReader(answer)}, time.Now())
		if err := c.receive(t.Context(), broken, 32); !errors.Is(err, want) || !c.spent {
			t.Errorf("%.20q: error is %v, spent %v", answer, err, c.spent)
		}
	}
}
