package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
)

type kafka struct {
	Brokers  Strings `yaml:"brokers" required:"true"`
	Topic    string  `yaml:"topic"`
	Port     int     `yaml:"port" default:"9092"`
	TLSOn    bool    `yaml:"tlsOn"`
	Size     Bytes   `yaml:"size"`
	Ratio    float64 `yaml:"ratio"`
	Key      Text    `yaml:"key"`
	Password Secret  `yaml:"password"`
	Any      any     `yaml:"any"`
	Level    volume  `yaml:"level"`
	Sasl     struct {
		User string `yaml:"user"`
	} `yaml:"sasl"`
}

type connector struct {
	Type   string `yaml:"type"`
	Config Raw    `yaml:"config"`
}

type flow struct {
	Source connector `yaml:"source"`
	Sinks  []struct {
		Name   string `yaml:"name"`
		Config Raw    `yaml:"config"`
	} `yaml:"sinks"`
}

func env(pairs ...string) Option {
	return Env(func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	})
}

func tempFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	write(t, path, content)
	return path
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// decodeSource decodes the lines of a source's config.
func decodeSource(t *testing.T, lines string, opts ...Option) (kafka, error) {
	t.Helper()
	var f flow
	text := "source:\n  type: kafka\n  config:\n    " + strings.ReplaceAll(strings.TrimSpace(lines), "\n", "\n    ") + "\n"
	if err := Decode("f.yaml", []byte(text), &f, opts...); err != nil {
		t.Fatalf("Decode: %v", err)
	}
	var k kafka
	return k, f.Source.Config.Decode(&k)
}

func TestRaw_followsReferences(t *testing.T) {
	name := tempFile(t, "name", "from: file\nsecond line\r\n\n")
	k, err := decodeSource(t, `
brokers: ["${HOST}:9092", b]
topic: a-${TOPIC:-none}-${EMPTY:-empty}-${SET}$${HOME}-${file:`+name+`}
port: ${PORT}
tlsOn: "${ON}"
size: ${SIZE}
ratio: ${RATIO}
key: data.a + "${HOST}"
any: {x: "${HOST}"}
level: ${LEVEL}
sasl:
  user: ${ODD}
`, env("HOST", "h", "EMPTY", "", "SET", "", "PORT", "1234", "ON", "true", "SIZE", "2MiB", "RATIO", "0.5", "LEVEL", "high", "ODD", "a: [b\n- c"))
	if err != nil {
		t.Fatal(err)
	}
	want := kafka{
		Brokers: Strings{"h:9092", "b"}, Topic: "a-none-empty-${HOME}-from: file\nsecond line", Port: 1234,
		TLSOn: true, Size: 2 << 20, Ratio: 0.5, Any: map[string]any{"x": "h"}, Level: "high",
	}
	want.Sasl.User = "a: [b\n- c"
	if k.Key.Value != `data.a + "${HOST}"` {
		t.Errorf("key = %q: references in code would be code", k.Key.Value)
	}
	if k.Key = (Text{}); !reflect.DeepEqual(k, want) {
		t.Errorf("got  %+v\nwant %+v", k, want)
	}
}

func TestRaw_splitsAListThatComesFromOutside(t *testing.T) {
	k, err := decodeSource(t, "brokers: ${BROKERS}", env("BROKERS", "a:1, b:2"))
	if err != nil || !reflect.DeepEqual(k.Brokers, Strings{"a:1", "b:2"}) {
		t.Errorf("got %v, %v", k.Brokers, err)
	}
}

