package urlpath

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Rules are the patterns of a target's allowedPaths. In a pattern, "*" stands
// for anything within a segment that is not empty, and the segment "**" for any number of
// segments, none included; all else is itself. A nil *Rules allows every path.
type Rules struct {
	patterns [][]string
	cuts     [][]string // marks at which a server may cut a path
	letters  bool       // those that are compatible to delimiters are none
}

// Letters stands for all characters beyond ASCII that some servers map to a
// delimiter.
const Letters = "letters"

// Characters are what NewRules can be told of, with the marks that they are in a
// canonical path.
var Characters = map[string][]string{"?": {"%3F"}, "#": {"%23"}, ";": {";", "%3B"}, Letters: nil}

// NewRules reads patterns. What is not a wildcard in them is brought into the
// canonical form, so /files/ü is the path /files/%C3%BC. allowed are those of
// Characters that the target is known to take as a part of a segment; of ";", that
// it ends nothing but its segment.
func NewRules(patterns []string, allowed ...string) (*Rules, error) {
	r := &Rules{letters: slices.Contains(allowed, Letters)}
	for character, marks := range Characters {
		if marks != nil && !slices.Contains(allowed, character) {
			r.cuts = append(r.cuts, marks)
		}
	}
	for i, p := range patterns {
		segments, err := pattern(p)
		if err != nil {
			return nil, &PatternError{Index: i, Pattern: p, Err: err}
		}
		r.patterns = append(r.patterns, segments)
	}
	return r, nil
}

// PatternError says which pattern cannot be one, and why.
type PatternError struct {
	Index   int
	Pattern string
	Err     error
}

// Error names the pattern and the reason.
func (e *PatternError) Error() string { return fmt.Sprintf("pattern %q: %v", e.Pattern, e.Err) }

// Unwrap is the reason.
func (e *PatternError) Unwrap() error { return e.Err }

func pattern(p string) ([]string, error) {
	// A pattern is read by the rules of paths, in which "*" is an ordinary
	// character. A person may write letters beyond ASCII as they are.
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
			return nil, fmt.Errorf("%q: ** has to be a segment of its own, as in /api/**", s)
		}
	}
	return segments, nil
}

// The reasons for which rules do not allow a path.
var (
	ErrNotAllowed = errors.New("the target's allowedPaths do not have this path")
	ErrCuttable   = errors.New("some servers cut this path at ?, # or ;, or take a letter in it for a delimiter, and allowedPaths do not have what they see; " +
		"allowedCharacters says that the target does not")
)

// Allow is nil where a pattern matches the path, which must be canonical, and every
// form of it that a server may see: without parameters (";x"), cut at "?", "#" or
// ";", and with delimiters in place of characters that are compatible to them.
func (r *Rules) Allow(path string) error {
	switch {
	case r == nil:
		return nil
	case !r.match(path):
		return ErrNotAllowed
	case strings.IndexByte(path, ';') < 0 && strings.IndexByte(path, '%') < 0:
		return nil // there is one form
	case !r.allForms(path):
		return ErrCuttable
	}
	if folded, changed := compatibilityForm(path); changed && !r.letters && !(r.match(folded) && r.allForms(folded)) {
		return ErrCuttable
	}
	return nil
}

// allForms is about a path that matches.
func (r *Rules) allForms(path string) bool {
	if !r.matchStripped(path) {
		return false
	}
	for _, marks := range r.cuts {
		if left := upToFirst(path, marks...); left != path && !(r.match(left) && r.matchStripped(left)) {
			return false
		}
	}
	return true
}

// matchStripped matches a path as a server sees it that strips parameters.
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

// matchSegments goes back to the last ** only: what an earlier one could take
// instead, the last one can take too. So it is linear in patterns without **,
// and at worst pattern times path with them.
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

// matchSegment matches "*" within a segment, by the same way. Nothing but an
// empty segment matches the empty one after a trailing slash: /contacts/* is a
// contact, and /contacts/ may well be all of them.
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
