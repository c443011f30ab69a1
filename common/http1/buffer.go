package http1

import (
	"errors"
	"io"
)

// buffer is what was read from a connection and not yet used. One goroutine
// uses it.
type buffer struct {
	conn io.Reader
	data []byte
	r, w int // data[r:w] is unused
}

const errHeadTooLarge = Fault("the head is too large")

func (b *buffer) unused() int { return b.w - b.r }

// fill reads once, and grows the room up to limit bytes where it is full.
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

// wholeHead takes a head out of at most limit bytes; "" while it is not whole.
func (b *buffer) wholeHead(limit int) (string, error) { return b.takeHead(limit, 0, "") }

// takeHead has looked at seen bytes before. A head that is known is not copied.
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

// head reads on until it can take a whole head.
func (b *buffer) head(limit int, known string) (string, error) {
	for seen := 0; ; {
		if head, err := b.takeHead(limit, seen, known); head != "" || err != nil {
			return head, err
		}
		seen = b.unused()
		if err := b.fill(limit); err != nil {
			if errors.Is(err, io.EOF) && b.unused() > 0 {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
	}
}

// skipEmpty takes an empty line off what is unused, and reports whether there was
// one.
func (b *buffer) skipEmpty() bool {
	if b.unused() < 2 || b.data[b.r] != '\r' || b.data[b.r+1] != '\n' {
		return false
	}
	b.r += 2
	return true
}

// halfEmpty reports whether what is unused is the first half of an empty line.
func (b *buffer) halfEmpty() bool { return b.unused() == 1 && b.data[b.r] == '\r' }

// textLine reads one line of a chunked body, of at most limit bytes, without
// its end.
func (b *buffer) textLine(limit int) (string, error) {
	for seen := 0; ; {
		data := b.data[b.r:b.w]
		for i := seen; i < len(data); i++ {
			if data[i] != '\n' {
				continue
			}
			switch {
			case i == 0 || data[i-1] != '\r':
				return "", errBare
			case i > limit+1:
				return "", errChunk
			}
			text := string(data[:i-1])
			b.r += i + 1
			return text, nil
		}
		if seen = len(data); seen >= limit {
			return "", errChunk
		}
		if err := b.fill(max(limit, len(b.data))); err != nil {
			return "", unexpected(err)
		}
	}
}

// Read gives what is unused first. Large reads go past the buffer.
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
