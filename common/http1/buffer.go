package http1

import (
	"bytes"
	"errors"
	"io"
)

// buffer holds bytes that were read from a connection and not yet used. It is used by
// one goroutine at a time.
type buffer struct {
	conn io.Reader
	data []byte
	r, w int // data[r:w] is unused
}

const errHeadTooLarge = Fault("the head is too large")

func (b *buffer) unused() int { return b.w - b.r }

// fill reads once. It grows a full buffer up to limit bytes.
func (b *buffer) fill(limit int) error {
	if b.r == b.w {
		b.r, b.w = 0, 0
	}
	if b.w == len(b.data) {
		if b.r > 0 {
			copy(b.data, b.data[b.r:b.w])
			b.r, b.w = 0, b.w-b.r
		} else if len(b.data) >= limit {
			return errHeadTooLarge
		} else {
			b.data = append(b.data, make([]byte, min(len(b.data), limit-len(b.data)))...)
		}
	}
	n, err := b.conn.Read(b.data[b.w:])
	b.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// takeHead removes a head of at most limit bytes from the buffer and returns it, or ""
// if the head is not complete. The first seen bytes were searched before. A head that
// is equal to known is not copied.
func (b *buffer) takeHead(limit, seen int, known string) (string, error) {
	n := headEnd(b.data[b.r:b.w], seen)
	switch {
	case n > limit, n == 0 && b.unused() >= limit:
		return "", errHeadTooLarge
	case n == 0:
		return "", nil
	}
	b.r += n
	if head := b.data[b.r-n : b.r]; string(head) != known {
		return string(head), nil
	}
	return known, nil
}

// head reads until takeHead returns a head.
func (b *buffer) head(limit int, known string) (string, error) {
	for seen := 0; ; {
		if head, err := b.takeHead(limit, seen, known); head != "" || err != nil {
			return head, err
		}
		seen = b.unused()
		if err := b.fill(limit); err != nil {
			if b.unused() > 0 {
				err = unexpected(err)
			}
			return "", err
		}
	}
}

func (b *buffer) startsWith(text string) bool {
	return b.unused() >= len(text) && string(b.data[b.r:b.r+len(text)]) == text
}

// textLine reads a line of a chunked body, of at most limit bytes, without its end.
func (b *buffer) textLine(limit int) (string, error) {
	for seen := 0; ; {
		data := b.data[b.r:b.w]
		if i := seen + bytes.IndexByte(data[seen:], '\n'); i >= seen {
			switch {
			case i == 0 || data[i-1] != '\r':
				return "", errBare
			case i > limit+1:
				return "", errChunk
			}
			b.r += i + 1
			return string(data[:i-1]), nil
		}
		if seen = len(data); seen >= limit {
			return "", errChunk
		}
		if err := b.fill(max(limit, len(b.data))); err != nil {
			return "", unexpected(err)
		}
	}
}

// Read returns unused bytes first. Large reads bypass the buffer.
func (b *buffer) Read(p []byte) (int, error) {
	if b.r == b.w {
		if len(p) >= len(b.data) {
			return b.conn.Read(p)
		}
		if err := b.fill(len(b.data)); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.data[b.r:b.w])
	b.r += n
	return n, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
