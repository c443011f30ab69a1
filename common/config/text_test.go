package config

import (
	"strings"
	"testing"
)

func TestText_knowsWhereItsCharactersStand(t *testing.T) {
	// Each text has an X, and At must return its position in the file.
	for _, test := range []struct{ name, text string }{
		{"plain", "x: a + X"},
		{"plain, number", "x: X"},
		{"plain, spaces", "x:    a   +  X # c"},
		{"plain, wide", "x: é + ü + X"},
		{"plain, two lines", "x: a +\n   b + X\n"},
		{"plain, three lines", "x:\n  a +\n\n     b\n  + X\n"},
		{"single quotes", "x: 'it''s ''X'''"},
		{"single quotes, lines", "x: 'a\n\n   b '' X'"},
		{"double quotes", `x: "a\tb \"\x41\u00e9\U0001F600 X"`},
		{"double quotes, lines", "x: \"a\n   b\n\n   X\""},
		{"double quotes, line that goes on", "x: \"a \\\n   b\\\n   X\""},
		{"literal", "x: |\n  a +\n    b\n\n  + X\n"},
		{"literal, first line deeper", "x: |2\n     a\n   X\n"},
		{"literal, comment", "x: |- # c\n   a\n   X"},
		{"literal, blank before", "x: |\n\n\n   a\n   X"},
		{"folded", "x: >\n  a +\n  b +\n\n  c X\n"},
		{"folded, deeper lines", "x: >-\n  a\n    b\n  X\n"},
		{"folded, in a deeper line", "x: >\n  a\n    b X\n  c\n"},
		{"flow", "{s: a, x: b + X}"},
		{"carriage returns", "x: |\r\n  a +\r\n  X\r\n"},
		{"byte order mark", "\ufeffx: X"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := good(t, test.text)
			before, _, ok := strings.Cut(v.X.Value, "X")
			if !ok {
				t.Fatalf("no X in %q", v.X.Value)
			}
			line := strings.Count(before, "\n") + 1
			column := len([]rune(before[strings.LastIndex(before, "\n")+1:])) + 1
			at := v.X.At(line, column)
			lines := strings.Split(strings.TrimPrefix(test.text, "\ufeff"), "\n")
			if at.Line < 1 || at.Line > len(lines) {
				t.Fatalf("%v is no line of the file", at)
			}
			if shown := []rune(lines[at.Line-1]); at.Column < 1 || at.Column > len(shown) || shown[at.Column-1] != 'X' {
				t.Errorf("%d:%d of %q stands at %v, want the X", line, column, v.X.Value, at)
			}
		})
	}
}

func TestText_showsItsOwnLineInErrors(t *testing.T) {
	v := good(t, "s: a\nx: |\n  data.a +\n    data.custmer\nsec: hush\n")
	err := v.X.Error(2, 8, "no field custmer", `did you mean "customer"?`)
	want := `f.yaml:4:10: x: no field custmer
  4 |     data.custmer
    |          ^ did you mean "customer"?`
	if err.Error() != want || err.Code != CodeCEL || err.Key != "x" {
		t.Errorf("got\n%s\ncode %s, key %s; want\n%s", err, err.Code, err.Key, want)
	}
}

