package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/config/configtest"
)

// canary is a secret that must not appear in any output.
const canary = "c4n4ry-in-the-mine"

type holder struct {
	Password Secret
	inner    Secret
	Pointer  *Secret
	List     []Secret
	Map      map[string]Secret
}

func TestSecret_neverPrints(t *testing.T) {
	s := NewSecret(canary)
	h := holder{s, s, &s, []Secret{s}, map[string]Secret{"k": s}}
	var out strings.Builder
	for _, v := range []any{s, &s, h, &h} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		fmt.Fprintln(&out, fmt.Errorf("wrapped: %v: %w", v, errors.New("cause")))
		fmt.Fprintln(&out, v)
	}
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(handler).Info("m", "secret", s, "pointer", &s, "holder", h, slog.Group("g", "s", s))
	}
	encoded, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{out.String(), log.String(), string(encoded)} {
		if strings.Contains(text, canary) || strings.Contains(text, fmt.Sprintf("%x", canary)) {
			t.Errorf("the secret is in\n%s", text)
		}
		if !strings.Contains(text, Mask) {
			t.Errorf("no mask in\n%s", text)
		}
	}
	if got := s.GoString(); got != Mask {
		t.Errorf("GoString is %s", got)
	}
	if got := fmt.Sprintf("[%v]", Secret{}); got != "[]" {
		t.Errorf("an absent secret prints as %s", got)
	}
}

func TestSecret_isInNoErrorOfItsFile(t *testing.T) {
	withCanary := tempFile(t, "secret", canary)
	for name, text := range map[string]string{
		"misspelt key":        "sce: " + canary,
		"misspelt word":       "in:\n  pasword: " + canary,
		"misspelt in a list":  "list:\n- {pass: " + canary + ", name: x, zebra: 1}",
		"number":              "sec: 1234567890123",
		"list":                "sec: [" + canary + "]",
		"mapping":             "sec: {" + canary + ": 1}",
		"same line":           "{sec: " + canary + ", zebra: 1}",
		"same line, before":   "{zebra: 1, sec: \"" + canary + "\", i: x}",
		"bad reference":       "sec: " + canary + "${",
		"mixed":               "sec: " + canary + "${NOT_SET}",
		"open quote":          "password: \"" + canary + "\ni: x",
		"open quote below":    "apiKey: |\n  " + canary + "\n x: \"",
		"tab in a block":      "token: |\n  a\n\t" + canary,
		"duplicate":           "sec: a\nsec: " + canary,
		"duplicate password":  "password: a\npassword: " + canary,
		"literal":             "sec: |\n  " + canary + "\nzebra: 1",
		"plain lines":         "sec: a\n  " + canary + " b\nzebra: 1",
		"quoted lines":        "sec: \"a\n  " + canary + "\"\nzebra: 1",
		"value in a fault":    "region: mars\nsec: " + canary + "\nlv: " + canary,
		"value of the file":   "sec: ${file:" + withCanary + "}\nlv: " + canary,
		"env in another type": "i: ${CANARY}\nsize: ${CANARY}\nd: ${CANARY}\nt: ${CANARY}\nb: ${CANARY}\nf: ${CANARY}\nu: ${CANARY}\ne: ${CANARY}\nlv: ${CANARY}",
		"file in an enum":     "e: ${file:" + withCanary + "}\nel: [\"${file:" + withCanary + "}\"]",
		"default":             "sec: ${NOT_SET:-" + canary + "}\nsec: x",
		"second document":     "s: a\n---\npassword: " + canary,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(t, text, Interpolate(), env("CANARY", canary))
			if err == nil {
				t.Skip("no error to leak into")
			}
			encoded, _ := json.Marshal(err)
			for _, shown := range []string{err.Error(), string(encoded), fmt.Sprintf("%+v", err)} {
				if strings.Contains(shown, canary) && name != "value in a fault" && name != "value of the file" || strings.Contains(shown, "123456789") {
					t.Errorf("the secret is in\n%s", shown)
				}
			}
		})
	}
}

type leaky struct {
	Password Secret `yaml:"password"`
	URL      string `yaml:"url"`
}

func (l *leaky) Validate() error {
	value, _ := l.Password.Reveal()
	return errors.Join(Fault("url", "cannot reach %s", l.URL), fmt.Errorf("password %q is weak", value))
}

