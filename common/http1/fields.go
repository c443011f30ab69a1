package http1

import (
	"slices"
	"strings"
)

// Field is one field of a header. Name is spelt as it was received.
type Field struct{ Name, Value string }

// Header is a header or a trailer, in the order of its fields. Names compare without
// case. The zero value is an empty header. It is not safe for concurrent use.
type Header []Field

// Get is the value of the first field of that name, "" if there is none.
func (h Header) Get(name string) string {
	if i := h.index(name); i >= 0 {
		return h[i].Value
	}
	return ""
}

// Has reports whether there is a field of that name.
func (h Header) Has(name string) bool { return h.index(name) >= 0 }

func (h Header) index(name string) int {
	return slices.IndexFunc(h, func(f Field) bool { return Same(f.Name, name) })
}

// Add appends a field.
func (h *Header) Add(name, value string) { *h = append(*h, Field{name, value}) }

// Del removes every field of that name.
func (h *Header) Del(name string) {
	*h = slices.DeleteFunc(*h, func(f Field) bool { return Same(f.Name, name) })
}

// Set makes the field the only one of its name.
func (h *Header) Set(name, value string) {
	h.Del(name)
	h.Add(name, value)
}

// Tokens yields the members of the comma-separated lists in all fields of that name,
// without surrounding space.
func (h Header) Tokens(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := range h {
			if !Same(h[i].Name, name) {
				continue
			}
			for member := range strings.SplitSeq(h[i].Value, ",") {
				if member = strings.Trim(member, " \t"); member != "" && !yield(member) {
					return
				}
			}
		}
	}
}

// HasToken reports whether the comma-separated lists of that name have the
// member, compared without case.
func (h Header) HasToken(name, token string) bool {
	for member := range h.Tokens(name) {
		if Same(member, token) {
			return true
		}
	}
	return false
}

// IsGRPC reports whether the Content-Type is that of gRPC. gRPC-Web, whose type has the
// same prefix, is another protocol.
func (h Header) IsGRPC() bool {
	const kind = "application/grpc"
	s := h.Get("Content-Type")
	return len(s) >= len(kind) && Same(s[:len(kind)], kind) && (len(s) == len(kind) || s[len(kind)] == '+' || s[len(kind)] == ';')
}

// IsEventStream reports whether the Content-Type is that of server-sent events.
func (h Header) IsEventStream() bool {
	const kind = "text/event-stream"
	s := h.Get("Content-Type")
	return len(s) >= len(kind) && Same(s[:len(kind)], kind)
}

// Same compares field names without ASCII case. Unlike strings.EqualFold it does not
// take a letter beyond ASCII (the Kelvin sign) for an ASCII one.
func Same(a, b string) bool { return len(a) == len(b) && sameLetters(a, b) }

func sameLetters(a, b string) bool {
	for i := 0; i < len(a); i++ {
		if a[i] != b[i] && lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
