package lazyjson

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// specials sets the high bit of each byte of x that ends plain text: a quote, a backslash,
// a control character, or a byte that is not ASCII. A borrow can set wrong bits only above
// the lowest one, and only that is used. The xor makes the quote the smallest byte above
// the control characters, so that one comparison finds both.
func specials(x uint64) uint64 {
	return ((x ^ ones*2 - ones*('"'^2+1)) | (x ^ ones*'\\' - ones) | x) & highs
}

// skipPlain skips the plain text of a string, eight bytes at a time as long as there are so
// many.
func skipPlain(data []byte, i int) int {
	for i+8 <= len(data) {
		if stop := specials(binary.LittleEndian.Uint64(data[i:])); stop != 0 {
			return i + bits.TrailingZeros64(stop)>>3
		}
		i += 8
	}
	for i < len(data) && data[i] >= ' ' && data[i] < 0x80 && data[i] != '"' && data[i] != '\\' {
		i++
	}
	return i
}

// skipLongPlain skips long plain text by 16 bytes at a time. The short names and numbers of usual
// events end before that pays.
func skipLongPlain(data []byte, i int) int {
	for i+16 <= len(data) {
		two := data[i : i+16]
		if specials(binary.LittleEndian.Uint64(two))|specials(binary.LittleEndian.Uint64(two[8:])) != 0 {
			break
		}
		i += 16
	}
	return i
}

// text reads a string that begins at i, after its quote, and returns where it ends, after
// its quote. special reports that the string is not plain text only.
func text(data []byte, i int) (end int, special bool, f fault) {
	long := i + 16
	for i+8 <= len(data) { // the same as skipPlain, inlined
		stop := specials(binary.LittleEndian.Uint64(data[i:]))
		if stop == 0 {
			if i += 8; i >= long {
				i = skipLongPlain(data, i)
			}
			continue
		}
		if i += bits.TrailingZeros64(stop) >> 3; data[i] == '"' {
			return i + 1, false, fine
		}
		break
	}
	if i = skipPlain(data, i); i < len(data) && data[i] == '"' {
		return i + 1, false, fine
	}
	i, f = specialText(data, i)
	return i, true, f
}

// specialText reads the rest of a string from its first byte that is not plain.
func specialText(data []byte, i int) (int, fault) {
	for i < len(data) {
		switch c := data[i]; {
		case c == '"':
			return i + 1, fine
		case c == '\\':
			var f fault
			if i, f = escape(data, i); f != fine {
				return i, f
			}
			i = skipPlain(data, i)
		case c < ' ':
			return i, control
		case c >= 0x80:
			from := i
			if i = skipNonASCII(data, i); !utf8.Valid(data[from:i]) {
				return from + validUTF8(data[from:i]), notUTF8
			}
		default:
			i = skipPlain(data, i)
		}
	}
	return i, truncated
}

// skipNonASCII skips text that is not all ASCII.
func skipNonASCII(data []byte, i int) int {
	for i+8 <= len(data) {
		x := binary.LittleEndian.Uint64(data[i:])
		if stop := specials(x) &^ x; stop != 0 {
			return i + bits.TrailingZeros64(stop)>>3
		}
		i += 8
	}
	for i < len(data) && data[i] >= 0x80 {
		i++
	}
	return i
}

// validUTF8 returns the length of the longest prefix of data that is UTF-8.
func validUTF8(data []byte) int {
	i := 0
	for i < len(data) {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size <= 1 {
			break
		}
		i += size
	}
	return i
}

// escape checks the escape sequence at i, and returns where it ends.
func escape(data []byte, i int) (int, fault) {
	if i+1 == len(data) {
		return i + 1, truncated
	}
	switch data[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2, fine
	case 'u':
		for j := i + 2; j < i+6; j++ {
			if j == len(data) {
				return j, truncated
			}
			if unhex(data[j]) < 0 {
				return j, noHex
			}
		}
		return i + 6, fine
	}
	return i + 1, noEscape
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

// literal reads one of the three literals of JSON.
func literal(data []byte, i int) (int, Kind, fault) {
	w, kind := "", Absent
	if i < len(data) {
		switch data[i] {
		case 't':
			w, kind = "true", True
		case 'f':
			w, kind = "false", False
		case 'n':
			w, kind = "null", Null
		}
	}
	if kind == Absent {
		return i, kind, noValue
	}
	if i+len(w) <= len(data) && string(data[i:i+len(w)]) == w {
		return i + len(w), kind, fine
	}
	for j := 0; i < len(data) && data[i] == w[j]; j++ {
		i++
	}
	return i, Absent, noLiteral
}

// number reads a number. It is an Integer if it has neither fraction nor exponent and is
// not "-0", which an integer cannot represent.
func number(data []byte, i int) (int, Kind, fault) {
	kind := Integer
	minus := data[i] == '-'
	if minus {
		i++
	}
	first := i
	if i = digits(data, i); i == first {
		return i, Absent, noValue
	}
	if data[first] == '0' {
		if i > first+1 {
			return first + 1, Absent, leadingZero
		}
		if minus {
			kind = Number
		}
	}
	if i < len(data) && (data[i] == '.' || data[i]|0x20 == 'e') {
		i, f := fraction(data, i)
		return i, Number, f
	}
	return i, kind, fine
}

// fraction reads the part of a number after the integral part.
func fraction(data []byte, i int) (int, fault) {
	if data[i] == '.' {
		from := i + 1
		if i = digits(data, from); i == from {
			return i, noDigit
		}
	}
	if i < len(data) && data[i]|0x20 == 'e' {
		i++
		if i < len(data) && (data[i] == '+' || data[i] == '-') {
			i++
		}
		from := i
		if i = digits(data, from); i == from {
			return i, noDigit
		}
	}
	return i, fine
}

func digits(data []byte, i int) int {
	for i < len(data) && data[i]-'0' <= 9 {
		i++
	}
	return i
}
