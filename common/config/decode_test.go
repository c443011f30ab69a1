package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

type volume string

func (v *volume) UnmarshalText(text []byte) error {
	if string(text) != "low" && string(text) != "high" {
		return errors.New("write low or high")
	}
	*v = volume(text)
	return nil
}

type inner struct {
	Name string        `yaml:"name" required:"true"`
	Wait time.Duration `yaml:"wait" default:"1s"`
}

type shared struct {
	Region string `yaml:"region" default:"eu"`
}

type everything struct {
	shared `yaml:",inline"`

	S    string         `yaml:"s" blanks:"keep"`
	B    bool           `yaml:"b" default:"true"`
	I    int            `yaml:"i" default:"7"`
	I8   int8           `yaml:"i8"`
	U    uint16         `yaml:"u"`
	F    float64        `yaml:"f"`
	D    time.Duration  `yaml:"d" default:"5ms"`
	T    time.Time      `yaml:"t"`
	Size Bytes          `yaml:"size" default:"1MiB"`
	L    Strings        `yaml:"l" default:"a,b"`
	P    *int           `yaml:"p" default:"3"`
	In   inner          `yaml:"in"`
	PIn  *inner         `yaml:"pin"`
	List []inner        `yaml:"list"`
	Ints []int          `yaml:"ints" default:"[1, 2]"`
	M    map[string]int `yaml:"m"`
	MS   map[string]inner
	MIn  map[string]inner `yaml:"min"`
	Any  any              `yaml:"any"`
	Lv   volume           `yaml:"lv" default:"low"`
	X    Text             `yaml:"x" default:"data.x"`
	Fs   Fields           `yaml:"fs"`
	R    Raw              `yaml:"r" settings:"true"`
	Sec  Secret           `yaml:"sec"`
	E    string           `yaml:"e" enum:"one|two" default:"one"`
	EL   Strings          `yaml:"el" enum:"one|two"`
	Ch   chan int         `yaml:"ch"`
	Skip string           `yaml:"-"`
}

func decode(t *testing.T, text string, opts ...Option) (everything, error) {
	t.Helper()
	var v everything
	err := Decode("f.yaml", []byte(text), &v, opts...)
	return v, err
}

func good(t *testing.T, text string) everything {
	t.Helper()
	v, err := decode(t, text)
	if err != nil {
		t.Fatalf("Decode: %v", err)
	}
	return v
}

func TestDecode_setsDefaultsWhereTheFileIsSilent(t *testing.T) {
	three := 3
	want := everything{
		shared: shared{"eu"}, B: true, I: 7, D: 5 * time.Millisecond, Size: 1 << 20, L: Strings{"a", "b"},
		P: &three, In: inner{Wait: time.Second}, Ints: []int{1, 2}, Lv: "low", X: Text{Value: "data.x"}, E: "one",
	}
	for _, text := range []string{"", "# nothing\n", "---\n", "i:\nb: null\nin: ~\n", "{}", "\ufeff{}"} {
		v := good(t, text)
		v.R = Raw{}
		if !reflect.DeepEqual(v, want) {
			t.Errorf("%q: got %+v\nwant %+v", text, v, want)
		}
	}
}

func TestDecode_readsEveryType(t *testing.T) {
	v := good(t, strings.ReplaceAll(`
region: us
s: plain text
b: false
i: 0x10
i8: -128
u: 65_535
f: 1.5
d: 1h30m
t: 2026-01-31T12:00:00Z
size: 2GB
l: " a ,b,, c"
p: 4
in: {name: n, wait: 0}
pin:
  name: pn
list:
- name: one
- {name: two, wait: 2s}
ints: [3, -4, +5, 0o17]
m: {"a b": 1, 2: 3}
min:
  k: {name: k}
any: {a: [1, 2.5, true, null, "x"]}
lv: high
x: 5
fs:
  b: data.b
  a: true
  n: null
  1: 'x'
r: {k: v}
sec: hush
e: two
el: [one, two]
`, "\n", "\r\n"))
	four := 4
	want := everything{
		shared: shared{"us"}, S: "plain text", I: 16, I8: -128, U: 65535, F: 1.5, D: 90 * time.Minute,
		T: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC), Size: 2e9, L: Strings{"a", "b", "c"}, P: &four,
		In: inner{"n", 0}, PIn: &inner{"pn", time.Second}, List: []inner{{"one", time.Second}, {"two", 2 * time.Second}},
		Ints: []int{3, -4, 5, 15}, M: map[string]int{"a b": 1, "2": 3}, MIn: map[string]inner{"k": {"k", time.Second}},
		Any: map[string]any{"a": []any{int64(1), 2.5, true, nil, "x"}}, Lv: "high", E: "two", EL: Strings{"one", "two"},
	}
	if v.X.Value != "5" || v.R.IsZero() {
		t.Errorf("x = %q, r zero %v", v.X.Value, v.R.IsZero())
	}
	if got := fmt.Sprint(v.Fs); got != "[{b data.b} {a true} {n null} {1 x}]" {
		t.Errorf("fs = %s", got)
	}
	if s, err := v.Sec.Reveal(); s != "hush" || err != nil {
		t.Errorf("sec = %q, %v", s, err)
	}
	v.X, v.Fs, v.R, v.Sec = Text{}, nil, Raw{}, Secret{}
	if !reflect.DeepEqual(v, want) {
		t.Errorf("got  %+v\nwant %+v", v, want)
	}
}

