package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// Each row is the exact text that a person reads.
func TestErrors_readAsExpected(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"unknown key, near one", "in:\n  namme: x\n", `
f.yaml:2:3: unknown key "namme" in in
  2 |   namme: x
    |   ^^^^^ did you mean "name"?`},
		{"unknown key, far from all", "in:\n  name: x\n  zebra: x\n", `
f.yaml:3:3: unknown key "zebra" in in
  3 |   zebra: ***
    |   ^^^^^ known keys: name, wait`},
		{"key of one level down", "wait: 5s\n", `
f.yaml:1:1: unknown key "wait"
  1 | wait: 5s
    | ^^^^ "wait" belongs under in`},
		{"key of the top level", "in:\n  name: x\n  size: 1\n", `
f.yaml:3:3: unknown key "size" in in
  3 |   size: 1
    |   ^^^^ "size" belongs at the top level of the file`},
		{"key of a connector", "zebra: 1\n", `
f.yaml:1:1: unknown key "zebra"
  1 | zebra: ***
    | ^^^^^ does it belong under r?`},
		{"missing key", "in:\n  wait: 5s\n", `
f.yaml:1:1: missing key "name" in in
  1 | in:
    | ^^`},
		{"missing value", "in:\n  name:\n", `
f.yaml:2:3: missing key "name" in in
  2 |   name:
    |   ^^^^`},
		{"duplicate key", "s: a\ni: 1\ns: b\n", `
f.yaml:3:1: key "s" is set twice
  3 | s: b
    | ^ it is already set on line 1`},
		{"number for text", "s: 5\n", `
f.yaml:1:4: s: expected text, found the number 5
  1 | s: 5
    |    ^ put it in quotes: "5"`},
		{"boolean for text", "s: true\n", `
f.yaml:1:4: s: expected text, found true
  1 | s: true
    |    ^^^^ put it in quotes: "true"`},
		{"list for text", "s: [a]\n", `
f.yaml:1:4: s: expected text, found a list
  1 | s: [a]
    |    ^`},
		{"text for number", "i: \"5\"\n", `
f.yaml:1:4: i: expected a whole number, found the text "5"
  1 | i: "5"
    |    ^^^ remove the quotes`},
		{"word for number", "i: five\n", `
f.yaml:1:4: i: expected a whole number, found the text "five"
  1 | i: five
    |    ^^^^`},
		{"fraction for whole number", "i: 1.5\n", `
f.yaml:1:4: i: expected a whole number, found the number 1.5
  1 | i: 1.5
    |    ^^^`},
		{"too large a number", "i8: 128\n", `
f.yaml:1:5: i8: "128" is not a whole number from -128 to 127
  1 | i8: 128
    |     ^^^`},
		{"negative number", "u: -1\n", `
f.yaml:1:4: u: "-1" is not a whole number from 0 to 65535
  1 | u: -1
    |    ^^`},
		{"infinity", "f: .inf\n", `
f.yaml:1:4: f: ".inf" is not a number that fits
  1 | f: .inf
    |    ^^^^`},
		{"yes for a boolean", "b: yes\n", `
f.yaml:1:4: b: expected true or false, found the text "yes"
  1 | b: yes
    |    ^^^ write true or false`},
		{"list for duration", "d: [1]\n", `
f.yaml:1:4: d: expected a duration such as 200ms, found a list
  1 | d: [1]
    |    ^`},
		{"duration without a unit", "d: 5\n", `
f.yaml:1:4: d: expected a duration such as 200ms, found the number 5
  1 | d: 5
    |    ^ say the unit: 5s or 5ms`},
		{"duration of another tongue", "d: 5 Sekunden\n", `
f.yaml:1:4: d: "5 Sekunden" is not a duration
  1 | d: 5 Sekunden
    |    ^^^^^^^^^^ write a number and a unit, such as 200ms, 5s or 1h30m`},
		{"size", "size: 5Q\n", `
f.yaml:1:7: size: "5Q" is not a size
  1 | size: 5Q
    |       ^^ write a number of bytes, or one with a unit, such as 1MiB`},
		{"size of another type", "size: true\n", `
f.yaml:1:7: size: expected a size such as 1MiB, found true
  1 | size: true
    |       ^^^^`},
		{"time", "t: noon\n", `
f.yaml:1:4: t: "noon" is not a time
  1 | t: noon
    |    ^^^^ write time such as 2026-01-31T12:00:00Z (RFC 3339)`},
		{"time of another type", "t: 5\n", `
f.yaml:1:4: t: expected a time such as 2026-01-31T12:00:00Z, found the number 5
  1 | t: 5
    |    ^`},
		{"enum, near", "e: tow\n", `
f.yaml:1:4: e: unknown value "tow"
  1 | e: tow
    |    ^^^ did you mean "two"? (one, two)`},
		{"enum, far", "el: [one, seven]\n", `
f.yaml:1:11: el: unknown value "seven"
  1 | el: [one, seven]
    |           ^^^^^ write one of: one, two`},
		{"enum in commas", "el: one,seven\n", `
f.yaml:1:5: el: unknown value "seven"
  1 | el: one,seven
    |     ^^^^^^^^^ write one of: one, two`},
		{"own type", "lv: mid\n", `
f.yaml:1:5: lv: write low or high
  1 | lv: mid
    |     ^^^`},
		{"own type, list", "lv: [a]\n", `
f.yaml:1:5: lv: expected text, found a list
  1 | lv: [a]
    |     ^`},
		{"text for mapping", "in: x\n", `
f.yaml:1:5: in: expected a mapping, found the text "x"
  1 | in: x
    |     ^ write its keys below, each on its own line`},
		{"text for map", "m: x\n", `
f.yaml:1:4: m: expected a mapping, found the text "x"
  1 | m: x
    |    ^`},
		{"text for list", "ints: x\n", `
f.yaml:1:7: ints[0]: expected a whole number, found the text "x"
  1 | ints: x
    |       ^`},
		{"mapping for list", "ints: {a: 1}\n", `
f.yaml:1:7: ints: expected a list, found a mapping
  1 | ints: {a: 1}
    |       ^ write - before it`},
		{"empty item", "ints: [1, null]\n", `
f.yaml:1:11: ints[1]: expected a value, found nothing
  1 | ints: [1, null]
    |           ^^^^ remove the empty item, or write its value`},
		{"truth in a list of texts", "l: [a, no, true]\n", `
f.yaml:1:12: l[2]: expected text, found true
  1 | l: [a, no, true]
    |            ^^^^ put it in quotes: "true"`},
		{"list for code", "x: [a]\n", `
f.yaml:1:4: x: expected an expression as text, found a list
  1 | x: [a]
    |    ^ write it in one line, or below a |`},
		{"list for fields", "fs: [a]\n", `
f.yaml:1:5: fs: expected a mapping of names to expressions, found a list
  1 | fs: [a]
    |     ^`},
		{"field without code", "fs:\n  a:\n", `
f.yaml:2:3: fs.a: the expression is empty
  2 |   a:
    |   ^ write null where null is meant`},
		{"a type no file can set", "ch: 1\n", `
f.yaml:1:5: ch: a chan int cannot be set from a file
  1 | ch: 1
    |     ^`},
		{"scalar for the file", "just text\n", `
f.yaml:1:1: expected a mapping, found a hidden value
  1 | ***
    | ^^^ write its keys below, each on its own line`},
		{"two documents", "s: a\n---\ns: b\n", `
f.yaml:3:1: a second YAML document in the file
  3 | s: b
    | ^ keep one document per file`},
		{"tab", "in:\n\tname: x\n", `
f.yaml:2:1: not valid YAML: found character '\t' that cannot start any token
  2 | 	name: x
    | ^ indent with spaces; YAML allows no tabs there`},
		{"open list", "ints: [1, 2\ns: x\n", `
f.yaml:2:1: not valid YAML: ',' or ']' must be specified
  2 | s: x
    | ^`},
		{"unknown alias", "s: *nowhere\n", `
f.yaml:1:4: alias *nowhere has no anchor above it
  1 | s: *nowhere
    |    ^^^^^^^^ write &nowhere before the value that it refers to`},
		{"alias in itself", "any: &a [*a]\n", `
f.yaml:1:10: alias *a refers to a value that contains it
  1 | any: &a [*a]
    |          ^`},
		{"a YAML tag", "s: !env HOME\n", `
f.yaml:1:4: tag "!env" is not supported here
  1 | s: !env HOME
    |    ^^^^ remove it`},
		{"explicit key", "? a\n: b\n", `
f.yaml:1:1: keys written with ? are not supported
  1 | ? a
    | ^ write key: value`},
		{"merge of text", "in: {<<: x, name: n}\n", `
f.yaml:1:10: << merges mappings, found a hidden value
  1 | in: {<<: ***
    |          ^^^`},
		{"merge of a list of text", "in: {<<: [x], name: n}\n", `
f.yaml:1:11: << merges mappings, found a hidden value
  1 | in: {<<: [***
    |           ^^^`},
		{"a mapping as key", "any: &a [x]\nm: {*a : b}\n", `
f.yaml:2:5: a key must be text, found a list
  2 | m: {*a : b}
    |     ^
f.yaml:2:10: m: expected a whole number, found the text "b"
  2 | m: {*a : b}
    |          ^`},
		{"escape codes", "s: [\"\\u001b[31m\"]\n", `
f.yaml:1:4: s: expected text, found a list
  1 | s: ["\u001b[31m"]
    |    ^`},
		{"control character", "s: \x1b[31m\n", `
f.yaml:1:4: a control character (U+001B) in the file
  1 | s: �[31m
    |    ^ remove it, or write it as an escape in double quotes`},
		{"not UTF-8", "s: é\xff\n", `
f.yaml:1:5: the file is not valid UTF-8
  1 | s: é�
    |     ^ save it as UTF-8`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := decode(t, test.text)
			if err == nil {
				t.Fatal("no error")
			}
			if got := err.Error(); got != strings.TrimPrefix(test.want, "\n") {
				t.Errorf("got\n%s\nwant%s", got, test.want)
			}
		})
	}
}

