package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// sentence is a text of an Error. finishErrors inserts its values once it is known which of them may be
// shown.
type sentence struct {
	format string
	args   []any
}

func newSentence(format string, args ...any) sentence { return sentence{format, args} }

// plainSentence is a sentence without values.
func plainSentence(text string) sentence { return sentence{"%s", []any{keyName(text)}} }

func (w sentence) String() string { return fmt.Sprintf(w.format, w.args...) }

// keyName is a key, or other text that is not a value of the file: it is shown.
type keyName string

// shownText is a text of the file after expansion. It is masked if its node is hidden.
type shownText struct {
	node *node
	text string
}

// shownAsKey returns a key in quotes if it is only a name, and otherwise a shownText.
func (n *node) shownAsKey() any {
	if plainKey.MatchString(n.text) {
		return keyName(strconv.Quote(n.text))
	}
	return shownText{n, n.text}
}

// quotedText is a colon and the text in quotes, or nothing if the node is hidden.
type quotedText struct{ node *node }

// foundValue describes a node, for "expected …, found …".
type foundValue struct{ node *node }

// render returns the sentence with its hidden values masked; hidden masks all values. Called with the
// lock held.
func (s *source) render(w sentence, hidden bool) string {
	args := make([]any, len(w.args))
	for i, arg := range w.args {
		switch arg := arg.(type) {
		case keyName:
			args[i] = string(arg)
		case shownText:
			args[i] = quote(Mask)
			if !hidden && !s.hidden[arg.node] {
				args[i] = quote(s.withoutHidden(arg.text))
			}
		case quotedText:
			args[i] = ""
			if !hidden && !s.hidden[arg.node] {
				args[i] = ": " + strconv.Quote(arg.node.text)
			}
		case foundValue:
			args[i] = Redact(arg.node.describe(hidden || s.hidden[arg.node]))
		default:
			args[i] = s.renderArgument(arg)
			if _, text := args[i].(string); text && hidden {
				args[i] = Mask
			}
		}
	}
	return fmt.Sprintf(w.format, args...)
}

// renderArgument returns a value that Validate puts into a sentence. A number is shown.
func (s *source) renderArgument(arg any) any {
	switch reflect.ValueOf(arg).Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16,
		reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return arg
	}
	return s.withoutHidden(fmt.Sprint(arg))
}

// withoutHidden returns a text with its hidden values masked, longer ones first. A value that is a plain
// word (a password "secret") is masked only as a whole word: *** inside a longer word would reveal it.
func (s *source) withoutHidden(text string) string {
	if shown, ok := s.replacements[text]; ok {
		return shown
	}
	if s.longestFirst == nil {
		for v := range s.replacements {
			if utf8.RuneCountInString(v) >= minSearchedRunes {
				s.longestFirst = append(s.longestFirst, v)
			}
		}
		slices.SortFunc(s.longestFirst, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	}
	for _, v := range s.longestFirst {
		text = replaceWholeWords(text, v, s.replacements[v])
		if quoted := strings.Trim(strconv.Quote(v), `"`); quoted != v {
			text = strings.ReplaceAll(text, quoted, s.replacements[v])
		}
	}
	return Redact(text)
}

// minSearchedRunes is the length of the shortest value that is masked inside other texts: masking shorter
// ones would make sentences unreadable.
const minSearchedRunes = 4

func replaceWholeWords(text, value, shown string) string {
	if strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsLetter(r) }) {
		return strings.ReplaceAll(text, value, shown)
	}
	var b strings.Builder
	for {
		at := strings.Index(text, value)
		if at < 0 {
			b.WriteString(text)
			return b.String()
		}
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		after, _ := utf8.DecodeRuneInString(text[at+len(value):])
		b.WriteString(text[:at])
		if isWordRune(before) || isWordRune(after) {
			b.WriteString(value)
		} else {
			b.WriteString(shown)
		}
		text = text[at+len(value):]
	}
}

func isWordRune(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }
