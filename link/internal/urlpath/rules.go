package urlpath

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Rules are the patterns of a target's allowedPaths. In a pattern, "*" matches anything
// within a segment that is not empty, and the segment "**" matches any number of
// segments, including none; everything else matches itself. A nil *Rules allows every
// path.
type Rules struct {
	patterns [][]string
	cuts     [][]string // each: the marks of a character at which a server may cut a path
	letters  bool       // the target does not map letters to delimiters
}

// Letters stands for all non-ASCII characters that some servers map to a delimiter.
const Letters = "letters"

// Characters are the names that NewRules accepts, with their forms in a canonical path.
var Characters = map[string][]string{"?": {"%3F"}, "#": {"%23"}, ";": {";", "%3B"}, Letters: nil}

// NewRules parses patterns. Text between wildcards is brought into canonical form, so
// /files/ü is the path /files/%C3%BC. allowed lists those of Characters that the target
// is known to treat as part of a segment; for ";" it means that parameters end only
// their segment.
func NewRules(patterns []string, allowed ...string) (*Rules, error) {
	r := &Rules{letters: slices.Contains(allowed, Letters)}
	for character, marks := range Characters {
		if marks != nil && !slices.Contains(allowed, character) {
			r.cuts = append(r.cuts, marks)
		}
	}
	for i, p := range patterns {
		segments, err := parsePattern(p)
		if err != nil {
			return nil, &PatternError{Index: i, Pattern: p, Err: err}
		}
		r.patterns = append(r.patterns, segments)
	}
	return r, nil
}

// PatternError says which pattern is not valid, and why.
type PatternError struct {
	Index   int
	Pattern string
	Err     error
}

// Error names the pattern and the reason.
func (e *PatternError) Error() string { return fmt.Sprintf("pattern %q: %v", e.Pattern, e.Err) }

// Unwrap returns the reason.
func (e *PatternError) Unwrap() error { return e.Err }

func parsePattern(p string) ([]string, error) {
	// Patterns follow the rules of paths, in which "*" is an ordinary character. A
	// person may write non-ASCII letters and spaces unescaped.
	var ascii strings.Builder
	for i := 0; i < len(p); i++ {
		if c := p[i]; c >= 0x80 || c == ' ' {
			ascii.Write(appendEscape(nil, c))
		} else {
			ascii.WriteByte(c)
		}
	}
	canon, err := Path(ascii.String(), true)
	if err != nil {
		return nil, err
	}
	segments := strings.Split(canon[1:], "/")
	for _, s := range segments {
		if strings.Contains(s, "**") && s != "**" {
			return nil, fmt.Errorf("%q: ** must be a whole segment, as in /api/**", s)
		}
	}
	return segments, nil
}

// The reasons why rules do not allow a path.
var (
	ErrNotAllowed = errors.New("the target's allowedPaths do not allow this path")
	ErrCuttable   = errors.New("some servers cut this path at ?, # or ;, or take a letter in it for a delimiter, and allowedPaths do not allow what they see; " +
		"allowedCharacters says that the target does not")
)

// Allow returns nil if a pattern matches the canonical path and every form of it that a
// server may see: without parameters (";x"), cut at "?", "#" or ";", and with
// delimiters instead of the characters that are compatible with them.
func (r *Rules) Allow(path string) error {
	switch {
	case r == nil:
		return nil
	case !r.match(path):
		return ErrNotAllowed
	case strings.IndexByte(path, ';') < 0 && strings.IndexByte(path, '%') < 0:
		return nil // the path has only one form
	case !r.allForms(path):
		return ErrCuttable
	}
	if folded, changed := compatibilityForm(path); changed && !r.letters && !(r.match(folded) && r.allForms(folded)) {
		return ErrCuttable
	}
	return nil
}

// allForms reports whether a path that matches does so without parameters and cut, too.
func (r *Rules) allForms(path string) bool {
	if !r.matchStripped(path) {
		return false
	}
	for _, marks := range r.cuts {
		if cut := upToFirst(path, marks...); cut != path && !(r.match(cut) && r.matchStripped(cut)) {
			return false
		}
	}
	return true
}

// matchStripped matches a path without its parameters, as some servers see it.
func (r *Rules) matchStripped(path string) bool {
	if strings.IndexByte(path, ';') < 0 && !strings.Contains(path, "%3B") {
		return true
	}
	names := strings.Split(path, "/")
	for i := range names {
		names[i] = withoutParameters(names[i])
	}
	return r.match(strings.Join(names, "/"))
}

func (r *Rules) match(path string) bool {
	for _, p := range r.patterns {
		if matchSegments(p, path[1:]) {
			return true
		}
	}
	return false
}

// matchSegments backtracks only to the last **: the last one can take everything that
// an earlier one could take instead. So it is linear for patterns without **, and at
// worst pattern times path with them.
func matchSegments(pattern []string, path string) bool {
	p, rest, done := 0, path, false
	starAt, starRest, starDone := -1, "", false
	for {
		if done && p == len(pattern) {
			return true
		}
		if p < len(pattern) && pattern[p] == "**" {
			starAt, starRest, starDone = p, rest, done
			p++
			continue
		}
		if p < len(pattern) && !done {
			segment, after, more := strings.Cut(rest, "/")
			if matchSegment(pattern[p], segment) {
				p, rest, done = p+1, after, !more
				continue
			}
		}
		if starAt < 0 || starDone {
			return false
		}
		_, after, more := strings.Cut(starRest, "/")
		starRest, starDone = after, !more
		p, rest, done = starAt+1, starRest, starDone
	}
}

// matchSegment matches "*" within a segment, in the same way. Only an empty segment
// matches the empty one after a trailing slash: /contacts/* is one contact, and
// /contacts/ may be all of them.
func matchSegment(pattern, s string) bool {
	if s == "" {
		return pattern == ""
	}
	p, i, star, from := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && pattern[p] == s[i]:
			p, i = p+1, i+1
		case star >= 0:
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
