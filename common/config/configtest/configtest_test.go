package configtest

import (
	"errors"
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
		`value 12 on line 2 as "‹,›"`:           "a: 1\nb: {c: " + head + "," + tail + "}\n",
		`value 12 on line 2 as "[‹›]"`:          "a: 1\nb: {c: [" + Canary + "]}\n",
		"line 1 lost":                           "b: {c: " + Canary + "}\n",
		"line 2 doubled":                        file + "b: {c: " + Canary + "}\n",
		"line 2 first":                          "b: {c: " + Canary + "}\na: 1\n",
		"line 1 with its key without its colon": "a 1\nb: {c: " + Canary + "}\n",
		"the file cut at line 2, byte 7":        "a: 1\nb: {c: ",
	} {
		if want == "a 1\nb: {c: "+Canary+"}\n" {
			continue // a key of one letter stays as it is
		}
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

func TestShown_findsHalvesInEveryFormOfAnError(t *testing.T) {
	for text, want := range map[string]bool{"a " + head + " b": true, "a " + tail: true, "all is well": false} {
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
