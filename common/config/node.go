package config

import (
	"fmt"
	"strings"
)

// position is a position in one file.
type position struct{ line, column int }

type kind int

const (
	null kind = iota
	stringKind
	intKind
	floatKind
	boolKind
	mapping
	sequence
)

// style is how a scalar is written.
type style int

const (
	plain style = iota
	singleQuoted
	doubleQuoted
	literal
	folded
)

// node is a value of the file, independent of the YAML library. Aliases point to the node of
// their anchor, so the tree shares nodes. Its size and height, as a walk sees them, are bounded
// when it is built.
type node struct {
	kind     kind
	style    style
	at       position
	text     string // the value of a scalar; as it is written if it is not quoted
	pairs    []pair
	items    []*node
	faulty   []pair   // errors: keys that are set twice, and merged texts
	owner    *node    // the key of this value
	anchorAt position // the begin of its anchor or tag; zero: it has none

	size, height int // including all children
}

type pair struct {
	key    *node
	value  *node
	merged bool // merged by <<
}

// get returns the value of a key, nil when it is absent or null.
func (n *node) get(key string) *node {
	if p := n.pair(key); p != nil && p.value.kind != null {
		return p.value
	}
	return nil
}

// pair returns the key with its value, nil when the key is absent.
func (n *node) pair(key string) *pair {
	if n == nil {
		return nil
	}
	for i := range n.pairs {
		if n.pairs[i].key.text == key {
			return &n.pairs[i]
		}
	}
	return nil
}

// begin returns where a value begins, with its anchor or tag.
func (n *node) begin() position {
	if n.anchorAt.line > 0 {
		return n.anchorAt
	}
	return n.at
}

func (n *node) scalar() bool { return n.kind != mapping && n.kind != sequence }

// describe describes a value, for "expected …, found …".
func (n *node) describe(hidden bool) string {
	if hidden && n.scalar() && n.kind != null && n.kind != boolKind {
		return "a hidden value"
	}
	switch n.kind {
	case null:
		return "nothing"
	case intKind, floatKind:
		return "the number " + n.text
	case boolKind:
		return n.text
	case mapping:
		return "a mapping"
	case sequence:
		return "a list"
	}
	return "the text " + quote(n.text)
}

// span returns how many characters of its first line a value has.
func (n *node) span() int {
	switch {
	case !n.scalar() || n.style == literal || n.style == folded:
		return 1
	case n.style == plain:
		return len([]rune(firstLine(n.text)))
	}
	return len([]rune(firstLine(n.text))) + 2
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// quote quotes a value of the file for a message, and shortens a long one.
func quote(s string) string {
	if r := []rune(s); len(r) > 60 {
		return fmt.Sprintf("%q…", string(r[:60]))
	}
	return fmt.Sprintf("%q", s)
}
