package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// net/http is the second reader. It must accept all that is accepted here, with the same
// meaning: requests are smuggled where two readers differ
// (https://github.com/narfindustries/http-garden). Refusing more is fine.

// sameFields compares a header with that of net/http, which has no framing.
func sameFields(t *testing.T, h Header, theirs http.Header) {
	t.Helper()
	ours := http.Header{}
	for _, f := range h {
		key := textproto.CanonicalMIMEHeaderKey(f.Name)
		ours[key] = append(ours[key], f.Value)
	}
	theirs = theirs.Clone()
	theirs.Del("Content-Length")
	ours.Del("Trailer") // net/http removes it
	theirs.Del("Trailer")
	if len(ours)+len(theirs) > 0 && !reflect.DeepEqual(ours, theirs) {
		t.Errorf("fields differ: %q and %q", ours, theirs)
	}
}

// special reports fields that net/http changes, or whose values it checks.
func special(h Header) bool {
	for f := range h.Tokens("Trailer") {
		switch textproto.CanonicalMIMEHeaderKey(f) {
		case "Content-Length", "Transfer-Encoding", "Trailer":
			return true
		}
	}
	return h.Has("Pragma")
}

func FuzzParseRequest(f *testing.F) {
	for _, row := range badHeads {
		if len(row.raw) < 1000 {
			f.Add([]byte(row.raw))
		}
	}
	f.Add([]byte("GET /a?b=%2F&c;d HTTP/1.1\r\nHost: a:80\r\nA: \t b \t\r\nA:\r\nConnection: Close, x\r\n\r\n"))
	f.Add([]byte("POST //a//b HTTP/1.0\r\nhost: [::1]\r\nCONTENT-LENGTH: 007\r\nconnection: keep-alive\r\n\r\n"))
	f.Add([]byte("PUT /a HTTP/1.1\r\nHost: \r\ntransfer-encoding: ChunKed\r\nTrailer: a\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		n := headEnd(data, 0)
		if n == 0 {
			return
		}
		r, err := parseRequest(string(data[:n]), nil)
		if err != nil || special(r.header) {
			return
		}
		if _, err := url.ParseRequestURI(r.target); err != nil {
			return // a bad escape is refused later, when the path is made canonical
		}
		in := bufio.NewReader(bytes.NewReader(data[:n]))
		q, err := http.ReadRequest(in)
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", data[:n], err)
		}
		if q.Method != r.method || q.RequestURI != r.target || q.Host != r.host || q.ProtoMinor != r.minor || in.Buffered() != 0 {
			t.Errorf("read %+v, net/http %+v", r, q)
		}
		if length := max(r.length, 0); !r.chunked && q.ContentLength != length || r.chunked != (len(q.TransferEncoding) == 1) {
			t.Errorf("length %d, chunks %v, net/http %d %v", r.length, r.chunked, q.ContentLength, q.TransferEncoding)
		}
		if ends := r.close || r.minor == 0 && !r.keep; q.Close != ends {
			t.Errorf("the connection ends: %v, net/http %v", ends, q.Close)
		}
		sameFields(t, r.header, q.Header)
	})
}

// spaced matches fields and chunks of answers that RFC 9112 allows with extra space
// (sections 5.1 and 7.1.1), and net/http does not.
var (
	spaced = regexp.MustCompile(`[ \t]:`)
	padded = regexp.MustCompile(`[ \t];|[0-9a-fA-F]{17}`)
)

func FuzzParseAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\n\r\n", "HTTP/1.1 200\r\ntransfer-encoding: chunked\r\n\r\n",
		"HTTP/1.0 404 not  found \r\nConnection: keep-alive\r\n\r\n", "HTTP/1.1 204 \r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length\t : 5\r\n\r\n", "HTTP/1.1 200 OK\nA: b\r\n c\n\td\n\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n := headEnd(data, 0)
		if n == 0 {
			return
		}
		a, err := parseAnswer(string(data[:n]))
		if err != nil || spaced.Match(data[:n]) {
			return
		}
		_, rest, _, _ := line(string(data[:n]), ofServer)
		if h, _, _ := fields(rest, nil, ofServer, nil); special(h) {
			return
		}
		q, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(data[:n])), nil)
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", data[:n], err)
		}
		if q.StatusCode != a.status || q.ProtoMinor != a.minor {
			t.Errorf("read %+v, net/http %+v", a, q)
		}
		if a.status/100 != 1 && a.status != 204 && a.status != 304 {
			if q.ContentLength != a.length || a.chunked != (len(q.TransferEncoding) == 1) {
				t.Errorf("length %d, chunks %v, net/http %d %v", a.length, a.chunked, q.ContentLength, q.TransferEncoding)
			}
		}
		theirs := Header{}
		for name, values := range q.Header {
			for _, v := range values {
				theirs.Add(name, strings.TrimRight(v, " ")) // left by a folded line without text
			}
		}
		q.Header = http.Header{}
		for _, f := range EndToEnd(theirs) {
			q.Header.Add(f.Name, f.Value)
		}
		sameFields(t, a.header, q.Header)
	})
}

func FuzzChunks(f *testing.F) {
	for _, s := range []string{
		"5\r\nhello\r\n0\r\n\r\nnext", "1\r\na\r\n0002\r\nbc\r\n000\r\nA: b\r\n\r\n", "5;x\r\nhello\r\n0\r\n\r\n", "1;a=\"b;\\\"c\";d\r\na\r\n0;e\r\n\r\n", "5\nhello\n0\n\n",
		"5\r\nhello0\r\n\r\n", "0\r\nContent-Length: 5\r\n\r\n", "fffffffffffffffff\r\n", "0\r\n\r", " 5\r\nhello\r\n0\r\n\r\n", "5 \t\r\nhello\r\n0 \r\nA : b\r\n\r\n", "A\r\n0123456789\r\n0\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, of := range [...]side{ofClient, ofServer} {
			sameChunks(t, of, data)
		}
	})
}

// sameChunks compares a chunked body, and its end, with what net/http reads.
func sameChunks(t *testing.T, of side, data []byte) {
	rest := bytes.NewReader(data)
	b := &buffer{conn: rest, data: make([]byte, 64)}
	d := body{b: b, of: of}
	d.reset(byChunks, 0)
	ours, err := io.ReadAll(&d)
	if err != nil || padded.Match(data) || of == ofServer && spaced.Match(data) {
		return
	}
	const head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	in := bufio.NewReaderSize(io.MultiReader(strings.NewReader(head), bytes.NewReader(data)), 64<<10)
	q, err := http.ReadRequest(in)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := io.ReadAll(q.Body)
	if err != nil || !bytes.Equal(ours, theirs) {
		t.Fatalf("read %q, net/http %q, %v", ours, theirs, err)
	}
	left, _ := io.ReadAll(in)
	if n := rest.Len() + b.unused(); n != len(left) {
		t.Errorf("%d bytes are left, by net/http %d", n, len(left))
	}
}
