package config

import (
	"strconv"
	"strings"
)

// fault is an error on its way to a position: one of Validate knows its key,
// one of the parser its place.
type fault struct {
	code         string
	key          string
	at           position
	span         int
	said, hinted sentence
}

func (f *fault) Error() string {
	if f.key == "" {
		return f.said.String()
	}
	return f.key + ": " + f.said.String()
}

// Fault is a fault of one field, for use in Validate: key is the path of yaml
// keys below the struct, such as "sasl.password" or "topics[1]", and the
// decoder turns it into a position. Join several with errors.Join. Of args that
// are text, what is a secret in the file is not shown; the format is.
func Fault(key, format string, args ...any) error {
	return &fault{code: CodeBadValue, key: key, said: newSentence(format, args...)}
}

// flatten is an error taken apart where errors.Join put it together.
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

// locate follows a path of keys as far as the file has it. It answers the
// value, or where the nearest parent stands, and how wide to underline it.
func locate(n *node, at position, span int, path string) (position, int) {
	for path != "" && n != nil {
		var step string
		step, path = nextStep(path)
		if i, err := strconv.Atoi(step); err == nil && n.kind != mapping {
			if n.kind != sequence && path == "" && n.kind != null {
				return n.at, n.span() // the only item, written without a list
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

// nextStep takes the first key, or index, off a path such as a.b[1].c.
func nextStep(path string) (step, rest string) {
	i := strings.IndexAny(path, ".[")
	if i < 0 {
		return strings.TrimSuffix(path, "]"), ""
	}
	return strings.TrimSuffix(path[:i], "]"), strings.TrimLeft(path[i:], ".[")
}

// under is the path of a key below a parent.
func under(path, key string) string {
	if path == "" || key == "" {
		return path + key
	}
	if strings.HasPrefix(key, "[") {
		return path + key
	}
	return path + "." + key
}
