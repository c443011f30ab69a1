package http1

import (
	"bytes"
	"errors"
	"io"
	"strings"
)

// errChunk is a chunked body that breaks the rules.
const errChunk = Fault("the chunked body is malformed")

// maxTrailer bounds a trailer, maxChunkLine the line that begins a chunk, and
// maxChunkSize the digits of its size, of which most must be zeros.
const (
	maxTrailer   = 16 << 10
	maxChunkLine = 1 << 10
	maxChunkSize = 32
)

// body reads the body of one message from the connection's buffer.
type body struct {
	b       *buffer
	of      side
	kind    bodyKind
	left    int64 // of the length, or of the current chunk
	begun   bool  // of chunks: the first was read
	err     error // sticky; io.EOF at the end
	trailer Header
}

type bodyKind uint8

const (
	byLength bodyKind = iota
	byChunks
	untilClose
)

// reset makes it the body of the next message.
func (d *body) reset(kind bodyKind, length int64) {
	*d = body{b: d.b, of: d.of, kind: kind, left: length}
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
	switch d.left -= int64(n); {
	case d.left == 0 && d.kind == byLength:
		d.err = io.EOF // also where the connection ends with it, as crypto/tls says at once
		return n, nil
	case err != nil:
		d.err = unexpected(err)
	}
	return n, d.err
}

// chunk reads up to the data of the next chunk; io.EOF after the last one and
// the trailer.
func (d *body) chunk() error {
	if d.begun {
		if end, err := d.b.textLine(2); err != nil {
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
	size, ok := chunkSize(text, d.of)
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
		if strings.HasPrefix(l, " ") || strings.HasPrefix(l, "\t") {
			return errFold
		}
		text.WriteString(l)
		text.WriteString("\r\n")
		if l == "" {
			break
		}
	}
	trailer, f, err := fields(text.String(), nil, d.of, nil)
	if err != nil {
		return err
	}
	if f.length >= 0 || f.chunked || trailer.Has("host") {
		return errChunk // framing has no place behind what it frames
	}
	d.trailer = LateFields(trailer)
	return io.EOF
}

// LateFields removes, in place, what has no place in a trailer.
func LateFields(trailer Header) Header {
	kept := trailer[:0]
	for _, f := range EndToEnd(trailer) {
		if MayBeLate(f.Name) && fitField(&f) == nil {
			kept = append(kept, f)
		}
	}
	return kept
}

// ended reports whether the body was read whole.
func (d *body) ended() bool { return errors.Is(d.err, io.EOF) }

// ready reports whether the next Read will not wait for the connection. What is
// in the buffer may be no more than the frame around a chunk.
func (d *body) ready() bool {
	data := d.b.data[d.b.r:d.b.w]
	switch {
	case d.err != nil:
		return true
	case d.kind != byChunks || d.left > 0:
		return len(data) > 0
	case d.begun && len(data) < 2:
		return false
	case d.begun:
		data = data[2:] // the end of the chunk before
	}
	if len(data) > 0 && data[0] == '0' {
		return headEnd(data, 0) > 0 // the last one, with its trailer
	}
	i := bytes.IndexByte(data, '\n')
	return i >= 0 && i+1 < len(data)
}

// chunkSize reads the line that begins a chunk. Its extension is ignored (RFC 9112,
// section 7.1.1), if it is one: readers must agree on where the line ends. Ignored
// are zeros before the size, too, and in an answer space at the end of the line, by
// which servers pad it.
func chunkSize(line string, of side) (int64, bool) {
	if padded := strings.TrimRight(line, " \t"); of == ofClient && padded != line {
		return 0, false
	}
	i := 0
	for i < len(line) && line[i] != ' ' && line[i] != '\t' && line[i] != ';' {
		i++
	}
	n, ok := hexadecimal(line[:i])
	return n, ok && isExtension(line[i:])
}

// isExtension reports whether s is the extension of a chunk: any number of ;name,
// ;name=token and ;name="text", with space between the parts, and after them.
func isExtension(s string) bool {
	for {
		if s = strings.TrimLeft(s, " \t"); s == "" {
			return true
		}
		var ok bool
		if s, ok = strings.CutPrefix(s, ";"); !ok {
			return false
		}
		if s, ok = cutToken(strings.TrimLeft(s, " \t")); !ok {
			return false
		}
		value, ok := strings.CutPrefix(strings.TrimLeft(s, " \t"), "=")
		if !ok {
			continue
		}
		if value = strings.TrimLeft(value, " \t"); strings.HasPrefix(value, `"`) {
			s, ok = cutQuoted(value)
		} else {
			s, ok = cutToken(value)
		}
		if !ok {
			return false
		}
	}
}

func cutToken(s string) (after string, ok bool) {
	i := 0
	for i < len(s) && isToken[s[i]] {
		i++
	}
	return s[i:], i > 0
}

// cutQuoted takes a quoted string off (RFC 9110, section 5.6.4).
func cutQuoted(s string) (after string, ok bool) {
	for i := 1; i < len(s) && isValue[s[i]]; i++ {
		switch s[i] {
		case '"':
			return s[i+1:], true
		case '\\':
			if i++; i == len(s) || !isValue[s[i]] {
				return "", false
			}
		}
	}
	return "", false
}

func hexadecimal(s string) (int64, bool) {
	if s == "" || len(s) > maxChunkSize {
		return 0, false
	}
	if s = strings.TrimLeft(s, "0"); len(s) > 15 {
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
