package http1

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
)

// Requests that two readers could understand differently, and targets without a path:
// https://github.com/golang/go/issues/71988,
// https://github.com/narfindustries/http-garden,
// https://github.com/golang/vulndb/issues/6465 (opaque targets),
// https://nvd.nist.gov/vuln/detail/CVE-2023-47106 (fragments).
var badHeads = []struct {
	name, raw string
	status    int
}{
	{"Content-Length and Transfer-Encoding", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"Transfer-Encoding and Content-Length", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
	{"two lengths that differ", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400},
	{"two lengths that agree", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
	{"a list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", 400},
	{"a length with plus", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nh", 400},
	{"a length with minus", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nh", 400},
	{"a hexadecimal length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\nh", 400},
	{"an empty length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nh", 400},
	{"a length that overflows", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\nh", 400},
	{"chunked twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"chunked, identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400},
	{"identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 400},
	{"xchunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400},
	{"a vertical tab before chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400},
	{"the Kelvin sign in chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chun\u212aed\r\n\r\n0\r\n\r\n", 400},
	{"a folded line", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400},
	{"a first field that is folded", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
	{"space before a colon", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello", 400},
	{"a bare line feed after the first line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
	{"a bare line feed after a field", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400},
	{"bare line feeds at the end", "GET / HTTP/1.1\r\nHost: a\n\n", 400},
	{"a bare carriage return in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n", 400},
	{"a bare carriage return before the end", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\r\n\r\n", 400},
	{"NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: b\x00c\r\n\r\n", 400},
	{"NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\x00Y: b\r\n\r\n", 400},
	{"no colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400},
	{"no name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400},
	{"HTTP/1.0 with chunks", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"HTTP/0.9", "GET /\r\n\r\n", 400},
	{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400},
	{"HTTP/2.0 without its preface", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400},
	{"http/1.1 in small letters", "GET / http/1.1\r\nHost: a\r\n\r\n", 400},
	{"more empty lines than a slip", "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"a bare line feed before the first line", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"space before any colon", "GET / HTTP/1.1\r\nHost: a\r\nX\t: b\r\n\r\n", 400},
	{"two spaces before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"space after the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
	{"no method", " / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"a method that is no token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"absolute form", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"an opaque target", "GET http:http://vhost/admin HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"authority form", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"CONNECT with a path", "CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"asterisk form", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"a target beyond ASCII", "GET /ä HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"a tab in the target", "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
	{"no host", "GET / HTTP/1.1\r\nX: a\r\n\r\n", 400},
	{"no host, in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", 400},
	{"a list of hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
	{"a host with a user", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400},
	{"a host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
	{"an expectation that nobody knows", "GET / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n", 417},
	{"the start of HTTP/2, and something else", "PRI * HTTP/2.0\r\n\r\nGET / ", 400},
	{"the preface of HTTP/2, where it is not served", preface, 400},
	{"a head that is too large", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 40<<10) + "\r\n\r\n", 431},
	{"a head without an end", "GET /" + strings.Repeat("a", 40<<10), 431},
	{"too many fields", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: a\r\n", maxFields+1) + "\r\n", 431},
}

// L3, https://github.com/golang/vulndb/issues/6465: a target must be a path.
// L7, https://github.com/golang/go/issues/71988: one request is never read as two.
func TestServer_refusesHeadsThatCouldBeReadInTwoWays(t *testing.T) {
	var handed atomic.Int32
	addr := serve(t, &Server{Handler: handlerFunc(func(context.Context, ResponseWriter, *Request) { handed.Add(1) })})
	for _, row := range badHeads {
		t.Run(row.name, func(t *testing.T) {
			a := dial(t, addr)
			a.say(row.raw)
			a.say("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
			res, body, err := a.answer("GET")
			if err != nil || res.StatusCode != row.status || body == "" {
				t.Errorf("answered %d %s (%v), want %d", res.StatusCode, body, err, row.status)
			}
			if !res.Close {
				t.Error("the answer does not say that the connection ends")
			}
			a.over()
			if n := handed.Load(); n != 0 {
				t.Errorf("%d requests were handed on", n)
			}
		})
	}
}

func TestServer_refusesAHeadLargerThanItsLimit_alsoWhereItFitsTheBuffer(t *testing.T) {
	addr := serve(t, &Server{Handler: echo, Limits: Limits{Head: 100}})
	for _, size := range []int{60, 200, 4090} {
		a := dial(t, addr)
		a.say("GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", size) + "\r\n\r\n")
		if res, _, _ := a.answer("GET"); res.StatusCode != map[bool]int{true: 200, false: 431}[size < 65] {
			t.Errorf("a field of %d bytes: answered %d", size, res.StatusCode)
		}
	}
}

func TestServer_readsAHeadInPieces(t *testing.T) {
	addr := serve(t, &Server{Handler: echo})
	a := dial(t, addr)
	head := "GET /slow HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 9000) + "\r\n\r\n"
	for i := 0; i < len(head); i += 97 {
		a.say(head[i:min(i+97, len(head))])
	}
	a.expect(200, "GET /slow ")
	for _, c := range "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" {
		a.say(string(c))
	}
	a.expect(200, "GET /slow ")
}

func TestParseAnswer_refuses(t *testing.T) {
	for _, row := range []struct {
		name, raw string
		err       error
	}{
		{"no space", "HTTP/1.1\r\n\r\n", errLine},
		{"another version", "HTTP/2 200 OK\r\n\r\n", errVersion},
		{"another protocol", "SSH-2.0-x 200\r\n\r\n", errVersion},
		{"two digits", "HTTP/1.1 20 OK\r\n\r\n", errStatus},
		{"four digits", "HTTP/1.1 2000 OK\r\n\r\n", errStatus},
		{"below 100", "HTTP/1.1 099 OK\r\n\r\n", errStatus},
		{"a letter", "HTTP/1.1 2x0 OK\r\n\r\n", errStatus},
		{"a control character in the reason", "HTTP/1.1 200 O\x00K\r\n\r\n", errValue},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", errLength},
		{"a length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", errTwoFrames},
		{"a length that goes on in a folded line", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 2\r\n\r\n", errLength},
		{"a folded line before any field", "HTTP/1.1 200 OK\r\n A: b\r\n\r\n", errFold},
		{"chunks twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", errCoding},
		{"another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", errCoding},
		{"chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", errCoding},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := parseAnswer(row.raw); !errors.Is(err, row.err) {
				t.Errorf("got %v, want %v", err, row.err)
			}
		})
	}
	a, err := parseAnswer("HTTP/1.1 299\r\nConnection: x, close\r\n\r\n")
	if err != nil || a.status != 299 || !a.close || a.length != -1 {
		t.Errorf("an answer without a reason: %+v, %v", a, err)
	}
}

func TestParse_ofAHeadWithoutAnEndSaysSo(t *testing.T) {
	for _, head := range []string{"", "GET / HTTP/1.1", "GET / HTTP/1.1\r\nHost: a\r\n"} {
		if _, err := parseRequest(head, nil); !errors.Is(err, errBare) {
			t.Errorf("%q: %v", head, err)
		}
		if _, err := parseAnswer(strings.Replace(head, "GET / HTTP/1.1", "HTTP/1.1 200 OK", 1)); !errors.Is(err, errBare) {
			t.Errorf("%q: %v", head, err)
		}
	}
}
