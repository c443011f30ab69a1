package supervisor

import (
	"slices"
	"strings"
)

// claim is the flow names that one file claims.
type claim struct {
	path   string
	held   string // name of the flow in force; "": none
	wanted string // name of the flow in the new content; "": no new content
	absent bool   // the file is missing now
}

// ownership assigns flow names to files.
type ownership struct {
	owner   map[string]claim  // by flow name
	refused map[string]string // file with refused content -> file that owns the name it wants
	moved   []string          // absent files whose flow is now in another file
}

// settleNames gives each flow name one owner. A file keeps the name that it holds. If several new
// contents want the same name, the first path gets it; the content of the others is refused, and
// they keep the names they hold. An absent file without new content loses its name to a file that
// wants it: the flow was moved.
func settleNames(claims []claim) ownership {
	refused := map[string]string{}
	for {
		// A refused file falls back to the name that it holds, which may be assigned to another
		// file by now. So all names are assigned again.
		if o := (ownership{owner: map[string]claim{}, refused: refused}); o.settle(claims) {
			return o
		}
	}
}

// settle assigns names until a content is refused, and reports whether none was refused.
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

// inOrder returns the claims sorted by path, with claims to a name that the file already holds
// first.
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

// changes reports whether the file has new content that is not refused.
func (o *ownership) changes(c claim) bool { return c.wanted != "" && o.refused[c.path] == "" }

// name returns the flow name that the file claims.
func (o *ownership) name(c claim) string {
	if o.changes(c) {
		return c.wanted
	}
	return c.held
}