func TestDecode_keepsTextAsYAMLSays(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"s: it's # comment", "it's"},
		{"s: 'it''s'", "it's"},
		{`s: "a\tb\u00e9"`, "a\tbé"},
		{"s: |\n  a\n   b\n\n  c\n", "a\n b\n\nc\n"},
		{"s: |-\n  a\n", "a"},
		{"s: >\n  a\n  b\n\n  c\n", "a b\nc\n"},
		{"s: a\n  b\n", "a b"},
		{"s: !!str 5", "5"},
		{"s: ''", ""},
		{"s: ${HOME}", "${HOME}"},
		{"s: yes", "yes"},
	} {
		if v := good(t, test.text); v.S != test.want {
			t.Errorf("%q: got %q, want %q", test.text, v.S, test.want)
		}
	}
}

func TestDecode_followsAliasesAndMergeKeys(t *testing.T) {
	v := good(t, `
in: &base
  name: base
  wait: 3s
pin: *base
list:
- <<: *base
  name: own
- <<: [{name: first}, *base]
- {name: &n last, <<: {wait: 1m}}
s: *n
`)
	want := []inner{{"own", 3 * time.Second}, {"first", 3 * time.Second}, {"last", time.Minute}}
	if !reflect.DeepEqual(v.List, want) || *v.PIn != v.In || v.S != "last" {
		t.Errorf("list %v, pin %v, s %q", v.List, v.PIn, v.S)
	}
}

func TestDecode_takesWhatAProgramSetBefore(t *testing.T) {
	v := everything{I: 9, S: "kept"}
	if err := Decode("f.yaml", []byte("u: 1"), &v); err != nil || v.I != 9 || v.S != "kept" || v.U != 1 {
		t.Errorf("got %+v, %v", v, err)
	}
}

func TestDecode_panicsOnlyOnAProgrammersMistake(t *testing.T) {
	for name, call := range map[string]func(){
		"Decode of no pointer":     func() { _ = Decode("f", nil, everything{}) },
		"Raw.Decode of no pointer": func() { _ = Raw{}.Decode(everything{}) },
		"Defaults of no pointer":   func() { Defaults(everything{}) },
		"a default that does not parse": func() {
			Defaults(&struct {
				I int `yaml:"i" default:"x"`
			}{})
		},
		"a default that is no YAML": func() {
			Defaults(&struct {
				I []int `yaml:"i" default:"["`
			}{})
		},
		"a schema of one": func() {
			Schema(struct {
				I int `yaml:"i" default:"x"`
			}{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("did not panic")
				}
			}()
			call()
		})
	}
}

type endpoint struct {
	shared `yaml:",inline"`
	Topic  string `yaml:"topic"`
	Sasl   struct {
		Password Secret `yaml:"password"`
		User     string `yaml:"user"`
	} `yaml:"sasl"`
	Ports []int `yaml:"ports"`
}

func (s *shared) Validate() error {
	if s.Region == "mars" {
		return Fault("region", "mars is not served")
	}
	return nil
}

func (e *endpoint) Validate() error {
	var errs []error
	if e.Topic == "bad" {
		errs = append(errs, Fault("topic", "%s is taken", e.Topic), Fault("sasl.password", "is too short"), Fault("sasl.mechanism", "is missing"))
	}
	if len(e.Ports) > 1 {
		errs = append(errs, Fault("ports[1]", "one port is enough"), Fault("ports[7]", "no such port"), Fault("", "too many ports"))
	}
	return errors.Join(errors.Join(errs...), e.shared.Validate(), nil)
}

type root struct {
	Endpoint endpoint `yaml:"endpoint"`
	Plain    plainErr `yaml:"plain"`
}

type plainErr struct {
	Text Text `yaml:"text"`
}

func (p *plainErr) Validate() error {
	return errors.Join(errors.New("plain words"), p.Text.Error(1, 3, "unknown name", "declare it"))
}

