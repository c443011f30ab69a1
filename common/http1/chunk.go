package http1

import (
	"strconv"
	"strings"
)

// chunkSize parses the line that begins a chunk. A well-formed extension is ignored
// (RFC 9112, section 7.1.1); a malformed one is an error, because readers may disagree
// on where its line ends. In an answer, space at the end of the line is ignored, too:
// some servers pad the line with it.
func chunkSize(line string, of side) (int64, bool) {
	if padded := strings.TrimRight(line, " \t"); of == ofClient && padded != line {
		return 0, false
	}
	digits := line
	if i := strings.IndexAny(line, " \t;"); i >= 0 {
		digits = line[:i]
	}
	n, err := strconv.ParseUint(digits, 16, 60)                                                     // bounded far from any overflow
	return int64(n), err == nil && len(digits) <= maxChunkDigits && isExtension(line[len(digits):]) //nolint:gosec // G115: 60 bits
}

// isExtension reports whether s is a chunk extension: any number of ;name,
// ;name=token and ;name="text", with space between and after the parts.
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

// cutQuoted cuts a quoted string off the start of s (RFC 9110, section 5.6.4).
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
