package config

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// source is a file as errors show it: its lines, and what must not be seen.
// Raw parts of one file are decoded later and perhaps side by side, so it locks.
type source struct {
	file  string
	lines []string

	mu     sync.Mutex
	masked map[int]int       // line -> first column that is hidden
	veiled map[string]string // value -> what is shown instead
}

func newSource(file, text string) *source {
	return &source{file: file, lines: strings.Split(text, "\n"), masked: map[int]int{}, veiled: map[string]string{}}
}

func (s *source) pos(at place) Pos {
	if s == nil {
		return Pos{}
	}
	return Pos{s.file, at.line, at.column}
}

// hide masks a value that is a secret from every line shown.
func (s *source) hide(n *node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mask(n.at)
	for line := n.at.line + 1; line <= s.last(n); line++ {
		s.mask(place{line, 1})
	}
	s.veil(n.text, Mask)
	for line := range strings.SplitSeq(n.text, "\n") {
		s.veil(strings.TrimSpace(line), Mask)
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

// veil replaces a value by what is shown instead wherever a message quotes it.
func (s *source) veil(value, shown string) {
	// A very short value would veil half of every sentence.
	if utf8.RuneCountInString(value) >= 4 && !strings.HasPrefix(value, "${") {
		s.veiled[value] = shown
	}
}

// conceal is veil for callers that do not hold the lock.
func (s *source) conceal(value, shown string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.veil(value, shown)
}

// finish puts the line of the file to each error and takes secrets out.
func (s *source) finish(errs Errors) Errors {
	if s == nil {
		return errs.sorted()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	veil := s.replacer()
	lines := map[int]string{}
	for _, e := range errs {
		line, ok := lines[e.Pos.Line]
		if !ok {
			line = s.shown(e.Pos.Line)
			lines[e.Pos.Line] = line
		}
		e.Line = line
		e.Message, e.Hint = userinfo.ReplaceAllString(veil.Replace(e.Message), "${1}${2}"+Mask+"@"), veil.Replace(e.Hint)
	}
	return errs.sorted()
}

// replacer replaces veiled values, longer ones first.
func (s *source) replacer() *strings.Replacer {
	values := slices.SortedFunc(maps.Keys(s.veiled), func(a, b string) int {
		return cmp.Or(len(b)-len(a), strings.Compare(a, b))
	})
	var pairs []string
	for _, v := range values {
		pairs = append(pairs, v, s.veiled[v], strings.Trim(strconv.Quote(v), `"`), s.veiled[v])
	}
	return strings.NewReplacer(pairs...)
}

func (s *source) line(number int) string {
	if number < 1 || number > len(s.lines) {
		return ""
	}
	return s.lines[number-1]
}

// secretKey finds keys whose value is better not shown although nobody said
// that it is a secret: misspelt ones, and those of files that do not parse.
var secretKey = regexp.MustCompile(`(?i)["']?\b[\w.-]*(?:pass(?:word|wd|phrase)?|pasword|secret|token|api-?_?key|credential|private-?_?key|authorization)[\w.-]*["']?\s*:\s*`)

// notSecret are the keys among them that name where a secret is, or hold none.
var notSecret = regexp.MustCompile(`(?i)(ref|file|path|url|uri|name|header|dir|type)["']?\s*:\s*$`)

// reference is a value that only names where the secret is.
var reference = regexp.MustCompile(`^(?:["']?\$\{(?:file:)?[\w./-]+\}["']?\s*(?:[,}#]|$)|\{\s*secretRef\s*:)`)

// userinfo is a name with a password in a URL, wherever one stands. It rather
// takes a port and a path with an @ for one than miss a password with a slash.
// Without a scheme it is found too, as people write it for a host.
var userinfo = regexp.MustCompile(`(://)[^/\s:@]*:[^\s@]*@|(^|[\s"'\[{(,])[^/\s:@"']+:[^/\s@"'][^\s@"']*@`)

// shown is a line with its secrets masked. The caller holds the lock.
func (s *source) shown(number int) string {
	line := s.line(number)
	hidden := len(line) + 1
	if column, ok := s.masked[number]; ok {
		hidden = byteOffset(line, column)
	}
	for _, at := range secretKey.FindAllStringIndex(line, -1) {
		if !notSecret.MatchString(line[at[0]:at[1]]) && at[1] < len(line) && !reference.MatchString(line[at[1]:]) {
			hidden = min(hidden, at[1])
		}
	}
	if at := userinfo.FindStringSubmatchIndex(line); at != nil {
		hidden = min(hidden, max(at[3], at[5])) // behind what comes before the name
	}
	if s.insideSecret(number) {
		hidden = min(hidden, leading(line))
	}
	if hidden >= len(line) {
		return line
	}
	return line[:hidden] + Mask
}

// insideSecret reports whether a line goes on with the value of a secret key.
func (s *source) insideSecret(number int) bool {
	indent := leading(s.line(number))
	for i := number - 1; i > 0 && indent > 0; i-- {
		line := s.line(i)
		if strings.TrimSpace(line) == "" || leading(line) >= indent {
			continue
		}
		indent = leading(line)
		at := secretKey.FindStringIndex(line)
		if at != nil && !notSecret.MatchString(line[at[0]:at[1]]) {
			return true
		}
	}
	return false
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
