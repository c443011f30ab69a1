package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// code is a list item that decodes from text, as the statuses of a sink are.
type code string

func (c *code) UnmarshalText(text []byte) error {
	if len(text) != 3 {
		return errors.New("write a code of three characters")
	}
	*c = code(text)
	return nil
}

type lists struct {
	Codes   []code   `yaml:"codes"`
	Numbers []int    `yaml:"numbers"`
	Texts   []string `yaml:"texts"`
	Secrets []Secret `yaml:"secrets"`
	Names   Strings  `yaml:"names"`
	Brokers Strings  `yaml:"brokers"`
	Topic   string   `yaml:"topic"`
	Prefix  string   `yaml:"prefix" blanks:"keep"`
	Items   []struct {
		Name string `yaml:"name"`
	} `yaml:"items"`
}

// U11, UL19: a single value is accepted as a list of one, and a number in a list of texts is the text as
// written.
func TestDecode_takesASingleValueForAListOfOne(t *testing.T) {
	var got lists
	err := Decode("f.yaml", []byte("codes: 409\nnumbers: 5\ntexts: a\nsecrets: {secretRef: {name: a, key: b}}\nnames: 0503\n"), &got,
		env("FISO_SECRETS_DIR", t.TempDir()))
	if err == nil || !strings.Contains(err.Error(), "a/b: no such file") { // the reference is resolved
		t.Errorf("got %v", err)
	}
	got = lists{}
	if err := Decode("f.yaml", []byte("codes: 409\nnumbers: 5\ntexts: a\nsecrets: x\nnames: 0503\nbrokers: [503, 1.50, a]\n"), &got); err != nil {
		t.Fatal(err)
	}
	if secret, _ := got.Secrets[0].Reveal(); secret != "x" || len(got.Secrets) != 1 {
		t.Errorf("secrets are %v", got.Secrets)
	}
	got.Secrets = nil
	if want := (lists{Codes: []code{"409"}, Numbers: []int{5}, Texts: []string{"a"}, Names: Strings{"0503"}, Brokers: Strings{"503", "1.50", "a"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// U11: if a value cannot be a list of one, the fault says what to write.
func TestDecode_saysHowAListIsWritten(t *testing.T) {
	for text, want := range map[string]string{
		"codes: 40\n": "f.yaml:1:8: codes[0]: write a code of three characters\n  1 | codes: 40\n    |        ^^",
		"items: {name: a}\n": "f.yaml:1:8: items: expected a list, found a mapping\n" +
			"  1 | items: {name: a}\n    |        ^ write - before it",
		"items: a\n":    "f.yaml:1:8: items: expected a list, found the text \"a\"\n  1 | items: a\n    |        ^ write it in [ ]",
		"texts: {a: b}": "f.yaml:1:8: texts: expected a list, found a mapping\n  1 | texts: {a: b}\n    |        ^ write - before it",
	} {
		if err := Decode("f.yaml", []byte(text), &lists{}); err == nil || err.Error() != want {
			t.Errorf("%q: got\n%v\nwant\n%s", text, err, want)
		}
	}
}

// U11: within { } a colon without a blank after it is a part of the text, also in a list, where the
// library ends the text.
func TestDecode_readsTextsWithColonsInListsInsideOfMappings(t *testing.T) {
	for text, want := range map[string]Strings{
		"{brokers: [kafka:9092], topic: t}":                         {"kafka:9092"},
		"{brokers: [ kafka:9092 , b:1,c:2 ], topic: t}":             {"kafka:9092", "b:1", "c:2"},
		"{brokers: [kafka-1.infra.svc:9092, plain], topic: t}":      {"kafka-1.infra.svc:9092", "plain"},
		"{brokers: [http://a:1/b:c, a:b:c], topic: t}":              {"http://a:1/b:c", "a:b:c"},
		"{brokers: [\n  kafka:9092,\n  x:9093\n  ], topic: t}":      {"kafka:9092", "x:9093"},
		"{topic: t, brokers: [\"kafka:9092\", 'x:1']}":              {"kafka:9092", "x:1"},
		"{topic: t, brokers: kafka:9092}":                           {"kafka:9092"},
		"{topic: t, brokers: [10.0.0.1:9092, 12:34]}":               {"10.0.0.1:9092", "12:34"},
		"brokers: [kafka:9092]\ntopic: t":                           {"kafka:9092"},
		"{topic: t, items: [{name: a}, {name: b}], brokers: [a:1]}": {"a:1"},
	} {
		var got lists
		if err := Decode("f.yaml", []byte(text), &got); err != nil || !reflect.DeepEqual(got.Brokers, want) || got.Topic != "t" {
			t.Errorf("%s: got %q, %q, %v", text, got.Brokers, got.Topic, err)
		}
	}
	for text, want := range map[string]string{ // with a blank after the colon it is a mapping
		"{brokers: [a: 1], topic: t}": "f.yaml:1:12: brokers[0]: expected text, found a mapping",
	} {
		if err := Decode("f.yaml", []byte(text), &lists{}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

// U11: a comma ends a text inside { }, and the text after it is not a key.
func TestDecode_saysThatACommaEndsAText(t *testing.T) {
	for text, want := range map[string]string{
		"{topic: abc,rest}": "f.yaml:1:13: topic: a comma ends a text inside of { }\n  1 | {topic: abc,***\n    |             ^^^ put the text in quotes, or a list in [ ]",
		"{topic: abc, re}":  "f.yaml:1:14: topic: a comma ends a text inside of { }\n  1 | {topic: abc, ***\n    |              ^^^ put the text in quotes, or a list in [ ]",
		"{brokers: a:1,b:2}": "f.yaml:1:15: brokers: a comma ends a text inside of { }\n  1 | {brokers: a:1,***\n" +
			"    |               ^^^ put the text in quotes, or a list in [ ]; before another key, put a blank behind the comma",
		"{topic: a,topik: b}": "f.yaml:1:11: unknown key \"topik\"\n  1 | {topic: a,topik: b}\n    |           ^^^^^ did you mean \"topic\"?",
		"{\"topic\": \"a\",\"zebra\": 1}": "f.yaml:1:15: unknown key \"zebra\"\n  1 | {\"topic\": \"a\",\"zebra\": ***\n" +
			"    |               ^^^^^^^ known keys: brokers, codes, items, names, numbers, prefix, secrets, texts, topic",
	} {
		if err := Decode("f.yaml", []byte(text), &lists{}); err == nil || err.Error() != want {
			t.Errorf("%s: got\n%v\nwant\n%s", text, err, want)
		}
	}
	var m struct {
		Headers map[string]string `yaml:"headers" secret:"true"`
	}
	for text, hint := range map[string]string{
		"headers: {X-A: abc,rest, X-B: c}": "put the text in quotes, or a list in [ ]",
		"headers: {X-A: abc,X-B: c}":       "put the text in quotes, or a list in [ ]; before another key, put a blank behind the comma",
	} {
		err := Decode("f.yaml", []byte(text), &m)
		want := "f.yaml:1:20: headers.X-A: a comma ends a text inside of { }\n  1 | headers: {X-A: ***\n    |                ^^^ " + hint
		if err == nil || err.Error() != want {
			t.Errorf("got\n%v\nwant\n%s", err, want)
		}
	}
}

// U11: blanks around a text are removed, such as the line break at the end of a file or variable, unless
// they belong to the text.
func TestDecode_cutsOffBlanksAroundATextUnlessTheyBelongToIt(t *testing.T) {
	var got lists
	text := "topic: ' t '\nprefix: 'Bearer '\nbrokers: ['a:1 ', \" b:2\"]\nnames: ${NAMES}\n"
	if err := Decode("f.yaml", []byte(text), &got, Interpolate(), env("NAMES", " a , b \n")); err != nil {
		t.Fatal(err)
	}
	if want := (lists{Topic: "t", Prefix: "Bearer ", Brokers: Strings{"a:1", "b:2"}, Names: Strings{"a", "b"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// U11: a byte order mark at the begin is not part of the file's text; elsewhere it is reported.
func TestDecode_namesAByteOrderMark(t *testing.T) {
	if got := good(t, "\ufeffs: x\n"); got.S != "x" {
		t.Errorf("got %q", got.S)
	}
	for text, want := range map[string]string{
		"\ufeff\ufeffs: x\n": "f.yaml:1:1: a byte order mark (U+FEFF) inside of the file",
		"s: x\n\ufeffi: 1\n": "f.yaml:2:1: a byte order mark (U+FEFF) inside of the file",
		"s: x\ufeff\n":       "f.yaml:1:5: a byte order mark (U+FEFF) inside of the file",
		"\xff\xfes\x00":      "f.yaml:1:1: the file begins with the byte order mark of UTF-16",
		"\xfe\xff\x00s":      "f.yaml:1:1: the file begins with the byte order mark of UTF-16",
	} {
		if _, err := decode(t, text); err == nil || !strings.HasPrefix(err.Error(), want+"\n") {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}
