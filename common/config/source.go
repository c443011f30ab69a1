package config

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// source is a file as errors show it: its lines, and what must not be seen.
// Raw parts of one file are decoded later and perhaps side by side, so it locks.
//
// An error shows the place, the key and the line. A value is shown where the
// schema knows its key and the key takes no credential (see conceal.go); of lines
// that the schema says nothing of, see lines.go.
type source struct {
	file  string
	lines []string

	top []string // the keys that stand at the margin

	cut struct { // see characters
		sync.Mutex
		number int
		line   []rune
		ink    int
	}

	mu      sync.Mutex
	below   []uint8           // by line, what beneath found out
	unread  int               // from this line on the file was not understood; 0: all was
	masked  map[int]int       // line -> first column that is hidden
	raws    map[*node][]*node // what stands in parts whose keys are not known yet
	hidden  map[*node]bool    // values, and keys, that are hidden
	keys    map[string]bool   // texts of keys that are hidden
	veiled  map[string]string // value -> what is shown instead
	ordered []string          // those that are looked for inside of others; nil: to be made
}

func newSource(file, text string) *source {
	return &source{
		file: file, lines: strings.Split(text, "\n"), masked: map[int]int{},
		raws: map[*node][]*node{}, hidden: map[*node]bool{}, keys: map[string]bool{}, veiled: map[string]string{},
	}
}

func (s *source) pos(at place) Pos {
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
	last := s.last(n)
	for line := n.begin().line + 1; line <= last; line++ {
		s.mask(place{line, 1})
	}
	s.veil(n.text, Mask)
	for line := range strings.SplitSeq(n.text, "\n") {
		s.veil(strings.TrimSpace(line), Mask)
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

// alike veils what the references of a value bring in, where the value is hidden.
func (s *source) alike(n *node, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hidden[n] {
		s.veil(text, Mask)
	}
}

// last is the last line that a value may reach to: that of the closing quote,
// or the last that is indented deeper than where the value began.
func (s *source) last(n *node) int {
	if n.style == singleQuoted || n.style == doubleQuoted {
		w := writer{src: s, at: place{n.at.line, n.at.column + 1}, style: n.style}
		value := []rune(n.text)
		return w.follow(value, len(value)).line
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

func (s *source) mask(from place) {
	if at, ok := s.masked[from.line]; !ok || from.column < at {
		s.masked[from.line] = from.column
	}
}

// veil replaces a value by what is shown instead wherever a message has it.
func (s *source) veil(value, shown string) {
	if value != "" {
		s.veiled[value], s.ordered = shown, nil
	}
}

// conceal is veil for callers that do not hold the lock.
func (s *source) conceal(value, shown string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.veil(value, shown)
}

// finish puts the line of the file to each error, and makes its sentences,
// without what must not be seen.
func (s *source) finish(errs Errors) Errors {
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
			at.line, at.cut = s.shown(e.Pos.Line)
			lines[e.Pos.Line] = at
		}
		e.Line = at.line
		// The parser knows no keys: what it says of a hidden place is hidden.
		hidden := e.parsed && e.Pos.Column > at.cut
		if e.said.format != "" {
			e.Message, e.Hint = s.render(e.said, hidden), s.render(e.hinted, hidden)
			e.said, e.hinted = words{}, words{}
			continue
		}
		e.Message, e.Hint = s.without(e.Message), s.without(e.Hint)
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
	s.cut.Lock()
	defer s.cut.Unlock()
	if s.cut.number != number {
		text := s.line(number)
		s.cut.number, s.cut.line = number, []rune(text)
		s.cut.ink = utf8.RuneCountInString(strings.TrimRight(text, " \t"))
	}
	return s.cut.line, s.cut.ink
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