func TestErrors_keepTheCaretUnderTabsAndInLongLines(t *testing.T) {
	tabs := &Error{Pos: Pos{"f", 1, 4}, Line: "a:\tx", Message: "m", span: 9}
	if got, want := tabs.Error(), "f:1:4: m\n  1 | a:\tx\n    |   \t^"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	_, err := decode(t, "l: [\""+strings.Repeat("x", 300)+"\", yes, true, \""+strings.Repeat("y", 300)+"\"]")
	lines := strings.Split(err.Error(), "\n")
	shown, caret := []rune(lines[1]), []rune(lines[2])
	if len(shown) > 130 || !strings.HasPrefix(string(shown[strings.Index(string(caret), "^"):]), "true") {
		t.Errorf("got\n%s", err)
	}
	if !strings.Contains(lines[1], "…xxx") || !strings.HasSuffix(lines[1], "yyy…") {
		t.Errorf("got\n%s", err)
	}
}

func TestError_withoutALineIsOneSentence(t *testing.T) {
	e := &Error{Pos: Pos{File: "f"}, Message: "gone", Hint: "bring it back"}
	if got, want := e.Error(), "f: gone\n  bring it back"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := (&Error{Message: "gone"}).Error(); got != "gone" {
		t.Errorf("got %q", got)
	}
	for _, text := range []string{strings.Repeat("#", MaxFile+1), strings.Repeat("#\r\n", MaxFile/2) + "nope: 1"} {
		_, err := decode(t, text)
		if got, want := fmt.Sprint(err), "f.yaml: the file is larger than 1 MiB\n  split it, or move large values to files of their own"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestErrors_marshalForPrograms(t *testing.T) {
	_, err := decode(t, "nope: 1\nin: {}\n")
	got, _ := json.Marshal(err)
	want := `[{"file":"f.yaml","line":1,"column":1,"key":"nope","code":"UNKNOWN_KEY","message":"unknown key \"nope\"","hint":"does it belong under r?"},` +
		`{"file":"f.yaml","line":2,"column":1,"key":"in.name","code":"MISSING_KEY","message":"missing key \"name\" in in"}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestErrors_areFoundByAs(t *testing.T) {
	_, err := decode(t, "nope: 1\nin: {}\n")
	var all Errors
	var first *Error
	if !errors.As(err, &all) || len(all) != 2 || !errors.As(err, &first) || first.Code != CodeUnknownKey {
		t.Errorf("got %#v, %#v", all, first)
	}
}

func TestNearest_doesNotGuessWildly(t *testing.T) {
	known := []string{"brokers", "topic", "topics", "consumerGroup", "a"}
	for name, want := range map[string]string{
		"borkers": "brokers", "BROKERS": "brokers", "topik": "topic", "consumergrop": "consumerGroup",
		"xyz": "", "b": "", "zz": "", strings.Repeat("x", 100): "",
	} {
		if got := nearest(name, known); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
