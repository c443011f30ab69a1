package config

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// source is a file as errors show it: its lines, and what they must not show.
// Raw parts of one file may be decoded concurrently, so it has a lock.
//
// An error shows the place, the key and the line. A value is shown where the
// schema knows its key and the key takes no credential (see conceal.go); of lines
// that the schema says nothing of, see lines.go.
type source struct {
	file  string
	lines []string

	topKeys []string // the keys that stand at the margin

	lastSplit struct { // see characters, which keeps the last line
		sync.Mutex
		number int
		line   []rune
		ink    int
	}

	mu              sync.Mutex
	underCredential []uint8           // by line, what underCredentialKey found
	unparsedFrom    int               // from this line on the file was not understood; 0: all was
	masked          map[int]int       // line -> first column that is hidden
	undecoded       map[*node][]*node // what stands in parts whose keys are not known yet
	hidden          map[*node]bool    // values, and keys, that are hidden
	keys            map[string]bool   // texts of keys that are hidden
	replacements    map[string]string // value -> what is shown instead
	longestFirst    []string          // those that are looked for inside of others; nil: to be made
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

// hide masks a value in every line shown, and in every message.
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

// hideKey is hide for a key, which stands in paths, too.
func (s *source) hideKey(n *node) {
	s.hide(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[n.text] = true
}

// hidePlace masks a line from where a value begins.
func (s *source) hidePlace(n *node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mask(n.begin())
}

// hideExpanded hides the text that references expanded to, if the value is hidden.
func (s *source) hideExpanded(n *node, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hidden[n] {
		s.replaceInMessages(text, Mask)
	}
}

// lastLine is the last line of a value: the line of the closing quote, or the last
// line that is indented deeper than the one where the value began.
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

// replaceInMessages makes every message show another text in place of a value.
// The caller holds the lock.
func (s *source) replaceInMessages(value, shown string) {
	if value != "" {
		s.replacements[value], s.longestFirst = shown, nil
	}
}

// lockAndReplaceInMessages is replaceInMessages with the lock.
func (s *source) lockAndReplaceInMessages(value, shown string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replaceInMessages(value, shown)
}

// finishErrors gives each error its line of the file and its texts, without what
// is hidden.
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
		// The parser knows no keys: what it says of a hidden place is hidden.
		hidden := e.parsed && e.Pos.Column > at.cut
		if e.said.format != "" {
			e.Message, e.Hint = s.render(e.said, hidden), s.render(e.hinted, hidden)
			e.said, e.hinted = sentence{}, sentence{}
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

// characters are those of a line, and ink is how many of them stand before the
// blanks at its end. They are kept for the next call, which mostly is about the
// same line: one line may hold all values of a file.
func (s *source) characters(number int) (line []rune, ink int) {
	s.lastSplit.Lock()
	defer s.lastSplit.Unlock()
	if s.lastSplit.number != number {
		text := s.line(number)
		s.lastSplit.number, s.lastSplit.line = number, []rune(text)
		s.lastSplit.ink = utf8.RuneCountInString(strings.TrimRight(text, " \t"))
	}
	return s.lastSplit.line, s.lastSplit.ink
}

func leading(line string) int { return len(line) - len(strings.TrimLeft(line, " \t")) }

// byteOffset is where the character of a column begins in a line.
func byteOffset(line string, column int) int {
	for i := range line {
		if column--; column == 0 {
			return i
		}
	}
	return len(line)
}
