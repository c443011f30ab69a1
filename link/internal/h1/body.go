package h1

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/lsm/fiso/link/internal/call"
)

// errChunk is a chunked body that breaks the rules. Extensions of chunks are
// refused: nobody uses them, and readers differ on where they end.
var errChunk = errors.New("the chunked body is malformed")

// maxTrailer bounds a trailer, maxChunkLine the line that begins a chunk.
const (
	maxTrailer   = 16 << 10
	maxChunkLine = 32
)

// body reads the body of one message from the connection's buffer.
type body struct {
	b       *buffer
	kind    bodyKind
	left    int64 // of the length, or of the current chunk
	begun   bool  // of chunks: the first was read
	err     error // sticky; io.EOF at the end
	trailer call.Header
}

type bodyKind uint8

const (
	byLength bodyKind = iota
	byChunks
	untilClose
)

// reset makes it the body of the next message.
func (d *body) reset(kind bodyKind, length int64) {
	*d = body{b: d.b, kind: kind, left: length}
	if kind == byLength && length == 0 {
		d.err = io.EOF
	}
}

// Read reads on. Its error is io.EOF exactly when the body came whole.
func (d *body) Read(p []byte) (n int, err error) {
	if d.err != nil || len(p) == 0 {
		return 0, d.err
	}
	if d.kind == byChunks && d.left == 0 {
		if d.err = d.chunk(); d.err != nil {
			return 0, d.err
		}
	}
	if d.kind == untilClose {
		n, d.err = d.b.Read(p)
		return n, d.err
	}
	n, err = d.b.Read(p[:min(int64(len(p)), d.left)])
	if d.left -= int64(n); err != nil {
		d.err = unexpected(err)
		return n, d.err
	}
	if d.left == 0 && d.kind == byLength {
		d.err = io.EOF
		return n, nil
	}
	return n, nil
}

// chunk reads up to the data of the next chunk; io.EOF after the last one and
// the trailer.
func (d *body) chunk() error {
	if d.begun {
		if end, err := d.b.textLine(maxChunkLine); err != nil {
			return err
		} else if end != "" {
			return errChunk
		}
	}
	d.begun = true
	text, err := d.b.textLine(maxChunkLine)
	if err != nil {
		return err
	}
	size, ok := hexadecimal(text)
	if !ok {
		return errChunk
	}
	if size > 0 {
		d.left = size
		return nil
	}
	return d.readTrailer()
}

func (d *body) readTrailer() error {
	var text strings.Builder
	for {
		l, err := d.b.textLine(maxTrailer)
		if err != nil {
			return err
		}
		if text.Len()+len(l) > maxTrailer {
			return errHeadTooLarge
		}
		text.WriteString(l)
		text.WriteString("\r\n")
		if l == "" {
			break
		}
	}
	trailer, f, err := fields(text.String(), nil, nil)
	if err != nil {
		return err
	}
	if f.length >= 0 || f.chunked || trailer.Has("host") {
		return errChunk // framing has no place behind what it frames
	}
	d.trailer = trailer
	return io.EOF
}

// ready reports whether the next Read will not wait. Of chunks, neither the end
// of one nor the line that begins the next is anything to read.
func (d *body) ready() bool {
	rest := d.b.data[d.b.r:d.b.w]
	if d.over() || d.kind != byChunks || d.left > 0 {
		return d.over() || len(rest) > 0
	}
	if d.begun && len(rest) >= 2 {
		rest = rest[2:]
	}
	line := bytes.IndexByte(rest, '\n')
	return line >= 0 && line+1 < len(rest)
}

// over reports whether the body was read whole.
func (d *body) over() bool { return d.err == io.EOF }

func hexadecimal(s string) (int64, bool) {
	if s == "" || len(s) > 15 {
		return 0, false
	}
	var n int64
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | int64(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | int64(c-'a'+10)
		case 'A' <= c && c <= 'F':
			n = n<<4 | int64(c-'A'+10)
		default:
			return 0, false
		}
	}
	return n, true
}
