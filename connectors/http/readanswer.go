package http

import (
	"bytes"
	"context"
	"errors"
)

// maxInterim is how many 1xx answers may come before the real one.
const maxInterim = 8

// answer is what of an answer counts. Its slices are used again by the next.
type answer struct {
	status int
	// last: the server, or how it frames its answers, allows no further
	// request on the connection.
	last        bool
	chunked     bool
	length      int64 // -1: the header says none
	retryAfter  []byte
	location    []byte
	contentType []byte
	body        []byte // the first limit bytes of it
}

func (a *answer) reset() {
	*a = answer{
		length: -1, retryAfter: a.retryAfter[:0], location: a.location[:0],
		contentType: a.contentType[:0], body: a.body[:0],
	}
}

// readHead reads the header of the answer, past interim ones.
func (c *conn) readHead(ctx context.Context) error {
	for range maxInterim + 1 {
		c.answer.reset()
		line, err := c.line(ctx, c.fill)
		if err != nil {
			return err
		}
		if !c.answer.statusLine(line) {
			return errNotHTTP
		}
		for size := len(line); ; size += len(line) {
			if line, err = c.line(ctx, c.fill); err != nil {
				return err
			}
			if len(line) == 0 {
				break
			}
			if size+len(line) > maxAnswerHeader {
				return errLargeHeader
			}
			if !c.answer.field(line) {
				return errNotHTTP
			}
		}
		// 101 is final: it says that what follows is no longer HTTP.
		if status := c.answer.status; status/100 != 1 || status == 101 {
			return nil
		}
	}
	return errNoEnd
}

// line is the next line without its end, valid until more is read by fill.
func (c *conn) line(ctx context.Context, fill func(context.Context) error) ([]byte, error) {
	seen := 0
	for {
		rest := c.buf[c.r:c.w]
		if i := bytes.IndexByte(rest[seen:], '\n'); i >= 0 {
			end := seen + i
			c.r += end + 1
			if end > 0 && rest[end-1] == '\r' {
				end--
			}
			return rest[:end], nil
		}
		seen = len(rest)
		if err := fill(ctx); err != nil {
			return nil, err
		}
	}
}

// statusLine reads "HTTP/1.1 200 OK", whose last part is often left out.
func (a *answer) statusLine(line []byte) bool {
	const prefix = "HTTP/1."
	if len(line) < len(prefix)+5 || string(line[:len(prefix)]) != prefix || line[8] != ' ' {
		return false
	}
	if len(line) > 12 && line[12] != ' ' {
		return false
	}
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return false
		}
		a.status = a.status*10 + int(c-'0')
	}
	minor := line[7]
	a.last = minor != '1' || a.status == 101
	return a.status >= 100 && (minor == '0' || minor == '1')
}

// field reads one line of the header. Whatever could be understood in more
// than one way ends the use of the connection: where an answer ends must never
// be a guess, or the rest of it would become the verdict on the next event.
func (a *answer) field(line []byte) bool {
	colon := bytes.IndexByte(line, ':')
	if line[0] == ' ' || line[0] == '\t' {
		a.last = true // a folded line, which nobody may send any more
		return true
	}
	if colon <= 0 {
		return false
	}
	name, value := line[:colon], bytes.Trim(line[colon+1:], " \t")
	if c := name[colon-1]; c == ' ' || c == '\t' {
		a.last = true
		return true
	}
	switch len(name) {
	case len("location"):
		keep(&a.location, name, "location", value)
	case len("connection"):
		if is(name, "connection") && containsFold(value, "close") {
			a.last = true
		}
	case len("retry-after"):
		keep(&a.retryAfter, name, "retry-after", value)
	case len("content-type"):
		keep(&a.contentType, name, "content-type", value)
	case len("content-length"):
		return !is(name, "content-length") || a.contentLength(value)
	case len("transfer-encoding"):
		if is(name, "transfer-encoding") {
			// Any other coding than chunked alone ends with the connection.
			a.last = a.last || a.chunked || a.length >= 0 || !is(value, "chunked")
			a.chunked = is(value, "chunked")
		}
	}
	return true
}

// keep copies the value of a header when it has the name, the first time.
func keep(to *[]byte, name []byte, want string, value []byte) {
	if is(name, want) && len(*to) == 0 {
		*to = append(*to, value...)
	}
}

// is compares without regard to case; want is in lower case.
func is(s []byte, want string) bool {
	if len(s) != len(want) {
		return false
	}
	for i, c := range s {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != want[i] {
			return false
		}
	}
	return true
}

func containsFold(s []byte, want string) bool {
	for i := 0; i+len(want) <= len(s); i++ {
		if is(s[i:i+len(want)], want) {
			return true
		}
	}
	return false
}

func (a *answer) contentLength(value []byte) bool {
	if len(value) == 0 || len(value) > 18 {
		return false
	}
	n := int64(0)
	for _, c := range value {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int64(c-'0')
	}
	if a.length >= 0 && a.length != n {
		return false
	}
	a.length = n
	a.last = a.last || a.chunked
	return true
}

var errAnswer = errors.New("the body of the answer is too long or malformed")

// readBody reads what is left of the answer.
func (c *conn) readBody(ctx context.Context, limit int) error {
	a := &c.answer
	switch {
	case a.status/100 == 1, a.status == 204, a.status == 304:
		return nil
	case a.chunked:
		return c.readChunks(ctx, limit)
	case a.length >= 0:
		return c.take(ctx, a.length, limit)
	}
	// It ends with the connection, or so it says: an end of the input is not
	// told from a connection that broke, and need not be.
	a.last = true
	return c.take(ctx, 1<<62, limit)
}

// take reads n bytes of the body.
func (c *conn) take(ctx context.Context, n int64, limit int) error {
	for n > 0 {
		if c.r == c.w {
			if err := c.fillBody(ctx); err != nil {
				return err
			}
		}
		part := c.buf[c.r:c.w]
		part = part[:min(int64(len(part)), n)]
		c.r += len(part)
		n -= int64(len(part))
		room := limit - len(c.answer.body)
		c.answer.body = append(c.answer.body, part[:min(room, len(part))]...)
		if len(part) > room {
			return errAnswer
		}
	}
	return nil
}

// readChunks reads the chunked coding, trailers included.
func (c *conn) readChunks(ctx context.Context, limit int) error {
	for {
		line, err := c.line(ctx, c.fillBody)
		if err != nil {
			return err
		}
		size, ok := chunkSize(line)
		if !ok {
			return errAnswer
		}
		if size == 0 {
			break
		}
		if err := c.take(ctx, size, limit); err != nil {
			return err
		}
		if line, err = c.line(ctx, c.fillBody); err != nil || len(line) > 0 {
			return errors.Join(errAnswer, err)
		}
	}
	for size := 0; size <= maxAnswerHeader; {
		line, err := c.line(ctx, c.fillBody)
		if err != nil || len(line) == 0 {
			return err
		}
		size += len(line)
	}
	return errAnswer
}

// chunkSize reads "1a" and "1a;name=value".
func chunkSize(line []byte) (size int64, ok bool) {
	line, _, _ = bytes.Cut(line, []byte{';'})
	line = bytes.TrimRight(line, " \t")
	if len(line) == 0 || len(line) > 8 {
		return 0, false
	}
	for _, c := range line {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		size = size<<4 | int64(c)
	}
	return size, true
}
