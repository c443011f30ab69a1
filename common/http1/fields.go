package http1

import "strings"

// Field is one field of a header, its name spelt as it came.
type Field struct{ Name, Value string }

// Header is a header, or a trailer, in the order it came. Names compare without
// case. The zero value is an empty header. It is not safe for concurrent use.
type Header []Field

// Get is the value of the first field of that name, "" if there is none.
func (h Header) Get(name string) string {
	for i := range h {
		if Same(h[i].Name, name) {
			return h[i].Value
		}
	}
	return ""
}

// Has reports whether there is a field of that name.
func (h Header) Has(name string) bool {
	for i := range h {
		if Same(h[i].Name, name) {
			return true
		}
	}
	return false
}

// Add appends a field.
func (h *Header) Add(name, value string) { *h = append(*h, Field{name, value}) }

// Del removes every field of that name.
func (h *Header) Del(name string) {
	kept := (*h)[:0]
	for _, f := range *h {
		if !Same(f.Name, name) {
			kept = append(kept, f)
		}
	}
	*h = kept
}

// Set makes the field the only one of its name.
func (h *Header) Set(name, value string) {
	h.Del(name)
	h.Add(name, value)
}

// Tokens yields the members of the comma-separated lists of every field of that
// name, without surrounding space: those of Connection, for example.
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

// IsGRPC reports whether a header is that of gRPC: of a call, or of an answer to
// one. gRPC-Web is another protocol, though its name begins alike.
func (h Header) IsGRPC() bool {
	const kind = "application/grpc"
	s := h.Get("Content-Type")
	return len(s) >= len(kind) && Same(s[:len(kind)], kind) && (len(s) == len(kind) || s[len(kind)] == '+' || s[len(kind)] == ';')
}

// IsEventStream reports whether a header is that of an answer of server-sent events,
// which has no end of its own.
func (h Header) IsEventStream() bool {
	const kind = "text/event-stream"
	s := h.Get("Content-Type")
	return len(s) >= len(kind) && Same(s[:len(kind)], kind)
}

// Same compares names of fields: ASCII, without case. A letter beyond ASCII,
// which some comparisons fold into one (the Kelvin sign), is none here.
func Same(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
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
