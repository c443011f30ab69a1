package config

import (
	"strings"

	"github.com/goccy/go-yaml/token"
)

// Limits of a file. They are checked before the YAML library runs, which takes quadratic time
// on some input, and before its tree is walked, which would follow aliases for ever.
// See https://github.com/kubernetes/kubernetes/issues/83253 and
// https://github.com/golang/vulndb/issues/4768.
const (
	MaxFile       = 1 << 20
	maxDepth      = 100
	maxAliased    = 10_000 // values reached through aliases
	maxKey        = 1024   // characters of a key; YAML's own limit
	maxBlankLines = 100    // blank lines in a row
	maxAngleRun   = 1000   // '<' in a row
	maxEffort     = 50_000_000
	maxPaths      = 64 << 20
	maxTokens     = 200_000
)

// checkText refuses text that would take the lexer too long.
func checkText(text string) *fault {
	if len(text) > MaxFile {
		return &fault{code: CodeTooLarge, message: plainSentence("the file is larger than 1 MiB"),
			hint: plainSentence("split it, or move large values to files of their own")}
	}
	blank, run, line := 0, 0, 1
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '\n':
			line++
			blank++
			run = 0
		case '<':
			run++
			blank = 0
		case ' ', '\t', '\r':
		default:
			blank, run = 0, 0
		}
		if blank > maxBlankLines+1 || run > maxAngleRun {
			return &fault{code: CodeTooLarge, at: position{line, 1}, message: plainSentence("more than 100 blank lines, or 1000 '<', in a row"),
				hint: plainSentence("remove them")}
		}
	}
	return nil
}

// checkTokens refuses tokens that would take the parser too long: it is recursive in depth, and
// quadratic in the keys of a mapping, in omitted values, and in the length of paths.
func checkTokens(tokens token.Tokens) *fault {
	g := tokenChecker{total: len(tokens)}
	if g.total > maxTokens {
		at := tokens[maxTokens].Position
		return &fault{code: CodeTooLarge, at: position{at.Line, at.Column}, message: plainSentence("too many entries"),
			hint: plainSentence("split the file, or the list")}
	}
	for _, tk := range tokens {
		if f := g.add(tk); f != nil {
			return f
		}
	}
	return nil
}

// openCollection is a collection that is open: the column of its entries (0 in flow style), the
// number of entries, and the length of its path.
type openCollection struct {
	column, entries, path int
	list                  bool // in flow style: [ ], not { }
}

type tokenChecker struct {
	levels        []openCollection
	flow          int
	effort, paths int
	total         int
}

func (g *tokenChecker) add(tk *token.Token) *fault {
	at := position{tk.Position.Line, tk.Position.Column}
	switch tk.Type {
	case token.MappingStartType, token.SequenceStartType:
		g.flow++
		g.push(0, keyLength(tk.Prev))
		g.levels[len(g.levels)-1].list = tk.Type == token.SequenceStartType
	case token.MappingEndType, token.SequenceEndType:
		g.flow = max(0, g.flow-1)
		g.pop(func(l openCollection) bool { return l.column > 0 })
		if len(g.levels) > 0 {
			g.levels = g.levels[:len(g.levels)-1]
		}
	case token.MappingKeyType:
		return &fault{code: CodeSyntax, at: at, message: plainSentence("keys written with ? are not supported"), hint: plainSentence("write key: value")}
	case token.SequenceEntryType:
		g.entry(tk.Position.Column, 8)
	case token.MappingValueType:
		if f := g.key(tk); f != nil {
			return f
		}
	}
	if g.valueOmitted(tk) {
		g.effort += g.total
	}
	if len(g.levels) > 0 {
		g.paths += g.levels[len(g.levels)-1].path
	}
	switch {
	case len(g.levels) > maxDepth:
		return &fault{code: CodeTooDeep, at: at, message: plainSentence("nested more than 100 deep")}
	case g.effort > maxEffort || g.paths > maxPaths:
		return &fault{code: CodeTooLarge, at: at, message: plainSentence("too many entries"), hint: plainSentence("split the file, or the list")}
	}
	return nil
}

func (g *tokenChecker) key(tk *token.Token) *fault {
	if tk.Prev == nil {
		return nil
	}
	if n := keyLength(tk); n > maxKey*4 {
		p := tk.Prev.Position
		return &fault{code: CodeTooLarge, at: position{p.Line, p.Column}, message: plainSentence("a key is longer than 1024 characters")}
	}
	if g.flow == 0 {
		g.entry(tk.Prev.Position.Column, keyLength(tk))
	} else if len(g.levels) > 0 {
		g.count(&g.levels[len(g.levels)-1], keyLength(tk))
	}
	return nil
}

// entry records an entry of a block collection. An entry that is indented deeper than the last
// begins a new collection.
func (g *tokenChecker) entry(column, key int) {
	if g.flow > 0 {
		return
	}
	g.pop(func(l openCollection) bool { return l.column > column })
	if n := len(g.levels); n == 0 || g.levels[n-1].column < column {
		g.push(column, key)
	}
	g.count(&g.levels[len(g.levels)-1], key)
}

func (g *tokenChecker) push(column, key int) {
	path := key
	if n := len(g.levels); n > 0 {
		path += g.levels[n-1].path
	}
	g.levels = append(g.levels, openCollection{column: column, path: path})
}

func (g *tokenChecker) pop(deeper func(openCollection) bool) {
	for n := len(g.levels); n > 0 && deeper(g.levels[n-1]); n-- {
		g.levels = g.levels[:n-1]
	}
}

func (g *tokenChecker) count(l *openCollection, key int) {
	l.entries++
	g.effort += l.entries
	g.paths += key
}

// valueOmitted reports whether the value after tk seems to be omitted, which makes the parser
// move all following tokens.
func (g *tokenChecker) valueOmitted(tk *token.Token) bool {
	switch tk.Type {
	case token.MappingValueType, token.SequenceEntryType:
	case token.CollectEntryType:
		if n := len(g.levels); n > 0 && g.levels[n-1].list {
			return false
		}
		return tk.Prev == nil || tk.Prev.Prev == nil || tk.Prev.Prev.Type != token.MappingValueType
	default:
		return false
	}
	next := tk.Next
	if next == nil || tk.Prev == nil {
		return true
	}
	switch next.Type {
	case token.CollectEntryType, token.MappingEndType, token.SequenceEndType, token.MappingKeyType, token.MappingValueType:
		return true
	}
	column := tk.Position.Column
	if tk.Type == token.MappingValueType {
		column = tk.Prev.Position.Column
	}
	return next.Position.Line > tk.Position.Line && next.Position.Column <= column
}

func keyLength(tk *token.Token) int {
	if tk == nil || tk.Prev == nil {
		return 0
	}
	return len(strings.TrimSpace(tk.Prev.Value)) + 1
}
