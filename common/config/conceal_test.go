package config_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/config/configtest"
)

type account struct {
	Type     string        `yaml:"type" enum:"basic|bearer"`
	Username string        `yaml:"username"`
	Password config.Secret `yaml:"password"`
	Header   string        `yaml:"header" secret:"false"`
	Retries  int           `yaml:"retries"`
	Wait     time.Duration `yaml:"wait"`
	Size     config.Bytes  `yaml:"size"`
	Key      config.Text   `yaml:"key"`
	Scopes   []string      `yaml:"scopes"`
}

type service struct {
	Name    string            `yaml:"name"`
	Token   config.Secret     `yaml:"token"`
	Account account           `yaml:"account" secret:"true"`
	Headers map[string]string `yaml:"headers" secret:"true"`
	Filter  config.Text       `yaml:"filter"`
	Config  config.Raw        `yaml:"config" settings:"true"`
	Port    int               `yaml:"port"`
	KeyFile string            `yaml:"keyFile" file:"true"`
}

type plugin struct {
	Account *account `yaml:"account" secret:"true"`
	Topic   string   `yaml:"topic"`
}

func (p *plugin) Validate() error {
	if p.Account == nil {
		return nil
	}
	return errors.Join(config.Fault("account.username", "%q and %s are not known to type %s, of %d", p.Account.Username, []string{p.Account.Username}, p.Account.Type, 2),
		fmt.Errorf("%s is not known", p.Account.Username))
}

// U20, UL14: the errors of a faulty file show no text of a part with credentials, for every fault that
// configtest makes.
func TestErrors_showNoCredentialOfASpoiltFile(t *testing.T) {
	for name, text := range map[string]string{
		"in lines": "name: a\ntoken: CANARY\nport: 1\naccount:\n  type: basic\n  username: CANARY\n  password: 'CANARY'\n  scopes: [CANARY]\n" +
			"headers:\n  X-A: CANARY\n  X-B: \"CANARY\"\nfilter: 'a == b'\nconfig:\n  topic: t\n  account:\n    username: CANARY\n    password: CANARY\n",
		"in one line": "{name: a, token: CANARY, headers: {A: CANARY, B: b}, account: {username: CANARY, scopes: [a, CANARY]}, port: 1, config: {topic: t, account: {password: CANARY}}}\n",
		"by anchors":  "name: a\ntoken: &t CANARY\nheaders: &h\n  X-A: *t\naccount:\n  username: *t\nconfig: {account: {username: *t, password: *t}}\n",
	} {
		t.Run(name, func(t *testing.T) {
			configtest.ShowsNothingSpoilt(t, strings.ReplaceAll(text, "CANARY", configtest.Canary), 200, func(text string) error {
				var s service
				err := config.Decode("f.yaml", []byte(text), &s)
				return config.Join(err, s.Config.Decode(&plugin{}))
			})
		})
	}
}

