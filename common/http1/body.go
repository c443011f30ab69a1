package http1

import (
	"bytes"
	"errors"
	"io"
	"strings"
)

const errChunk = Fault("the chunked body is malformed")

const (
	maxTrailer     = 16 << 10 // bytes
	maxChunkLine   = 1 << 10  // bytes of the line that begins a chunk
	maxChunkDigits = 32       // of a chunk's size, leading zeros included
)

// body reads the body of one message from the connection's buffer.
type body struct {
	b       *buffer
	of      side
	kind    bodyKind
	left    int64 // bytes left of the length, or of the current chunk
	begun   bool  // the size of the first chunk was read
	err     error // sticky; io.EOF at the end
	trailer Header
}

type bodyKind uint8

const (
	byLength bodyKind = iota
	byChunks
	untilClose
)

// reset prepares for the body of the next message.
func (d *body) reset(kind bodyKind, length int64) {
	*d = body{b: d.b, of: d.of, kind: kind, left: length}
	if kind == byLength && length == 0 {
		d.err = io.EOF
	}
}

// Read returns io.EOF only when the body is complete.
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
		d.err = io.EOF // even if err is set: crypto/tls reports a closed connection together with the last bytes
		return n, nil
	case err != nil:
		d.err = unexpected(err)
	}
	return n, d.err
}

// chunk reads up to the data of the next chunk. After the last chunk it reads the
// trailer and returns io.EOF.
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
		if startsWithSpace(l) {
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
		return errChunk // a trailer cannot change the framing
	}
	d.trailer = LateFields(trailer)
	return io.EOF
}

// ended reports whether the whole body was read.
func (d *body) ended() bool { return errors.Is(d.err, io.EOF) }

// ready reports whether the next Read returns without waiting for the connection. The
// buffer may hold nothing but the frame around a chunk.
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
		data = data[2:] // the line end of the previous chunk
	}
	if len(data) > 0 && data[0] == '0' {
		return headEnd(data, 0) > 0 // the last chunk and its trailer
	}
	i := bytes.IndexByte(data, '\n')
	return i >= 0 && i+1 < len(data)
}
