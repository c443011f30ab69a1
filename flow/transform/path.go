package transform

import (
	"strconv"
	"strings"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"

	"github.com/lsm/fiso/common/lazyjson"
)

// path is an expression that only names a variable or a place in data, such as
// data.items[0]["sku"]. It is looked up without CEL.
type path struct {
	root  string
	steps []step
}

// step is the name of a member, or the index of an element.
type step struct {
	name  string
	index int
	list  bool
}

// pathOf returns the path that e is, or nil.
func pathOf(e ast.Expr) *path {
	switch e.Kind() {
	case ast.IdentKind:
		for _, name := range variables {
			if e.AsIdent() == name && name != varHeaders {
				return &path{root: name}
			}
		}
	case ast.SelectKind:
		s := e.AsSelect()
		if s.IsTestOnly() {
			return nil
		}
		return pathOf(s.Operand()).then(step{name: s.FieldName()})
	case ast.CallKind:
		c := e.AsCall()
		if c.FunctionName() != operators.Index || len(c.Args()) != 2 || c.Args()[1].Kind() != ast.LiteralKind {
			return nil
		}
		p := pathOf(c.Args()[0])
		switch key := c.Args()[1].AsLiteral().(type) {
		case types.String:
			return p.then(step{name: string(key)})
		case types.Int:
			return p.then(step{index: int(key), list: true})
		}
	}
	return nil
}

// then appends a step to the path; only data has steps.
func (p *path) then(s step) *path {
	if p == nil || p.root != varData {
		return nil
	}
	p.steps = append(p.steps, s)
	return p
}

// find returns the value at the path and the number of steps taken. If there is
// no value, the last step taken failed.
func (p *path) find(v lazyjson.Value) (_ lazyjson.Value, steps int) {
	for i, s := range p.steps {
		if s.list {
			v = v.Index(s.index)
		} else {
			v = v.Member(s.name)
		}
		if v.Kind() == lazyjson.Absent {
			return v, i + 1
		}
	}
	return v, len(p.steps)
}

// missing is the message that there is nothing after so many steps of the path.
func (p *path) missing(steps int) string {
	what := "no such field: "
	if p.steps[steps-1].list {
		what = "no such element: "
	}
	return what + p.prefix(steps)
}

// prefix is the first steps of the path as text.
func (p *path) prefix(steps int) string {
	var b strings.Builder
	b.WriteString(p.root)
	for _, s := range p.steps[:steps] {
		switch {
		case s.list:
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		case isName(s.name):
			b.WriteString("." + s.name)
		default:
			b.WriteString("[" + strconv.Quote(s.name) + "]")
		}
	}
	return b.String()
}

func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
