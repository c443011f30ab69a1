package transform

import (
	"errors"
	"fmt"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/lsm/fiso/cel"
	"github.com/lsm/fiso/cel/celjson"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/delivery/fault"
)

// template writes the output of a transform: text that is known when the flow
// loads, and dynamic values in between. Places in data are copied from the
// record's bytes.
type template struct {
	parts []dynamicPart
	tail  []byte
}

// dynamicPart is a dynamic value and the text before it.
type dynamicPart struct {
	prefix []byte
	value  *expression
}

// builder makes a template of the literals of an expression.
type builder struct {
	*compiler
	name  string
	text  config.Text
	whole *ast.AST
	made  template
	fixed []byte // text since the last dynamic part
}

// template compiles transform.cel.
func (c *compiler) template(name string, text config.Text) *template {
	b := builder{compiler: c, name: name, text: text}
	if b.whole = c.check(name, text, wantJSON); b.whole == nil {
		return nil
	}
	b.add(b.whole.Expr())
	return b.finish()
}

// fields compiles transform.fields: an object with one member a field.
func (c *compiler) fields(name string, fields config.Fields) *template {
	b := builder{compiler: c}
	seen := map[string]bool{}
	for i, f := range fields {
		if seen[f.Name] {
			c.fault(name, f.Value, 1, 1, fmt.Sprintf("the field %q appears twice", f.Name), "a field can have one value only")
			continue
		}
		seen[f.Name] = true
		b.fixed = append(b.fixed, "{,"[min(i, 1)])
		b.fixed = celjson.AppendString(b.fixed, f.Name)
		b.fixed = append(b.fixed, ':')
		b.name, b.text = name+"."+f.Name, f.Value
		if b.whole = c.check(b.name, f.Value, wantJSON); b.whole != nil {
			b.add(b.whole.Expr())
		}
	}
	b.fixed = append(b.fixed, '}')
	return b.finish()
}

func (b *builder) finish() *template {
	b.made.tail = b.fixed
	return &b.made
}

// add adds a value to the template: a literal as text, anything else as a
// dynamic part.
func (b *builder) add(e ast.Expr) {
	switch e.Kind() {
	case ast.LiteralKind:
		if out, err := celjson.Append(b.fixed, e.AsLiteral(), cel.MaxText); err == nil {
			b.fixed = out
			return
		}
	case ast.ListKind:
		if l := e.AsList(); len(l.OptionalIndices()) == 0 {
			b.list(l)
			return
		}
	case ast.MapKind:
		if m := e.AsMap(); hasNames(m) {
			b.object(m)
			return
		}
	}
	value := b.part(b.name, b.text, b.whole, e)
	b.made.parts = append(b.made.parts, dynamicPart{b.fixed, value})
	b.fixed = nil
}

func (b *builder) list(l ast.ListExpr) {
	b.fixed = append(b.fixed, '[')
	for i, e := range l.Elements() {
		if i > 0 {
			b.fixed = append(b.fixed, ',')
		}
		b.add(e)
	}
	b.fixed = append(b.fixed, ']')
}

func (b *builder) object(m ast.MapExpr) {
	b.fixed = append(b.fixed, '{')
	for i, entry := range m.Entries() {
		if i > 0 {
			b.fixed = append(b.fixed, ',')
		}
		e := entry.AsMapEntry()
		b.fixed = celjson.AppendString(b.fixed, string(e.Key().AsLiteral().(types.String)))
		b.fixed = append(b.fixed, ':')
		b.add(e.Value())
	}
	b.fixed = append(b.fixed, '}')
}

// hasNames reports whether all keys of a literal are literal texts, and none of
// its entries is optional.
func hasNames(m ast.MapExpr) bool {
	for _, entry := range m.Entries() {
		e := entry.AsMapEntry()
		if e.IsOptional() || e.Key().Kind() != ast.LiteralKind {
			return false
		}
		if _, ok := e.Key().AsLiteral().(types.String); !ok {
			return false
		}
	}
	return true
}

// write appends the output for one event to dst, up to limit bytes.
func (t *template) write(dst []byte, v *vars, limit int) ([]byte, error) {
	var err error
	for i := range t.parts {
		h := &t.parts[i]
		dst = append(dst, h.prefix...)
		if dst, err = h.value.write(dst, v, limit); err != nil {
			return dst, err
		}
	}
	if dst = append(dst, t.tail...); len(dst) > limit {
		return dst, tooLarge(limit)
	}
	return dst, nil
}

// write appends the value of an expression as JSON.
func (x *expression) write(dst []byte, v *vars, limit int) ([]byte, error) {
	if x.path != nil {
		return x.copy(dst, v, limit)
	}
	value, err := x.value(v)
	if err != nil {
		return dst, err
	}
	return x.encode(dst, value, limit)
}

// encode appends an evaluated value.
func (x *expression) encode(dst []byte, value ref.Val, limit int) ([]byte, error) {
	out, err := celjson.Append(dst, value, limit)
	switch {
	case errors.Is(err, celjson.ErrOutput):
		return out, tooLarge(limit)
	case err != nil:
		return out, x.failed("%v", err)
	}
	return out, nil
}

// copy appends the value at a path without making a CEL value.
func (x *expression) copy(dst []byte, v *vars, limit int) ([]byte, error) {
	switch x.path.root {
	case varData:
		found, err := x.find(v)
		if err != nil {
			return dst, err
		}
		if len(found.Raw()) > limit-len(dst) {
			return dst, tooLarge(limit)
		}
		return append(dst, found.Raw()...), nil
	case varTime:
		if v.time.IsZero() {
			return append(dst, "null"...), nil
		}
		dst = celjson.AppendTime(dst, v.time)
	default:
		text, _ := v.text(x.path.root)
		dst = celjson.AppendString(dst, text)
	}
	if len(dst) > limit {
		return dst, tooLarge(limit)
	}
	return dst, nil
}

func tooLarge(limit int) error {
	return fault.New(fault.OutputTooLarge, fmt.Errorf("the output is larger than the %d bytes that transform.maxOutputBytes allows", limit))
}
