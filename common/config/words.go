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

// words are a sentence of an Error whose values are put in when it is finished:
// by then it is known which of them may be shown.
type words struct {
	format string
	args   []any
}

func say(format string, args ...any) words { return words{format, args} }

// plainly is a sentence without values.
func plainly(text string) words { return words{"%s", []any{keyName(text)}} }

func (w words) String() string { return fmt.Sprintf(w.format, w.args...) }

// keyName is a key, or other words that are no value of the file: they are shown.
type keyName string

// content is a text of the file, with what its references bring in. It is shown
// where its node may be.
type content struct {
	node *node
	text string
}

// shownAsKey is a key in quotes, where it is no more than a name.
func (n *node) shownAsKey() any {
	if plainKey.MatchString(n.text) {
		return keyName(strconv.Quote(n.text))
	}
	return content{n, n.text}
}

// quotes is the text in quotes behind a colon, or nothing where it is hidden.
type quotes struct{ node *node }

// found is what stands in the file, for the words "expected …, found …".
type found struct{ node *node }

// render is the sentence without what must not be seen. The caller holds the
// lock. hidden: the place of the fault is hidden, and so is every value.
func (s *source) render(w words, hidden bool) string {
	args := make([]any, len(w.args))
	for i, arg := range w.args {
		switch arg := arg.(type) {
		case keyName:
			args[i] = string(arg)
		case content:
			args[i] = quote(Mask)
			if !hidden && !s.hidden[arg.node] {
				args[i] = quote(s.without(arg.text))
			}
		case quotes:
			args[i] = ""
			if !hidden && !s.hidden[arg.node] {
				args[i] = ": " + strconv.Quote(arg.node.text)
			}
		case found:
			args[i] = Redact(arg.node.describe(hidden || s.hidden[arg.node]))
		default:
			args[i] = s.argument(arg)
			if _, text := args[i].(string); text && hidden {
				args[i] = Mask
			}
		}
	}
	return fmt.Sprintf(w.format, args...)
}

// argument is a value that Validate puts into a sentence. A number is shown.
func (s *source) argument(arg any) any {
	switch reflect.ValueOf(arg).Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16,
		reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return arg
	}
	return s.without(fmt.Sprint(arg))
}

// without is a text without the values that are hidden, longer ones first. A
// value that is a plain word (a password "secret") is replaced only where it
// stands alone: *** inside of a longer word would tell what it was.
func (s *source) without(text string) string {
	if shown, ok := s.veiled[text]; ok {
		return shown
	}
	if s.ordered == nil {
		for v := range s.veiled {
			if utf8.RuneCountInString(v) >= shortest {
				s.ordered = append(s.ordered, v)
			}
		}
		slices.SortFunc(s.ordered, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	}
	for _, v := range s.ordered {
		text = replace(text, v, s.veiled[v])
		if quoted := strings.Trim(strconv.Quote(v), `"`); quoted != v {
			text = strings.ReplaceAll(text, quoted, s.veiled[v])
		}
	}
	return Redact(text)
}

// shortest is how long a value is at least that is looked for inside of others:
// a shorter one would veil half of every sentence.
const shortest = 4

func replace(text, value, shown string) string {
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
		if letter(before) || letter(after) {
			b.WriteString(value)
		} else {
			b.WriteString(shown)
		}
		text = text[at+len(value):]
	}
}

func letter(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }
