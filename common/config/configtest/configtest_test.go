package configtest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/config"
)

func TestSpoil_changesEveryValueWithACanaryAndEveryLine(t *testing.T) {
	const file = "a: 1\nb: {c: " + Canary + "}\n"
	seen := map[string]string{}
	for name, text := range Spoil(file) {
		if _, again := seen[name]; again {
			t.Errorf("two ways are called %s", name)
		}
		seen[name] = text
	}
	for name, want := range map[string]string{
		`value 12 on line 2 as "‹,›"`:    "a: 1\nb: {c: " + canaryHead + "," + canaryTail + "}\n",
		`value 12 on line 2 as "[‹›]"`:   "a: 1\nb: {c: [" + Canary + "]}\n",
		"line 1 lost":                    "b: {c: " + Canary + "}\n",
		"line 2 doubled":                 file + "b: {c: " + Canary + "}\n",
		"line 2 first":                   "b: {c: " + Canary + "}\na: 1\n",
		"the file cut at line 2, byte 7": "a: 1\nb: {c: ",
	} {
		if seen[name] != want {
			t.Errorf("%s: got %q, want %q", name, seen[name], want)
		}
	}
	stopped := 0
	for range Spoil(file) {
		if stopped++; stopped == 3 {
			break
		}
	}
	for range Spoil("key: value\n") {
		break
	}
}

// failures records the failures of a test.
type failures struct {
	testing.TB
	said []string
}

func (*failures) Helper() {}

func (f *failures) Errorf(format string, args ...any) {
	f.said = append(f.said, fmt.Sprintf(format, args...))
}

func TestShowsNothingSpoilt_failsWhereACanaryIsShownOrLittleIsRefused(t *testing.T) {
	const file = "b: " + Canary + "\n"
	for _, row := range []struct {
		name string
		read func(text string) error
		want string
	}{
		{"a canary is shown", func(text string) error { return errors.New(text) }, canaryHead},
		{"nothing is refused", func(string) error { return nil }, "only 0 files were refused"},
		{"all are refused, and nothing is shown", func(string) error { return errors.New("refused") }, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &failures{}
			ShowsNothingSpoilt(f, file, 100, row.read)
			if got := strings.Join(f.said, "\n"); (got == "") != (row.want == "") || !strings.Contains(got, row.want) || len(f.said) > 20 {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestShown_findsHalvesInEveryFormOfAnError(t *testing.T) {
	for text, want := range map[string]bool{"a " + canaryHead + " b": true, "a " + canaryTail: true, "all is well": false} {
		if got := Shown(text); (got != "") != want || want && !strings.Contains(got, text) {
			t.Errorf("%q: got %q", text, got)
		}
	}
	if ShownBy(nil) != "" || ShownBy(errors.New(Canary)) == "" || ShownBy(&config.Error{Key: Canary, Message: "m", Code: "C"}) == "" {
		t.Error("a canary is not seen")
	}
	if ShownBy(&config.Error{Message: "m", Code: "C"}) != "" {
		t.Error("a canary is seen where none is")
	}
}

func TestFollowsCAFile_holdsForTheClientOfTLS(t *testing.T) {
	FollowsCAFile(t, func(caFile string) func(address string) (net.Conn, error) {
		client, err := config.TLS{CAFile: caFile, ServerName: "example.com"}.Client()
		if err != nil {
			t.Fatal(err)
		}
		return func(address string) (net.Conn, error) { return tls.Dial("tcp", address, client()) }
	})
}
