package config

import (
	"fmt"
	"reflect"
)

// Raw is a part of a file that is decoded later, when its type is known: the settings of a
// connector. ${ENV}, ${ENV:-default} and ${file:/path} in it are replaced, and $${ is a plain ${.
// The zero value is an absent part.
type Raw struct{ part *raw }

type raw struct {
	file   *sharedState
	node   *node // nil when absent
	at     position
	path   string
	scopes []scope
}

// IsZero reports whether the file has no such part.
func (r Raw) IsZero() bool { return r.part == nil || r.part.node == nil }

// Pos returns where the part begins; for an absent part, where it should be.
func (r Raw) Pos() Pos {
	if r.part == nil {
		return Pos{}
	}
	return r.part.file.src.pos(r.part.at)
}

// Key returns the path of the part, such as source.config.
func (r Raw) Key() string {
	if r.part == nil {
		return ""
	}
	return r.part.path
}

// Decode decodes the part into the struct that v points to, like the function Decode; keys and
// positions in errors are those of the file. It may be called more than once, also concurrently.
func (r Raw) Decode(v any) error {
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		panic("config: Decode needs a pointer")
	}
	p := r.part
	if p == nil {
		p = &raw{file: &sharedState{options: defaultOptions(), src: newSource("", "")}}
	}
	n := p.node
	if n == nil {
		n = &node{kind: mapping, at: p.at}
	}
	d := &decoder{sharedState: p.file, interpolate: true, scopes: p.scopes}
	p.file.src.markDecoded(n)
	d.root(n, target.Elem(), p.path)
	if len(d.errs) > 0 {
		return p.file.src.finishErrors(d.errs)
	}
	return nil
}

// Fault returns a fault of one field of the part, for checks across parts of the file. key is the
// path of yaml keys below the part; "" is the part itself.
func (r Raw) Fault(key, format string, args ...any) *Error {
	full := under(r.Key(), key)
	e := &Error{Key: full, Message: full + ": " + fmt.Sprintf(format, args...), Code: CodeBadValue, span: 1}
	if r.part == nil {
		return e
	}
	at, span := locate(r.part.node, r.part.at, 1, key)
	e.Pos, e.span = r.part.file.src.pos(at), span
	return r.part.file.src.finishErrors(Errors{e})[0]
}