func TestText_positionsStayInsideTheText(t *testing.T) {
	v := good(t, "x: abc\n")
	for _, test := range []struct{ line, column, want int }{{0, 0, 4}, {-3, -3, 4}, {1, 99, 7}, {99, 1, 4}} {
		if got := v.X.At(test.line, test.column); got != (Pos{"f.yaml", 1, test.want}) {
			t.Errorf("At(%d, %d) = %v, want column %d", test.line, test.column, got, test.want)
		}
	}
	for _, text := range []string{"x: \"a\\x4", `x: "a\`, "x: 'a", "x: \"\\x41\"", "x: |\n", "x: |\n  \n", "x: ''"} {
		if v, err := decode(t, text); err == nil {
			v.X.At(5, 5)
		}
	}
}

func TestText_madeByAProgramHasNoPosition(t *testing.T) {
	text := Text{Value: "data.x"}
	if text.At(1, 1) != (Pos{}) || text.Key() != "" || text.String() != "data.x" || text.IsZero() || !(Text{}).IsZero() {
		t.Error("a position out of nowhere")
	}
	if got := text.Error(1, 1, "bad", "mend it").Error(); got != "bad\n  mend it" {
		t.Errorf("got %q", got)
	}
}

func TestFields_knowTheirPlaces(t *testing.T) {
	v := good(t, "fs:\n  b: |\n    data.b\n  a: data.a\n")
	if got := v.Fs[0].Value.At(1, 6); got != (Pos{"f.yaml", 3, 10}) {
		t.Errorf("got %v", got)
	}
	if v.Fs[1].Name != "a" || v.Fs[1].Value.Key() != "fs.a" {
		t.Errorf("got %+v, key %s", v.Fs[1], v.Fs[1].Value.Key())
	}
}

// U40.
func TestText_mustNotBeEmpty(t *testing.T) {
	for text, want := range map[string]string{
		"x: \"\"\n":      "f.yaml:1:4: x: the expression is empty\n  1 | x: \"\"\n    |    ^^ write one, or remove the key",
		"x: ' '\n":       "f.yaml:1:4: x: the expression is empty\n  1 | x: ' '\n    |    ^^^ write one, or remove the key",
		"x:\n":           "f.yaml:1:1: x: the expression is empty\n  1 | x:\n    | ^ write one, or remove the key",
		"x: null\n":      "f.yaml:1:1: x: the expression is empty\n  1 | x: null\n    | ^ write one, or remove the key",
		"x: |\ns: a\n":   "f.yaml:1:4: x: the expression is empty\n  1 | x: |\n    |    ^ write one, or remove the key",
		"fs: {a: ''}\n":  "f.yaml:1:9: fs.a: the expression is empty\n  1 | fs: {a: ''}\n    |         ^^ write one, or remove the key",
		"fs:\n  a:\n":    "f.yaml:2:3: fs.a: the expression is empty\n  2 |   a:\n    |   ^ write null where null is meant",
		"x: {a: b}\n":    "f.yaml:1:4: x: expected an expression as text, found a mapping\n  1 | x: {a: b}\n    |    ^ write it in one line, or below a |",
		"fs: {a: [b]}\n": "f.yaml:1:9: fs.a: expected an expression as text, found a list\n  1 | fs: {a: [b]}\n    |         ^ write it in one line, or below a |",
	} {
		v, err := decode(t, text)
		if err == nil || err.Error() != want {
			t.Errorf("%q: got\n%v\nwant\n%s", text, err, want)
		}
		if strings.HasPrefix(text, "x:") && (v.X.Key() != "x" || !v.X.IsZero()) || len(v.Fs) > 0 {
			t.Errorf("%q: the texts are %+v and %+v; want none, of a key that is there", text, v.X, v.Fs)
		}
	}
}

// A fault at the end of an expression is shown on the expression's last line.
func TestText_endsWhereItsLastLineEnds(t *testing.T) {
	for _, text := range []string{
		"a: 1\nx: ab >%s\ny: 1", "x: |\n  a\n  ab >%s\n\n\ny: 1", "x: >\n  a\n  ab >%s\n\ny: 1", "x: >-\n  a\n  ab >%s\ny: 1", "x: a\n  ab >%s\ny: 1",
		"x: 'a\n  ab >%s'\ny: 1", "x: \"a\n  ab >%s\"\ny: 1", "x: \"a\n  ab >%s\n  \"\ny: 1", "{x: ab >%s}", "x: 'ab >%s' # c\ny: 1", "l:\n- x: ab >%s\n- y: 1",
	} {
		before, after, _ := strings.Cut(text, "%s")
		var v struct {
			X Text `yaml:"x"`
			L []struct {
				X Text `yaml:"x"`
				Y int  `yaml:"y"`
			} `yaml:"l"`
			A int `yaml:"a"`
			Y int `yaml:"y"`
		}
		if err := Decode("f.yaml", []byte(before+after), &v); err != nil {
			t.Fatal(err)
		}
		if len(v.L) > 0 {
			v.X = v.L[0].X
		}
		trimmed := strings.TrimRight(v.X.Value, " \n")
		got := v.X.At(strings.Count(trimmed, "\n")+1, len(trimmed[strings.LastIndexByte(trimmed, '\n')+1:])+1)
		want := Pos{"f.yaml", strings.Count(before, "\n") + 1, len(before[strings.LastIndexByte(before, '\n')+1:]) + 1}
		if got != want {
			t.Errorf("%q ends at %v, want %v", before+after, got, want)
		}
	}
}
