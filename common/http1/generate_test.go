package http1

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// generator makes valid streams. The same seed makes the same stream.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 1))} } //nolint:gosec // G404: the same again for the same seed

func (g generator) one(of ...string) string { return of[g.IntN(len(of))] }

// word is a text with up to that many letters.
func (g generator) word(limit int) string {
	b := make([]byte, g.IntN(limit)+1)
	for i := range b {
		b[i] = "abcdefghijklmnopqrstuvwxyz0123456789-_"[g.IntN(38)]
	}
	return string(b)
}

// spelt changes the case of letters at random.
func (g generator) spelt(name string) string {
	return g.one(name, strings.ToLower(name), strings.ToUpper(name))
}

// line is a field with any space around its value.
func (g generator) line(name, value string) string {
	return g.spelt(name) + ":" + g.one("", " ", " \t") + value + g.one("", "", " ", "\t ") + "\r\n"
}

// fields returns some fields and the given ones, in any order.
func (g generator) fields(given ...string) string {
	for range g.IntN(6) {
		value := g.one("", g.word(20), g.word(8)+", "+g.word(8), "\""+g.word(9)+"\"", "b\xc3\xa4r", "*/*", g.word(3000))
		given = append(given, g.line("X-"+g.word(6), value))
	}
	if g.IntN(4) == 0 {
		given = append(given, g.line(g.one("Accept", "User-Agent", "Cookie", "Date", "ETag", "Vary", "Content-Type"), g.word(20)))
	}
	g.Shuffle(len(given), func(i, j int) { given[i], given[j] = given[j], given[i] })
	return strings.Join(given, "") + "\r\n"
}

// size is the size of a body: zero, small, near that of the buffers, or large.
func (g generator) size() int {
	return []int{0, 1, g.IntN(100), readBuffer - 1 + g.IntN(3), g.IntN(20 << 10), 64 << 10}[g.IntN(6)]
}

func (g generator) body() string {
	n := g.size()
	return strings.Repeat(g.one("x", "\r\n", "0\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "\x00\xff"), n+1)[:n]
}

// chunks frames a body, with leading zeros, digits in any case, extensions and a
// trailer.
func (g generator) chunks(body string) string {
	var b strings.Builder
	for body != "" {
		n := 1 + g.IntN(len(body))
		if n < len(body) && g.IntN(3) > 0 {
			n = min(len(body), 1+g.IntN(50))
			if len(body) > 2000 {
				n = min(len(body), 1000+g.IntN(5000))
			}
		}
		size := fmt.Sprintf(g.one("%x", "%X", "%04x"), n)
		b.WriteString(size + g.one("", "", ";"+g.word(5), ";a=b;c", ";q=\"z;y\"") + "\r\n" + body[:n] + "\r\n")
		body = body[n:]
	}
	b.WriteString(g.one("0", "000", "0;last") + "\r\n")
	if g.IntN(4) == 0 {
		b.WriteString(g.line("X-Sum", g.word(9)))
	}
	b.WriteString("\r\n")
	return b.String()
}

// pieces cuts a text into pieces, and sometimes cuts off its end.
func (g generator) pieces(text string) (list []string, broken bool) {
	if broken = g.IntN(5) == 0; broken {
		text = text[:g.IntN(len(text))]
	}
	for text != "" && len(list) < 12 && g.IntN(3) > 0 {
		n := 1 + g.IntN(len(text))
		list, text = append(list, text[:n]), text[n:]
	}
	return append(list, text), broken
}

// requests makes up to three requests for one connection.
func (g generator) requests() stream {
	var b strings.Builder
	for n := 1 + g.IntN(3); n > 0; n-- {
		method := g.one("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "X-OWN")
		target := "/" + g.one("", g.word(10), "a/b/../c", "%2F%20", "a;b=c") + g.one("", "?", "?"+g.word(9), "?a=b&c=%zz", "?x=\xc3\xa4")
		given := []string{g.line("Host", g.one("a", "a:80", "[::1]:8080", "x.example"))}
		body := g.body()
		framed := body
		switch g.IntN(3) {
		case 0:
			framed = ""
		case 1:
			given = append(given, g.line("Content-Length", g.one("", "00")+fmt.Sprint(len(body))))
		default:
			framed = g.chunks(body)
			given = append(given, g.line("Transfer-Encoding", g.one("chunked", "Chunked")), g.line("Trailer", "X-Sum"))
		}
		given = append(given, g.one("", "", g.line("Connection", g.one("keep-alive", "x-own"))))
		b.WriteString(method + " " + target + " HTTP/1.1\r\n" + g.fields(given...) + framed)
	}
	pieces, broken := g.pieces(b.String())
	return stream{pieces: pieces, broken: broken, method: "GET"}
}

// answers makes interim answers and a final one.
func (g generator) answers() stream {
	var b strings.Builder
	for range g.IntN(2) * g.IntN(3) {
		b.WriteString("HTTP/1.1 " + g.one("100 Continue", "102 Processing", "103 Early Hints") + "\r\n" + g.fields())
	}
	method := g.one("GET", "GET", "GET", "HEAD")
	status := g.one("200 OK", "200 ", "201 Created", "204 No Content", "206 Partial Content", "304 Not Modified", "404 Not Found", "500 x", "503 Service Unavailable", "299 \xc3\xa4")
	version, given := "HTTP/1.1", []string(nil)
	body := g.body()
	framed := body
	bodiless := method == "HEAD" || strings.HasPrefix(status, "204") || strings.HasPrefix(status, "304")
	switch g.IntN(4) {
	case 0:
		if bodiless {
			framed = ""
		}
	case 1, 2:
		if strings.HasPrefix(status, "204") {
			break
		}
		given = append(given, g.line("Content-Length", fmt.Sprint(len(body))))
		if g.IntN(5) == 0 {
			version = "HTTP/1.0"
		}
	default:
		if !strings.HasPrefix(status, "204") {
			framed = g.chunks(body)
			given = append(given, g.line("Transfer-Encoding", "chunked"))
			if g.IntN(2) == 0 {
				given = append(given, g.line("Trailer", "X-Sum"))
			}
		}
	}
	if bodiless {
		framed = ""
	}
	given = append(given, g.one("", "", g.line("Connection", g.one("keep-alive", "close", "x-own, close"))))
	b.WriteString(version + " " + status + "\r\n" + g.fields(given...) + framed)
	pieces, broken := g.pieces(b.String())
	return stream{pieces: pieces, broken: broken, method: method}
}