func TestSecret_isTakenOutOfWhatValidateSays(t *testing.T) {
	var c connector
	if err := Decode("f.yaml", []byte("config: {password: "+canary+", url: 'http://${TOKEN}@host'}"), &c, env("TOKEN", "t0k3n-of-a-url")); err != nil {
		t.Fatal(err)
	}
	err := c.Config.Decode(&leaky{})
	want := `f.yaml:1:1: config: password "***" is weak
  1 | config: {password: ***
    | ^^^^^^
f.yaml:1:45: config.url: cannot reach http://${TOKEN}@host
  1 | config: {password: ***
    |                    ^^^`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// UL8: the line break of a shell and the byte order mark of an editor are not part of a secret, from the
// environment or from a file.
func TestSecret_isTrimmedWhereverItComesFrom(t *testing.T) {
	const written = "\ufeffs3cret \r\n"
	path := tempFile(t, "secret", written)
	for _, text := range []string{"${TOKEN}", "${file:" + path + "}"} {
		k, err := decodeSource(t, "brokers: b\npassword: pre-"+text, env("TOKEN", written))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.Password.Reveal(); got != "pre-s3cret " || err != nil {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
}

func TestSecret_isReadAgainWhenItsFileChanges(t *testing.T) {
	path := tempFile(t, "secret", "first\n")
	synctest.Test(t, func(t *testing.T) {
		k, err := decodeSource(t, "brokers: b\npassword: pre-${MID}-${file:"+path+"}", env("MID", "mid"))
		if err != nil {
			t.Fatal(err)
		}
		reveal := func(want string) {
			t.Helper()
			if got, err := k.Password.Reveal(); got != want || err != nil {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
		}
		reveal("pre-mid-first")
		write(t, path, "second, longer")
		reveal("pre-mid-first") // the file was checked less than a second ago
		time.Sleep(2 * time.Second)
		reveal("pre-mid-second, longer")
		time.Sleep(2 * time.Second)
		reveal("pre-mid-second, longer") // nothing changed
	})
}

// U20: a secret whose file was emptied became an empty credential.
func TestSecret_staysForAMinuteAfterItsFileHoldsNone(t *testing.T) {
	path := tempFile(t, "secret", "first")
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := configtest.Pipe(pipe); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		k, err := decodeSource(t, "brokers: b\npassword: pre-${file:"+path+"}")
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []struct {
			name, want string
			make       func() error
		}{
			{"file emptied", path + " is empty: put the value there", func() error { return os.Truncate(path, 0) }},
			{"a line break", path + " is empty: put the value there", func() error { return os.WriteFile(path, []byte("\n"), 0o600) }},
			{"too large", path + " is larger than 1 MiB", func() error { return os.Truncate(path, MaxFile+1) }},
			{"away", "open " + path + ": no such file or directory", func() error { return os.Remove(path) }},
			{"a named pipe", path + " is a named pipe: only a regular file can be read", func() error { return os.Symlink(pipe, path) }},
		} {
			if err := bad.make(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second) // virtual
			if got, err := k.Password.Reveal(); got != "pre-first" || err != nil {
				t.Errorf("%s: revealed %q, %v", bad.name, got, err)
			}
			if got, err := k.Password.Current(); got != "" || err == nil || err.Error() != "read secret: "+bad.want {
				t.Errorf("%s: now %q, %v; want %s", bad.name, got, err, bad.want)
			}
		}
		time.Sleep(staleSecretTTL)
		if got, err := k.Password.Reveal(); got != "" || err == nil || err.Error() != "read secret: "+path+" is a named pipe: only a regular file can be read" {
			t.Errorf("after %v: revealed %q, %v", staleSecretTTL, got, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		write(t, path, "second")
		time.Sleep(2 * time.Second)
		for name, value := range map[string]func() (string, error){"reveal": k.Password.Reveal, "current": k.Password.Current} {
			if got, err := value(); got != "pre-second" || err != nil {
				t.Errorf("%s: got %q, %v", name, got, err)
			}
		}
	})
}

func TestSecret_thatNeverHadAValueSaysWhy(t *testing.T) {
	path := tempFile(t, "secret", "")
	s := SecretFile(path)
	for _, value := range []func() (string, error){s.Reveal, s.Current} {
		if got, err := value(); got != "" || !errors.Is(err, ErrEmpty) || err.Error() != "read secret: "+path+" is empty: put the value there" {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

// U16: while the file system does not answer, one caller waits for it, once.
func TestFollowed_servesTheLastValueWhileAFileHangs(t *testing.T) {
	path := tempFile(t, "secret", "value")
	synctest.Test(t, func(t *testing.T) {
		s := SecretFile(path)
		if _, err := s.Reveal(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second) // virtual: the file is due for a check
		s.s.text.reading.Lock()     // another caller reads it
		begun := time.Now()
		if got, err := s.Reveal(); got != "value" || err != nil || time.Since(begun) != 0 {
			t.Errorf("got %q, %v after %v", got, err, time.Since(begun))
		}
		s.s.text.reading.Unlock()
	})
}

func TestSecret_zeroIsAbsent(t *testing.T) {
	var s Secret
	if value, err := s.Reveal(); value != "" || err != nil || !s.IsZero() || s.Files() != nil {
		t.Errorf("got %q, %v", value, err)
	}
	if v := good(t, "sec: ''"); !v.Sec.IsZero() {
		t.Error("an empty text is a secret")
	}
	if got := SecretFile("/a").Files(); len(got) != 1 || got[0] != "/a" {
		t.Errorf("files %v", got)
	}
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]Bytes{"0": 0, "12": 12, "1.5KiB": 1536, "1 MiB": 1 << 20, "2GB": 2e9, "7B": 7, "3kB": 3000, "1GiB": 1 << 30} {
		if got, err := ParseBytes(text); got != want || err != nil {
			t.Errorf("%q: got %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "1Q", "NaN", "1e300", "MiB"} {
		if _, err := ParseBytes(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
	for size, want := range map[Bytes]string{0: "0", 1000: "1000", 1 << 20: "1MiB", 1536: "1536", 1 << 30: "1GiB", 2048: "2KiB"} {
		if got := size.String(); got != want {
			t.Errorf("%d prints as %s, want %s", int64(size), got, want)
		}
	}
}

func TestErrors_hideAPasswordInAURL(t *testing.T) {
	for _, line := range []string{
		"url: http://user:canary@host/x", "{url: 'https://:canary@host', b: 1}", "url: amqp://user:ca/canary@host",
		"urls: [http://a:canary@b, http://c]", "host: user:canary@host", "{host: 'user:canary@host:80'}", "user:canary@host: 1",
	} {
		var v struct{}
		err := Decode("f.yaml", []byte(line+"\n"), &v)
		if err == nil || strings.Contains(err.Error(), "canary@") {
			t.Errorf("%s: %v", line, err)
		}
	}
	for _, plain := range []string{"http://host/a@b", "ann@example.com", "http://host:80/a", "'a: b@c'"} {
		var v struct {
			URL int `yaml:"url"`
		}
		err := Decode("f.yaml", []byte("url: "+plain+"\n"), &v)
		if err == nil || !strings.Contains(err.Error(), plain) {
			t.Errorf("%s has no password, and is hidden: %v", plain, err)
		}
	}
}

type pointing struct {
	Ref *struct {
		File string `yaml:"file"`
	} `yaml:"ref" secret:"true"`
}

func TestErrors_hideASecretThatStandsWhereItsReferenceIsDue(t *testing.T) {
	for _, text := range []string{
		"ref: " + canary, "ref: [" + canary + "]", "ref: {value: " + canary + "}", "ref: {file: a, value: {x: " + canary + "}}", "{ref: '" + canary + "', other: 1}",
		"ref: |\n  first\n  " + canary + "\n", "ref: 4711081500",
	} {
		var v pointing
		err := Decode("f.yaml", []byte(text+"\n"), &v)
		if err == nil || strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), "4711081500") {
			t.Errorf("%s: %v", text, err)
		}
	}
	var v pointing
	want := "f.yaml:1:13: ref.file: expected text, found a hidden value\n  1 | ref: {file: ***\n    |             ^^^ put it in quotes"
	if err := Decode("f.yaml", []byte("ref: {file: 12}\n"), &v); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if err := Decode("f.yaml", []byte("ref:\n"), &v); err != nil {
		t.Error(err)
	}
}
