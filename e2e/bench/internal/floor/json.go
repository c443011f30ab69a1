package floor

import (
	"bytes"
	"errors"
)

var errNotJSON = errors.New("the record is no JSON object")

// fields finds members of the object in data by name, and stores their raw JSON in out. It skips
// all other values without checking them, and stops after the last wanted member.
func fields(data []byte, names []string, out [][]byte) error {
	clear(out)
	left := len(names)
	i := space(data, 0)
	if i >= len(data) || data[i] != '{' {
		return errNotJSON
	}
	for i++; left > 0; i++ {
		i = space(data, i)
		nameEnd := value(data, i)
		if nameEnd < i+2 || data[i] != '"' {
			return errNotJSON
		}
		name := data[i+1 : nameEnd-1]
		i = space(data, nameEnd)
		if i >= len(data) || data[i] != ':' {
			return errNotJSON
		}
		i = space(data, i+1)
		end := value(data, i)
		if end <= i {
			return errNotJSON
		}
		for n := range names {
			if string(name) == names[n] {
				out[n] = data[i:end]
				left--
			}
		}
		i = space(data, end)
		if i >= len(data) || data[i] != ',' {
			break
		}
	}
	if left > 0 {
		return errNotJSON
	}
	return nil
}

// value returns the end of the JSON value that begins at i, or -1.
func value(data []byte, i int) int {
	if i >= len(data) {
		return -1
	}
	switch data[i] {
	case '"':
		return text(data, i)
	case '{', '[':
		return nested(data, i)
	}
	for j := i; j < len(data); j++ {
		switch data[j] {
		case ',', '}', ']', ' ', '\n', '\r', '\t':
			return j
		}
	}
	return len(data)
}

// text returns the end of the string that begins at i, or -1.
func text(data []byte, i int) int {
	for i++; ; i++ {
		n := bytes.IndexByte(data[min(i, len(data)):], '"')
		if n < 0 {
			return -1
		}
		slashes := 0
		for j := i + n - 1; j >= i && data[j] == '\\'; j-- {
			slashes++
		}
		i += n
		if slashes%2 == 0 {
			return i + 1
		}
	}
}

// nested returns the end of the object or array that begins at i, or -1.
func nested(data []byte, i int) int {
	for depth := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			if i = text(data, i) - 1; i < 0 {
				return -1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

func space(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\n' || data[i] == '\r' || data[i] == '\t') {
		i++
	}
	return i
}
