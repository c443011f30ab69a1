package config

import "strings"

// align returns where character number offset of a scalar's value is in the file. It walks
// the written form together with the value, because quotes, escapes, folding and indentation
// are only in the written form.
func align(src *source, n *node, offset int) position {
	value := []rune(n.text)
	offset = min(max(offset, 0), len(value))
	switch n.style {
	case literal:
		return alignLiteral(src, n, offset)
	case folded:
		w := cursor{src: src, at: n.at, indent: indentation(src, n), block: true}
		w.next()
		return w.advance(value, offset)
	case singleQuoted, doubleQuoted:
		w := cursor{src: src, at: position{n.at.line, n.at.column + 1}, style: n.style}
		return w.advance(value, offset)
	}
	w := cursor{src: src, at: n.at}
	return w.advance(value, offset)
}

// alignLiteral counts lines: the lines of a literal are lines of the file.
func alignLiteral(src *source, n *node, offset int) position {
	before := string([]rune(n.text)[:offset])
	line := strings.Count(before, "\n")
	column := offset - len([]rune(before[:strings.LastIndexByte(before, '\n')+1]))
	return position{n.at.line + 1 + line, indentation(src, n) + column + 1}
}

// indentation returns the indentation of a block scalar: that of its first line that is not
// blank, minus the spaces that belong to its value.
func indentation(src *source, n *node) int {
	values := strings.Split(n.text, "\n")
	for i, value := range values {
		if strings.TrimSpace(value) != "" {
			return max(0, leading(src.line(n.at.line+1+i))-leading(value))
		}
	}
	return 0
}

// cursor is a place in the written form of a scalar.
type cursor struct {
	src     *source
	at      position
	style   style
	block   bool // a folded block scalar, whose lines begin after indent characters
	indent  int
	runes   []rune // of the line number lineOf
	textEnd int    // number of runes before trailing blanks
	lineOf  int
}

// advance walks past the written form of the first offset characters of value, to the begin
// of the next one.
func (w *cursor) advance(value []rune, offset int) position {
	for _, r := range value[:offset] {
		w.skip(r)
	}
	if offset < len(value) && value[offset] != ' ' && value[offset] != '\n' && (w.end() || w.style == doubleQuoted && w.continued()) {
		w.next()
	}
	return w.at
}

func (w *cursor) skip(r rune) {
	line := w.line()
	rest := w.rest(line)
	switch {
	case w.style == doubleQuoted && w.continued():
		w.next()
		w.skip(r)
	case w.style == doubleQuoted && len(rest) > 0 && rest[0] == '\\':
		w.at.column += escape(rest)
	case w.style == singleQuoted && r == '\'' && len(rest) > 1:
		w.at.column += 2
	case (r == ' ' || r == '\n') && w.blank():
		w.next()
	case r != '\n' && w.end():
		w.next()
		w.skip(r)
	case r != '\n':
		w.at.column++
	}
}

// end reports whether only blanks are left of the line and another line follows.
func (w *cursor) end() bool {
	return w.blank() && w.at.line < len(w.src.lines)
}

// blank reports whether only blanks are left of the line.
func (w *cursor) blank() bool {
	w.line()
	return w.at.column-1 >= w.textEnd
}

// continued reports whether a backslash ends the line here.
func (w *cursor) continued() bool {
	rest := w.rest(w.line())
	return len(rest) == 1 && rest[0] == '\\' && w.at.line < len(w.src.lines)
}

func (w *cursor) line() []rune {
	if w.lineOf != w.at.line {
		w.runes, w.textEnd = w.src.characters(w.at.line)
		w.lineOf = w.at.line
	}
	return w.runes
}

func (w *cursor) rest(line []rune) []rune { return line[min(w.at.column-1, len(line)):] }

// next moves to the first character of the next line after its indentation.
func (w *cursor) next() {
	w.at.line++
	w.at.column = leading(w.src.line(w.at.line)) + 1
	if w.block {
		w.at.column = min(w.at.column, w.indent+1)
	}
}

// escape returns the length in characters of an escape in double quotes.
func escape(rest []rune) int {
	if len(rest) < 2 {
		return 1
	}
	switch rest[1] {
	case 'x':
		return min(4, len(rest))
	case 'u':
		return min(6, len(rest))
	case 'U':
		return min(10, len(rest))
	}
	return 2
}