// What is not secret is shown as it was written, because people need it.
func TestErrors_showWhatIsNoSecretInAPartThatHoldsCredentials(t *testing.T) {
	for text, want := range map[string]string{
		"account: {type: bassic}":    "f.yaml:1:17: account.type: unknown value \"bassic\"\n  1 | account: {type: bassic}\n    |                 ^^^^^^ did you mean \"basic\"? (basic, bearer)",
		"account: {type: hunter2}":   "f.yaml:1:17: account.type: unknown value \"***\"\n  1 | account: {type: ***\n    |                 ^^^ write one of: basic, bearer",
		"account: {retries: 1.5}":    "f.yaml:1:20: account.retries: expected a whole number, found the number 1.5\n  1 | account: {retries: 1.5}\n    |                    ^^^",
		"account: {wait: 5}":         "f.yaml:1:17: account.wait: expected a duration such as 200ms, found the number 5\n  1 | account: {wait: 5}\n    |                 ^ say the unit: 5s or 5ms",
		"account: {wait: soon}":      "f.yaml:1:17: account.wait: \"***\" is not a duration\n  1 | account: {wait: ***\n    |                 ^^^ write a number and a unit, such as 200ms, 5s or 1h30m",
		"account: {header: [a]}":     "f.yaml:1:19: account.header: expected text, found a list\n  1 | account: {header: [a]}\n    |                   ^",
		"account: {tpye: basic}":     "f.yaml:1:11: unknown key \"tpye\" in account\n  1 | account: {tpye: basic}\n    |           ^^^^ did you mean \"type\"?",
		"account: {usrname: hunter}": "f.yaml:1:11: unknown key \"usrname\" in account\n  1 | account: {usrname: ***\n    |           ^^^^^^^ did you mean \"username\"?",
		"account: hunter2":           "f.yaml:1:10: account: expected a mapping, found a hidden value\n  1 | account: ***\n    |          ^^^ write its keys below, each on its own line",
		"account: true":              "f.yaml:1:10: account: expected a mapping, found true\n  1 | account: true\n    |          ^^^^ write its keys below, each on its own line",
		"{name: [a], account: {key: data.id, size: 1MiB, wait: 5s, username: '${A}', retries: 2, type: basic}}": "f.yaml:1:8: name: expected text, found a list\n" +
			"  1 | {name: [a], account: {key: data.id, size: 1MiB, wait: 5s, username: '${A}', retries: 2, type: basic}}\n    |        ^",
		"account: {username: hunter2, username: x}": "f.yaml:1:30: key \"username\" is set twice\n  1 | account: {username: ***\n    |                     ^^^ it is already set on line 1",
		"keyFile: \"a\\nb\"":                        "f.yaml:1:10: keyFile: this is not the path of a file\n  1 | keyFile: ***\n    |          ^^^ put the text into a file, and write that file's path",
		"token: a: b":                               "f.yaml:1:8: not valid YAML: mapping value is not allowed in this context\n  1 | token: ***\n    |        ^^^ a text with a colon and a blank in it needs quotes",
		"name: @a":                                  "f.yaml:1:7: not valid YAML: '@' is a reserved character\n  1 | name: @a\n    |       ^ a text that begins with it needs quotes",
		"name: 'a":                                  "f.yaml:1:7: not valid YAML: could not find end character of single-quoted text\n  1 | name: 'a\n    |       ^ close the quotes",
		"other: 'a":                                 "f.yaml:1:8: not valid YAML: could not find end character of single-quoted text\n  1 | other: ***\n    |        ^^^ close the quotes",
		"token: |secret":                            "f.yaml:1:8: not valid YAML: invalid header option: it\n  1 | token: ***\n    |        ^^^",
	} {
		var s service
		if err := config.Decode("f.yaml", []byte(text+"\n"), &s); err == nil || err.Error() != want {
			t.Errorf("%s: got\n%v\nwant\n%s", text, err, want)
		}
	}
}

// UL19: a password that is a word of an error text is not revealed by the masks in that text.
func TestErrors_maskValuesAndNoWordsOfTheirOwn(t *testing.T) {
	var s service
	err := config.Decode("f.yaml", []byte("token: secret\nsecretRef: x\nconfig: {account: {username: type, type: basic}}\n"), &s)
	want := "f.yaml:2:1: unknown key \"secretRef\"\n  2 | secretRef: ***\n    | ^^^^^^^^^ does it belong under config?"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	err = s.Config.Decode(&plugin{})
	want = "f.yaml:3:1: config: *** is not known\n  3 | config: {account: {username: ***\n    | ^^^^^^\n" +
		"f.yaml:3:30: config.account.username: \"***\" and [***] are not known to type basic, of 2\n  3 | config: {account: {username: ***\n    |                              ^^^"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestRedact(t *testing.T) {
	for text, want := range map[string]string{
		"http://o/x?key=abc&b=c":      "http://o/x?key=***",
		"https://u:p@o/x":             "https://***@o/x",
		"http:/u:p@o":                 "http:/***@o",
		"http://o:80/a@b":             "http://***@b",
		"a -----BEGIN RSA KEY-----xy": "a ***",
		`a == "b?c"`:                  `a == "b?c"`,
		"ann@example.com, bob":        "ann@example.com, bob",
	} {
		if got := config.Redact(text); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func TestReading_tellsOfFilesThatReferencesName(t *testing.T) {
	dir := t.TempDir()
	var told []string
	var s service
	err := config.Decode("f.yaml", []byte("name: ${file:"+dir+"/none}\nheaders: {A: {secretRef: {name: a, key: b}}}\n"), &s, config.Interpolate(),
		config.Reading(func(path, text string) { told = append(told, strings.TrimPrefix(path, dir)+"="+text) }),
		config.Env(func(string) (string, bool) { return dir, true }))
	if err == nil || strings.Join(told, " ") != "/none= /a/b=" {
		t.Errorf("told %q, %v", told, err)
	}
}

func TestUnmounted_readsNoSecret(t *testing.T) {
	var s service
	err := config.Decode("f.yaml", []byte("name: {secretRef: {name: a, key: b}}\ntoken: {secretRef: {name: a, key: b}}\n"), &s, config.Interpolate(), config.Unmounted(),
		config.Env(func(string) (string, bool) { return "/nowhere", true }))
	if files := s.Token.Files(); err != nil || s.Name != config.Mask || len(files) != 1 || files[0] != "/nowhere/a/b" {
		t.Errorf("got %q, %v, %v", s.Name, files, err)
	}
}
