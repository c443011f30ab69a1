package config

import (
	"fmt"
	"strings"
)

// position is a position inside one file.
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

// style is how a scalar was written.
type style int

const (
	plain style = iota
	singleQuoted
	doubleQuoted
	literal
	folded
)

// node is a value of the file, free of what the YAML library calls it.
// Aliases point to the node of their anchor: the tree shares, and its size and
// height, as seen by one who walks it, were bounded when it was built.
type node struct {
	kind     kind
	style    style
	at       position
	text     string // of a scalar: its value; of an unquoted one: as it is written
	pairs    []pair
	items    []*node
	faulty   []pair   // what is an error: keys that are set twice, and merged texts
	owner    *node    // the key whose value this is
	anchorAt position // where its anchor or its tag begins; zero: it has none

	size, height int // with everything below
}

type pair struct {
	key    *node
	value  *node
	merged bool // came in by <<
}

// get is the value of a key, nil when it is absent or null.
func (n *node) get(key string) *node {
	if p := n.pair(key); p != nil && p.value.kind != null {
		return p.value
	}
	return nil
}

// pair is the key with its value, nil when the key is absent.
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

// begin is where all that is written of a value begins.
func (n *node) begin() position {
	if n.anchorAt.line > 0 {
		return n.anchorAt
	}
	return n.at
}

func (n *node) scalar() bool { return n.kind != mapping && n.kind != sequence }

// describe names what was found, for the words "expected …, found …".
func (n *node) describe(hidden bool) string {
	if hidden && n.scalar() && n.kind != null && n.kind != boolKind {
		return "what is not shown here"
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

// span is how many characters of its first line a node takes.
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

// quote shows a value of the file in a message, and not all of a long one.
func quote(s string) string {
	if r := []rune(s); len(r) > 60 {
		return fmt.Sprintf("%q…", string(r[:60]))
	}
	return fmt.Sprintf("%q", s)
}