func TestRaw_saysWhatCannotBeFollowed(t *testing.T) {
	big, blank := tempFile(t, "big", strings.Repeat("x", MaxFile+1)), tempFile(t, "blank", " \n")
	for _, test := range []struct{ name, line, want string }{
		{"unset", "topic: orders-${STAGE}", `
f.yaml:5:19: source.config.topic: environment variable STAGE is not set
  5 |     topic: orders-${STAGE}
    |                   ^^ set it, or give a default: ${STAGE:-…}`},
		{"unset, in quotes", `topic: "é\n${STAGE}"`, `
f.yaml:5:16: source.config.topic: environment variable STAGE is not set
  5 |     topic: "é\n${STAGE}"
    |                ^^ set it, or give a default: ${STAGE:-…}`},
		{"unset number", "port: ${PORT}", `
f.yaml:5:11: source.config.port: environment variable PORT is not set
  5 |     port: ${PORT}
    |           ^^ set it, or give a default: ${PORT:-…}`},
		{"unclosed", "topic: ${STAGE", `
f.yaml:5:12: source.config.topic: this ${…} is not a reference: write ${ENV}, ${ENV:-default} or ${file:/path}, and $${ for a plain ${
  5 |     topic: ${STAGE
    |            ^^`},
		{"no name", "topic: ${a b}", `
f.yaml:5:12: source.config.topic: this ${…} is not a reference: write ${ENV}, ${ENV:-default} or ${file:/path}, and $${ for a plain ${
  5 |     topic: ${a b}
    |            ^^`},
		{"relative file", "topic: ${file:x}", `
f.yaml:5:12: source.config.topic: this ${…} is not a reference: write ${ENV}, ${ENV:-default} or ${file:/path}, and $${ for a plain ${
  5 |     topic: ${file:x}
    |            ^^`},
		{"no file", "topic: ${file:/no/such}", `
f.yaml:5:12: source.config.topic: open /no/such: no such file or directory
  5 |     topic: ${file:/no/such}
    |            ^^ make the file readable, or correct its path`},
		{"a folder", "topic: ${file:/}", `
f.yaml:5:12: source.config.topic: / is a directory: only a regular file can be read
  5 |     topic: ${file:/}
    |            ^^ make the file readable, or correct its path`},
		{"an empty file", "topic: ${file:" + blank + "}", `
f.yaml:5:12: source.config.topic: ` + blank + ` is empty: put the value there
  5 |     topic: ${file:` + blank + `}
    |            ^^ make the file readable, or correct its path`},
		{"secret of an empty file", "password: ${file:" + blank + "}", `
f.yaml:5:15: source.config.password: read secret: ` + blank + ` is empty: put the value there
  5 |     password: ${file:` + blank + `}
    |               ` + strings.Repeat("^", len("${file:"+blank+"}")) + ` make the file readable, or correct its path`},
		{"secret of no file", "password: ${file:/no/such}", `
f.yaml:5:15: source.config.password: read secret: open /no/such: no such file or directory
  5 |     password: ${file:/no/such}
    |               ^^^^^^^^^^^^^^^^ make the file readable, or correct its path`},
		{"a number from outside that is none", "port: ${WORD}", `
f.yaml:5:11: source.config.port: "${WORD}" is not a whole number from -9223372036854775808 to 9223372036854775807
  5 |     port: ${WORD}
    |           ^^^^^^^`},
		{"secretRef without a key", "password: {secretRef: {name: n}}", `
f.yaml:5:16: missing key "key" in source.config.password.secretRef
  5 |     password: {secretRef: {name: ***
    |                ^^^^^^^^^ name the key in the Secret`},
		{"secretRef of nothing", "topic: {secretRef: }", `
f.yaml:5:23: source.config.topic.secretRef: expected a mapping with name and key, found nothing
  5 |     topic: {secretRef: }
    |                       ^ write secretRef: {name: …, key: …}`},
		{"secretRef that climbs", "topic: {secretRef: {name: .., key: a/b}}", `
f.yaml:5:31: source.config.topic.secretRef.name: ".." is not the name of a Secret or of a key in one
  5 |     topic: {secretRef: {name: .., key: a/b}}
    |                               ^^ use letters, digits, '-', '_' and '.'
f.yaml:5:40: source.config.topic.secretRef.key: "a/b" is not the name of a Secret or of a key in one
  5 |     topic: {secretRef: {name: .., key: a/b}}
    |                                        ^^^ use letters, digits, '-', '_' and '.'`},
		{"secretRef with company", "topic: {secretRef: {name: a, key: b}, x: 1}", `
f.yaml:5:43: unknown key "x" beside secretRef
  5 |     topic: {secretRef: {name: a, key: b}, x: 1}
    |                                           ^ remove it`},
		{"secretRef not mounted", "topic: {secretRef: {name: a, key: b}}", `
f.yaml:5:12: source.config.topic: open /no/secrets/a/b: no such file or directory
  5 |     topic: {secretRef: {name: a, key: b}}
    |            ^ is the Secret mounted there?`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := decodeSource(t, "brokers: b\n"+test.line, env("WORD", "fünf", "FISO_SECRETS_DIR", "/no/secrets"))
			if err == nil {
				t.Fatal("no error")
			}
			if got := err.Error(); got != strings.TrimPrefix(test.want, "\n") {
				t.Errorf("got\n%s\nwant%s", got, test.want)
			}
		})
	}
	if _, err := decodeSource(t, "brokers: ${file:"+big+"}"); err == nil || !strings.Contains(err.Error(), "is larger than 1 MiB") {
		t.Errorf("got %v", err)
	}
}

func TestRaw_boundsWhatReferencesBringIn(t *testing.T) {
	large := tempFile(t, "large", strings.Repeat("x", MaxFile))
	_, err := decodeSource(t, "brokers: b\ntopic: "+strings.Repeat("${file:"+large+"}", 20))
	if err == nil || !strings.Contains(err.Error(), "insert more than 16 MiB") {
		t.Errorf("got %.200v", err)
	}
}

