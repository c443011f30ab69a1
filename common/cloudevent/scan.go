package cloudevent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// maxDepth is how deep JSON may be nested. Deeper is refused: a value that
// costs its readers a stack is an attack or a fault, never an event.
const maxDepth = 1000

// scanner walks over JSON, strictly by RFC 8259, without building anything.
type scanner struct {
	data []byte
	i    int

	notASCII bool // some strings may be more than ASCII; they are not checked to be UTF-8
}

func (s *scanner) fail(what string) error {
	if s.i >= len(s.data) {
		return fmt.Errorf("invalid JSON: it ends too early, at byte %d, %s", s.i, what)
	}
	return fmt.Errorf("invalid JSON at byte %d: %q %s", s.i, s.data[s.i], what)
}

// document reads one value, walked over by read, and the end, all in UTF-8.
func (s *scanner) document(read func() error) error {
	if bytes.HasPrefix(s.data, byteOrderMark) {
		return errors.New("invalid JSON: it begins with a byte order mark, which JSON has none of")
	}
	s.space()
	if err := read(); err != nil {
		return err
	}
	if s.space(); s.i < len(s.data) {
		return s.fail("after the value")
	}
	if s.notASCII && !utf8.Valid(s.data) {
		return errNotUTF8(s.data)
	}
	return nil
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// space walks over white space, of which there mostly is none.
func (s *scanner) space() {
	if s.i < len(s.data) && s.data[s.i] <= ' ' {
		s.spaces()
	}
}

func (s *scanner) spaces() {
	for s.i < len(s.data) {
		switch s.data[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// peek is the next byte, or 0 at the end, where 0 is never allowed.
func (s *scanner) peek() byte {
	if s.i < len(s.data) {
		return s.data[s.i]
	}
	return 0
}

// value walks over one value; depth counts those around it.
func (s *scanner) value(depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("invalid JSON at byte %d: nested deeper than %d", s.i, maxDepth)
	}
	switch c := s.peek(); c {
	case '"':
		return s.str()
	case '{':
		return s.object(depth, nil)
	case '[':
		return s.array(depth, nil)
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		if c == '-' || isDigit(c) {
			return s.number()
		}
		return s.fail("where a value is due")
	}
}

// object walks over an object. It hands each member, as it stands there, to
// the function, if there is one.
func (s *scanner) object(depth int, member func(name, value []byte) error) error {
	s.i++
	if s.space(); s.peek() == '}' {
		s.i++
		return nil
	}
	for {
		name := s.i
		if s.peek() != '"' {
			return s.fail("where a member name is due")
		}
		if err := s.str(); err != nil {
			return err
		}
		nameEnd := s.i
		if s.space(); s.peek() != ':' {
			return s.fail("where a colon is due")
		}
		s.i++
		s.space()
		start := s.i
		if err := s.value(depth + 1); err != nil {
			return err
		}
		if member != nil {
			if err := member(s.data[name:nameEnd], s.data[start:s.i:s.i]); err != nil {
				return err
			}
		}
		if s.peek() == ',' {
			s.i++
			s.space()
		} else if more, err := s.more('}'); !more {
			return err
		}
	}
}

// array walks over an array. It hands each element, as it stands there, to the
// function, if there is one.
func (s *scanner) array(depth int, element func(value []byte) error) error {
	s.i++
	if s.space(); s.peek() == ']' {
		s.i++
		return nil
	}
	for {
		start := s.i
		if err := s.value(depth + 1); err != nil {
			return err
		}
		if element != nil {
			if err := element(s.data[start:s.i:s.i]); err != nil {
				return err
			}
		}
		if s.peek() == ',' {
			s.i++
			s.space()
		} else if more, err := s.more(']'); !more {
			return err
		}
	}
}

// more walks over a comma, or over the end of an object or array.
func (s *scanner) more(end byte) (bool, error) {
	s.space()
	switch s.peek() {
	case ',':
		s.i++
		s.space()
		return true, nil
	case end:
		s.i++
		return false, nil
	default:
		return false, s.fail("where a comma or the end is due")
	}
}

// str walks over a string.
func (s *scanner) str() error {
	s.i++
	for !s.plain() {
		if s.i >= len(s.data) {
			return s.fail("in a string")
		}
		switch c := s.data[s.i]; {
		case c == '"':
			s.i++
			return nil
		case c < ' ':
			return s.fail("in a string must be escaped")
		case c == '\\':
			if err := s.escape(); err != nil {
				return err
			}
		default:
			s.notASCII = s.notASCII || c >= utf8.RuneSelf
			s.i++
		}
	}
	return nil
}

// plain walks over what needs no look in a string, eight bytes at a time, and
// reports true when the string ends there, walked over too.
func (s *scanner) plain() bool {
	const (
		ones = 0x0101010101010101
		high = 0x8080808080808080
	)
	data, i, all, end := s.data, s.i, uint64(0), false
	for i+8 <= len(data) {
		w := binary.LittleEndian.Uint64(data[i : i+8])
		quote, slash := w^ones*'"', w^ones*'\\'
		// The high bit of each byte that is a quote, a backslash or a control
		// character, and maybe of one above such a byte: the lowest is right.
		found := ((w-ones*' ')&^w | (quote-ones)&^quote | (slash-ones)&^slash) & high
		all |= w
		if found == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(found) / 8
		if end = data[i] == '"'; end {
			i++
		}
		break
	}
	s.i = i
	s.notASCII = s.notASCII || all&high != 0
	return end
}

func (s *scanner) escape() error {
	s.i++
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.i++
		return nil
	case 'u':
		for range 4 {
			s.i++
			if unhex(s.peek()) > 15 {
				return s.fail(`in a \u escape`)
			}
		}
		s.i++
		return nil
	default:
		return s.fail("after a backslash")
	}
}

func (s *scanner) word(w string) error {
	for i := range len(w) {
		if s.peek() != w[i] {
			return s.fail("in " + w)
		}
		s.i++
	}
	return nil
}

func (s *scanner) number() error {
	if s.peek() == '-' {
		s.i++
	}
	if s.peek() == '0' {
		s.i++
	} else if err := s.digits(); err != nil {
		return err
	}
	if s.peek() == '.' {
		s.i++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.i++
		if c := s.peek(); c == '+' || c == '-' {
			s.i++
		}
		return s.digits()
	}
	return nil
}

// digits walks over one digit or more.
func (s *scanner) digits() error {
	i := s.i
	for i < len(s.data) && isDigit(s.data[i]) {
		i++
	}
	if i == s.i {
		return s.fail("where a digit is due")
	}
	s.i = i
	return nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
