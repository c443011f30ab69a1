package config

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// source is a file as errors show it: its lines, and what they must not show. It has a lock because
// Raw parts of one file may be decoded concurrently.
//
// An error shows the position, the key and the line. A value is shown if the schema knows its key and
// the key is not for a credential (see conceal.go). For lines outside the schema, see lines.go.
type source struct {
	file  string
	lines []string

	topKeys []string // the keys at the margin

	lastSplit struct { // the last result of characters
		sync.Mutex
		number  int
		line    []rune
		textLen int
	}

	mu              sync.Mutex
	underCredential []uint8           // by line: the result of underCredentialKey
	unparsedFrom    int               // first line that was not parsed; 0: all were parsed
	masked          map[int]int       // line -> first hidden column
	undecoded       map[*node][]*node // part without a schema yet -> its values
	hidden          map[*node]bool    // hidden values and keys
	keys            map[string]bool   // texts of hidden keys
	replacements    map[string]string // value -> shown text
	longestFirst    []string          // replaced values to find inside other texts; nil: not sorted yet
}

func newSource(file, text string) *source {
	return &source{
		file: file, lines: strings.Split(text, "\n"), masked: map[int]int{},
		undecoded: map[*node][]*node{}, hidden: map[*node]bool{}, keys: map[string]bool{}, replacements: map[string]string{},
	}
}

func (s *source) pos(at position) Pos {
	if s == nil {
		return Pos{}
	}
	return Pos{s.file, at.line, at.column}
}

// hide masks a value in every shown line and in every message.
func (s *source) hide(n *node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hidden[n] {
		return
	}
	s.hidden[n] = true
	s.mask(n.begin())
	last := s.lastLine(n)
	for line := n.begin().line + 1; line <= last; line++ {
		s.mask(position{line, 1})
	}
	s.replaceInMessages(n.text, Mask)
	for line := range strings.SplitSeq(n.text, "\n") {
		s.replaceInMessages(strings.TrimSpace(line), Mask)
	}
}

// hideKey is hide for a key, which is also a part of paths.
func (s *source) hideKey(n *node) {
	s.hide(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[n.text] = true
}

// hidePlace masks a line from the begin of a value.
func (s *source) hidePlace(n *node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mask(n.begin())
}

// hideExpanded hides the text that references in a value expand to, if the value is hidden.
func (s *source) hideExpanded(n *node, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hidden[n] {
		s.replaceInMessages(text, Mask)
	}
}

// lastLine returns the last line of a value: that of the closing quote, or the last line that is
// indented deeper than the one where the value begins.
func (s *source) lastLine(n *node) int {
	if n.style == singleQuoted || n.style == doubleQuoted {
		w := cursor{src: s, at: position{n.at.line, n.at.column + 1}, style: n.style}
		value := []rune(n.text)
		return w.advance(value, len(value)).line
	}
	indent := leading(s.line(n.at.line))
	last := n.at.line
	for i := last + 1; i <= len(s.lines); i++ {
		switch line := s.line(i); {
		case strings.TrimSpace(line) == "":
		case leading(line) <= indent:
			return last
		default:
			last = i
		}
	}
	return last
}

func (s *source) mask(from position) {
	if at, ok := s.masked[from.line]; !ok || from.column < at {
		s.masked[from.line] = from.column
	}
}

// replaceInMessages makes messages show another text in place of a value. Called with the lock held.
func (s *source) replaceInMessages(value, shown string) {
	if value != "" {
		s.replacements[value], s.longestFirst = shown, nil
	}
}

// lockAndReplaceInMessages is replaceInMessages that takes the lock.
func (s *source) lockAndReplaceInMessages(value, shown string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replaceInMessages(value, shown)
}

// finishErrors sets the line of the file and the texts of each error, without hidden values.
func (s *source) finishErrors(errs Errors) Errors {
	if s == nil {
		return errs.sorted()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	type seen struct {
		line string
		cut  int
	}
	lines := map[int]seen{}
	for _, e := range errs {
		at, ok := lines[e.Pos.Line]
		if !ok {
			at.line, at.cut = s.visibleLine(e.Pos.Line)
			lines[e.Pos.Line] = at
		}
		e.Line = at.line
		e.masked = at.cut <= utf8.RuneCountInString(s.line(e.Pos.Line)) && e.Pos.Column > at.cut
		// The parser knows no keys: its text about a hidden place is hidden.
		hidden := e.parsed && e.Pos.Column > at.cut
		if e.message.format != "" {
			e.Message, e.Hint = s.render(e.message, hidden), s.render(e.hint, hidden)
			e.message, e.hint = sentence{}, sentence{}
			continue
		}
		e.Message, e.Hint = s.withoutHidden(e.Message), s.withoutHidden(e.Hint)
	}
	return errs.sorted()
}

func (s *source) line(number int) string {
	if number < 1 || number > len(s.lines) {
		return ""
	}
	return s.lines[number-1]
}

// characters returns those of a line, and how many of them precede trailing blanks. It caches the last
// line, because one line may hold all values of a file.
func (s *source) characters(number int) (line []rune, textLen int) {
	s.lastSplit.Lock()
	defer s.lastSplit.Unlock()
	if s.lastSplit.number != number {
		text := s.line(number)
		s.lastSplit.number, s.lastSplit.line = number, []rune(text)
		s.lastSplit.textLen = utf8.RuneCountInString(strings.TrimRight(text, " \t"))
	}
	return s.lastSplit.line, s.lastSplit.textLen
}

func leading(line string) int { return len(line) - len(strings.TrimLeft(line, " \t")) }

// byteOffset returns the byte at which the character of a column begins.
func byteOffset(line string, column int) int {
	for i := range line {
		if column--; column == 0 {
			return i
		}
	}
	return len(line)
}
