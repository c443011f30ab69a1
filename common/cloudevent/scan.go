package cloudevent

import "fmt"

// maxDepth is how deep JSON may be nested. Deeper is refused: a value that
// costs its readers a stack is an attack or a fault, never an event.
const maxDepth = 1000

// scanner walks over JSON, strictly by RFC 8259, without building anything.
type scanner struct {
	data []byte
	i    int
}

func (s *scanner) fail(what string) error {
	if s.i >= len(s.data) {
		return fmt.Errorf("invalid JSON: it ends too early, at byte %d, %s", s.i, what)
	}
	return fmt.Errorf("invalid JSON at byte %d: %q %s", s.i, s.data[s.i], what)
}

// document reads one value, walked over by read, and the end.
func (s *scanner) document(read func() error) error {
	s.space()
	if err := read(); err != nil {
		return err
	}
	if s.space(); s.i < len(s.data) {
		return s.fail("after the value")
	}
	return nil
}

func (s *scanner) space() {
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
	case '{':
		return s.object(depth, nil)
	case '[':
		return s.array(depth, nil)
	case '"':
		return s.str()
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
		if more, err := s.more('}'); !more {
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
		if more, err := s.more(']'); !more {
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
	for s.i < len(s.data) {
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
			s.i++
		}
	}
	return s.fail("in a string")
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
	if !isDigit(s.peek()) {
		return s.fail("where a digit is due")
	}
	for isDigit(s.peek()) {
		s.i++
	}
	return nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
