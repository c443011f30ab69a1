package supervisor

import (
	"slices"
	"strings"
)

// claim is what one file says about flow names.
type claim struct {
	path   string
	held   string // the flow that the file defines in force; "": none
	wanted string // the flow that its new content defines; "": there is none
	absent bool   // the file cannot be seen now
}

// ownership says which file owns which flow name.
type ownership struct {
	owner   map[string]claim  // by flow name
	refused map[string]string // file whose new content is refused -> file that owns the name it wants
	moved   []string          // absent files whose flow another file has taken over
}

// settleNames gives each flow name one owner. The file that holds a name keeps
// it, and of new contents that want the same name the first path gets it. The
// content of the others is refused, and they keep what they hold. An absent file
// without a new content loses its name to a file that wants it: the flow was
// moved.
func settleNames(claims []claim) ownership {
	refused := map[string]string{}
	for {
		// A refused file falls back to the name it holds, which may have been given to
		// another one: all names are settled again.
		if o := (ownership{owner: map[string]claim{}, refused: refused}); o.settle(claims) {
			return o
		}
	}
}

// settle gives out names until a content is refused, and reports whether none was.
func (o *ownership) settle(claims []claim) bool {
	for _, c := range o.inOrder(claims) {
		name := o.name(c)
		if name == "" {
			continue
		}
		other, taken := o.owner[name]
		switch {
		case !taken:
		case other.absent && !o.changes(other):
			o.moved = append(o.moved, other.path)
		case o.changes(c):
			o.refused[c.path] = other.path
			return false
		default:
			continue
		}
		o.owner[name] = c
	}
	return true
}

// inOrder is the claims to a name that is held, by path, and then those to
// another one.
func (o *ownership) inOrder(claims []claim) []claim {
	renames := func(c claim) int {
		if o.name(c) != c.held {
			return 1
		}
		return 0
	}
	sorted := slices.Clone(claims)
	slices.SortFunc(sorted, func(a, b claim) int {
		if by := renames(a) - renames(b); by != 0 {
			return by
		}
		return strings.Compare(a.path, b.path)
	})
	return sorted
}

// changes reports whether the file has a new content that is not refused.
func (o *ownership) changes(c claim) bool { return c.wanted != "" && o.refused[c.path] == "" }

// name is the flow that the file would define.
func (o *ownership) name(c claim) string {
	if o.changes(c) {
		return c.wanted
	}
	return c.held
}
