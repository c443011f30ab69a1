package lazyjson

import (
	"encoding/binary"
	"math/bits"
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// text reads a string that begins at the current byte, eight bytes at a time.
// odd says that it holds more than plain ASCII without escapes.
func (p *parser) text() (odd bool, fault string) {
	i := p.at + 1
	p.mark = uint32(i)
	var seen uint64 // all bytes so far, or'ed: its high bits tell of non-ASCII
	for i+8 <= len(p.data) {
		x := binary.LittleEndian.Uint64(p.data[i:])
		// The lowest byte that is a quote, a backslash or a control gets its
		// high bit set; a carry can only spoil those above it.
		q, b := x^(ones*'"'), x^(ones*'\\')
		stop := ((x-ones*' ')&^x | (q-ones)&^q | (b-ones)&^b) & highs
		if stop == 0 {
			seen |= x
			i += 8
			continue
		}
		seen |= x & (stop&-stop - 1) // the bytes before it (its own lower bits are ASCII)
		i += bits.TrailingZeros64(stop) >> 3
		switch p.data[i] {
		case '"':
			p.at = i + 1
			return odd || seen&highs != 0, ""
		case '\\':
			odd = true
			if i, fault = p.escape(i); fault != "" {
				return odd, fault
			}
		default:
			p.at = i
			return odd, "a control character inside of a string"
		}
	}
	return p.textTail(i, odd || seen&highs != 0)
}

// textTail is text for the last bytes of the document.
func (p *parser) textTail(i int, odd bool) (_ bool, fault string) {
	for i < len(p.data) {
		switch c := p.data[i]; {
		case c == '"':
			p.at = i + 1
			return odd, ""
		case c == '\\':
			odd = true
			if i, fault = p.escape(i); fault != "" {
				return odd, fault
			}
			continue
		case c < ' ':
			p.at = i
			return odd, "a control character inside of a string"
		case c >= 0x80:
			odd = true
		}
		i++
	}
	p.at = i
	return odd, truncated
}

// escape checks the escape at i, and returns where it ends.
func (p *parser) escape(i int) (int, string) {
	if i+1 == len(p.data) {
		p.at = len(p.data)
		return i, truncated
	}
	switch p.data[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2, ""
	case 'u':
		for j := i + 2; j < i+6; j++ {
			if p.at = j; j == len(p.data) {
				return i, truncated
			}
			if unhex(p.data[j]) < 0 {
				return i, "\\u needs four hexadecimal digits"
			}
		}
		return i + 6, ""
	}
	p.at = i + 1
	return i, "not an escape that JSON knows"
}

func unhex(c byte) rune {
	switch {
	case '0' <= c && c <= '9':
		return rune(c - '0')
	case 'a' <= c && c <= 'f':
		return rune(c - 'a' + 10)
	case 'A' <= c && c <= 'F':
		return rune(c - 'A' + 10)
	}
	return -1
}

// number reads a number. It is an Integer when it has neither a fraction nor
// an exponent, and is not "-0", which an integer would lose.
func (p *parser) number() (Kind, string) {
	d, i := p.data, p.at
	kind := Integer
	if i < len(d) && d[i] == '-' {
		i++
	}
	first := i
	i = digits(d, i)
	if p.at = i; i == first {
		if i == len(d) {
			return Absent, truncated
		}
		return Absent, "not the beginning of a value"
	}
	if d[first] == '0' {
		if i > first+1 {
			p.at = first + 1
			return Absent, "a number with a leading zero"
		}
		if first > 0 && d[first-1] == '-' {
			kind = Number
		}
	}
	if i < len(d) && d[i] == '.' {
		kind = Number
		if i = p.fraction(i + 1); i < 0 {
			return Absent, p.notDigits()
		}
	}
	if i < len(d) && d[i]|0x20 == 'e' {
		kind = Number
		i++
		if i < len(d) && (d[i] == '+' || d[i] == '-') {
			i++
		}
		if i = p.fraction(i); i < 0 {
			return Absent, p.notDigits()
		}
	}
	p.at = i
	return kind, ""
}

// fraction skips one or more digits, or returns -1 when there are none.
func (p *parser) fraction(from int) int {
	i := digits(p.data, from)
	if p.at = i; i == from {
		return -1
	}
	return i
}

func (p *parser) notDigits() string {
	if p.at == len(p.data) {
		return truncated
	}
	return "a digit is missing in a number"
}

func digits(d []byte, i int) int {
	for i < len(d) && d[i]-'0' <= 9 {
		i++
	}
	return i
}