func TestRaw_readsSecretRef(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "kafka", "topic"), "orders\n")
	write(t, filepath.Join(dir, "kafka", "password"), "first\n")
	k, err := decodeSource(t, `
brokers: [{secretRef: {name: kafka, key: topic}}]
topic:
  secretRef: {name: kafka, key: topic}
password: {secretRef: {name: kafka, key: password}}
`, env("FISO_SECRETS_DIR", dir))
	if err != nil || k.Topic != "orders" || k.Brokers[0] != "orders" {
		t.Fatalf("got %+v, %v", k, err)
	}
	if value, err := k.Password.Reveal(); value != "first" || err != nil {
		t.Errorf("got %q, %v", value, err)
	}
	if got, want := k.Password.Files(), []string{filepath.Join(dir, "kafka", "password")}; !reflect.DeepEqual(got, want) {
		t.Errorf("files %v, want %v", got, want)
	}
}

func TestRaw_ofAnAbsentPartSaysWhatIsMissingAtItsParent(t *testing.T) {
	var f flow
	if err := Decode("f.yaml", []byte("source:\n  type: kafka\nsinks:\n- name: n\n- name: m\n  config: {brokers: b}\n"), &f); err != nil {
		t.Fatal(err)
	}
	c := f.Source.Config
	if !c.IsZero() || c.Key() != "source.config" || c.Pos() != (Pos{"f.yaml", 1, 1}) {
		t.Errorf("zero %v, key %q, pos %v", c.IsZero(), c.Key(), c.Pos())
	}
	var k kafka
	err := c.Decode(&k)
	want := "f.yaml:1:1: missing key \"brokers\" in source.config\n  1 | source:\n    | ^"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if k.Port != 9092 {
		t.Error("no defaults")
	}
	if err := f.Sinks[1].Config.Decode(&k); err != nil || f.Sinks[1].Config.IsZero() || f.Sinks[1].Config.Pos() != (Pos{"f.yaml", 6, 11}) {
		t.Errorf("got %v, pos %v", err, f.Sinks[1].Config.Pos())
	}
	if got := f.Sinks[0].Config.Pos(); got != (Pos{"f.yaml", 4, 3}) {
		t.Errorf("pos %v", got)
	}
}

func TestRaw_madeByAProgramIsAbsent(t *testing.T) {
	var k kafka
	err := Raw{}.Decode(&k)
	var first *Error
	if !errors.As(err, &first) || first.Code != CodeMissingKey || !(Raw{}).IsZero() || (Raw{}).Pos() != (Pos{}) || (Raw{}).Key() != "" {
		t.Errorf("got %v", err)
	}
}

func TestRaw_isDecodedFromSeveralGoroutines(t *testing.T) {
	var f flow
	text := "source:\n  config: {brokers: '${B}', password: hunter22, topic: [x]}\n"
	if err := Decode("f.yaml", []byte(text), &f, env("B", "broker")); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			var k kafka
			if err := f.Source.Config.Decode(&k); err == nil || strings.Contains(err.Error(), "hunter22") {
				t.Errorf("got %v", err)
			}
		})
	}
	all.Wait()
}

func TestRaw_suggestsKeysOfTheStructsAround(t *testing.T) {
	_, err := decodeSource(t, "brokers: b\nsinks: []\nuser: u\ntype: x\nzebra: y")
	var hints []string
	for _, e := range faultsOf(err) {
		hints = append(hints, e.Hint)
	}
	want := []string{
		`"sinks" belongs at the top level of the file`, `"user" belongs under source.config.sasl`, `"type" belongs under source`,
		"known keys: any, brokers, key, level, password, port, ratio, sasl, size, tlsOn, topic",
	}
	if !reflect.DeepEqual(hints, want) {
		t.Errorf("got %q", hints)
	}
}

func TestInterpolate_reachesTheWholeFile(t *testing.T) {
	v, err := decode(t, "s: ${A}\ni: ${I}\nd: ${D}\nt: ${T}\n", Interpolate(), env("A", "a", "I", "5", "D", "5s", "T", "2026-01-31T12:00:00Z"))
	if err != nil || v.S != "a" || v.I != 5 || v.D.Seconds() != 5 || v.T.Year() != 2026 {
		t.Errorf("got %+v, %v", v, err)
	}
	for _, line := range []string{"s: ${NO}", "d: ${NO}", "t: ${NO}", "size: ${NO}", "lv: ${NO}", "any: ${NO}", "l: ${NO}"} {
		if _, err := decode(t, line, Interpolate(), env()); err == nil || !strings.Contains(err.Error(), "NO is not set") {
			t.Errorf("%s: got %v", line, err)
		}
	}
}