func TestValidate_faultsBecomePositions(t *testing.T) {
	var v root
	err := Decode("f.yaml", []byte("endpoint:\n  region: mars\n  topic: bad\n  sasl: {user: u}\n  ports: [1, 2]\nplain:\n  text: a b\n"), &v)
	var got []string
	for _, e := range faultsOf(err) {
		got = append(got, fmt.Sprintf("%s %s %s", e.Pos, e.Code, e.Message))
	}
	want := []string{
		"f.yaml:1:1 BAD_VALUE endpoint: too many ports",
		"f.yaml:2:11 BAD_VALUE endpoint.region: mars is not served",
		"f.yaml:3:10 BAD_VALUE endpoint.topic: bad is taken",
		"f.yaml:4:3 BAD_VALUE endpoint.sasl.password: is too short",
		"f.yaml:4:3 BAD_VALUE endpoint.sasl.mechanism: is missing",
		"f.yaml:5:3 BAD_VALUE endpoint.ports[7]: no such port",
		"f.yaml:5:14 BAD_VALUE endpoint.ports[1]: one port is enough",
		"f.yaml:6:1 BAD_VALUE plain: plain words",
		"f.yaml:7:11 CEL plain.text: unknown name",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestFault_readsWellWithoutAFile(t *testing.T) {
	e := endpoint{Topic: "bad"}
	err := e.Validate()
	if got, want := err.Error(), "topic: bad is taken\nsasl.password: is too short\nsasl.mechanism: is missing"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Fault("", "both").Error(); got != "both" {
		t.Errorf("got %q", got)
	}
}

func TestDecode_tellsAtMost200Faults(t *testing.T) {
	_, err := decode(t, "ints: ["+strings.Repeat("x, ", 500)+"]\n"+strings.Repeat("s: a\n", 500))
	if n := len(faultsOf(err)); n < 200 || n > 400 {
		t.Errorf("%d faults", n)
	}
}

type strict struct {
	Mode  string  `yaml:"mode" enum:"a|b"`
	Topic string  `yaml:"topic" required:"true"`
	Sasl  *inner  `yaml:"sasl"`
	Ratio float64 `yaml:"ratio"`
}

func (s *strict) Validate() error {
	return errors.Join(Fault("mode", "said twice"), Fault("topic", "said twice"), Fault("sasl", "said twice"), Fault("sasl.wait", "said twice"))
}

func TestDecode_tellsAFaultOnce(t *testing.T) {
	var v struct {
		S strict `yaml:"s"`
	}
	err := Decode("f.yaml", []byte("s:\n  mode: c\n  topik: t\n  sasl: {name: n, wait: 5}\n"), &v)
	var codes []string
	for _, e := range faultsOf(err) {
		codes = append(codes, e.Key+" "+e.Code)
	}
	if want := []string{"s.mode BAD_VALUE", "s.topik UNKNOWN_KEY", "s.sasl.wait WRONG_TYPE"}; !reflect.DeepEqual(codes, want) {
		t.Errorf("got %q, want %q", codes, want)
	}
	for _, value := range []string{"inf", "nan", "-Inf", "x"} {
		if err := Decode("f.yaml", []byte("topic: t\nratio: ${R}"), &v.S, Interpolate(), env("R", value)); err == nil || !strings.Contains(err.Error(), `"${R}" is not a number that fits`) && len(value) > 3 {
			t.Errorf("%s: got %v", value, err)
		}
	}
}

func TestJoin_sortsTheFaultsOfSeveralSteps(t *testing.T) {
	v, first := decode(t, "x: a\nnope: 1\n")
	err := Join(first, nil, fmt.Errorf("expressions: %w", v.X.Error(1, 1, "unknown name", "")), errors.New("no place"), Fault("k", "bad"))
	var got []string
	for _, e := range faultsOf(err) {
		got = append(got, e.Pos.String()+" "+e.Message)
	}
	if want := []string{" no place", " k: bad", "f.yaml:1:4 x: unknown name", `f.yaml:2:1 unknown key "nope"`}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
	if err := Join(nil, nil); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestDecode_acceptsTagsThatChangeNothing(t *testing.T) {
	v := good(t, "i: !!int 5\nf: !!float 5\nb: !!bool false\nin: !!map {name: n}\nl: !!seq [a]\nd: !!null\n")
	if v.I != 5 || v.F != 5 || v.B || v.In.Name != "n" || v.L[0] != "a" {
		t.Errorf("got %+v", v)
	}
	deep := "any: &a " + strings.Repeat("[", 60) + strings.Repeat("]", 60) + "\nr: " + strings.Repeat("[", 60) + "*a" + strings.Repeat("]", 60)
	if _, err := decode(t, deep); err == nil || !strings.Contains(err.Error(), "nested more than 100 deep") {
		t.Errorf("got %v", err)
	}
}

// faultsOf returns the faults in an error of this package.
func faultsOf(err error) Errors {
	faults, _ := errors.AsType[Errors](err)
	return faults
}

// A file that is only null, and such a part of a file, are checked like empty ones. Found by FuzzParse of
// flow/spec: such a flow had no name, and was valid.
func TestDecode_aNullIsCheckedLikeAnEmptyFile(t *testing.T) {
	type part struct {
		Name string `yaml:"name" required:"true"`
	}
	for _, text := range []string{"", "~", "null\n", "# nothing\n"} {
		var v part
		if err := Decode("f.yaml", []byte(text), &v); err == nil || !strings.Contains(err.Error(), "name") {
			t.Errorf("%q: %v", text, err)
		}
		var whole struct {
			Config Raw `yaml:"config"`
		}
		if err := Decode("f.yaml", []byte("config: "+text), &whole); err != nil {
			t.Fatal(err)
		}
		if err := whole.Config.Decode(&v); err == nil || !strings.Contains(err.Error(), "name") {
			t.Errorf("config: %q: %v", text, err)
		}
	}
}
