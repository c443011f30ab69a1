package config

import (
	"strconv"
	"strings"
)

// fault is an error without its position yet: one of Validate has a key, one of the parser a
// place.
type fault struct {
	code          string
	key           string
	at            position
	span          int
	message, hint sentence
}

func (f *fault) Error() string {
	if f.key == "" {
		return f.message.String()
	}
	return f.key + ": " + f.message.String()
}

// Fault returns a fault of one field, for use in Validate. key is the path of yaml keys below
// the struct, such as "sasl.password" or "topics[1]"; the decoder turns it into a position.
// Join several with errors.Join. The error masks texts in args that are secrets in the file,
// but not format.
func Fault(key, format string, args ...any) error {
	return &fault{code: CodeBadValue, key: key, message: newSentence(format, args...)}
}

// flatten splits an error that errors.Join made.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}

// locate follows a path of keys as far as the file has it. It returns the position of the
// value, or of the nearest parent, and how many characters to underline.
func locate(n *node, at position, span int, path string) (position, int) {
	for path != "" && n != nil {
		var step string
		step, path = nextStep(path)
		if i, err := strconv.Atoi(step); err == nil && n.kind != mapping {
			if n.kind != sequence && path == "" && n.kind != null {
				return n.at, n.span() // a single item that is not written as a list
			}
			if i < 0 || i >= len(n.items) {
				return at, span
			}
			n = n.items[i]
			at, span = n.at, n.span()
			continue
		}
		p := n.pair(step)
		if p == nil {
			return at, span
		}
		n = p.value
		if at, span = p.key.at, p.key.span(); path == "" && n.scalar() && n.kind != null {
			at, span = n.at, n.span()
		}
	}
	return at, span
}

// nextStep splits the first key or index off a path such as a.b[1].c.
func nextStep(path string) (step, rest string) {
	i := strings.IndexAny(path, ".[")
	if i < 0 {
		return strings.TrimSuffix(path, "]"), ""
	}
	return strings.TrimSuffix(path[:i], "]"), strings.TrimLeft(path[i:], ".[")
}

// under returns the path of a key below a parent.
func under(path, key string) string {
	if path == "" || key == "" {
		return path + key
	}
	if strings.HasPrefix(key, "[") {
		return path + key
	}
	return path + "." + key
}
