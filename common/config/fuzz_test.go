package config

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// FuzzDecode: any file is decoded without a panic and in bounded time, and each error has a position in
// the file, a code and a text.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"", "a", "s: x\ni: 5\n", "in: {name: n}\nlist: [{name: a}]\n", "x: |\n  a\n   b\n", "x: >-\n a\n\n b", "s: \"\\u00e9\\\n  b\"",
		"any: &a [*a]", "a: &a [x]\nb: [*a, *a]", "<<: {s: x}", "<<: [{s: x}, 5]", "s: ${A}${B:-c}${file:/x}$${", "sec: {secretRef: {name: a, key: b}}",
		"? a\n: b", "!!str 5", "s: !", "%YAML 1.2\n---\ns: x\n...\n", "---\n---\n", "\tx: y", "s: 'a\n\n b''c'", "{s: x, i: [", "- - - a", "fs: {a: 1, b: null}",
		"password: \"x\ny", "s: x\r\ni: y\r", "\ufeffs: x", "s: a: b", "d: 5", "t: 2026-01-31", "r: {a: b}", "s: *", "s: &", "&a", "*a : b", "[a]: b", "s: |9\n", "s: >+\n\n\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, opts := range [][]Option{{Env(func(string) (string, bool) { return "5", true })}, {Interpolate(), env()}} {
			var v everything
			began := time.Now()
			err := Decode("f.yaml", []byte(text), &v, opts...)
			if took := time.Since(began); took > 5*time.Second {
				t.Fatalf("took %v", took)
			}
			checkErrors(t, text, err)
			if err == nil {
				v.X.At(2, 3)
				Files(&v)
				checkErrors(t, text, v.R.Decode(&everything{}))
			}
		}
	})
}

func checkErrors(t *testing.T, text string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var all Errors
	if !errors.As(err, &all) || len(all) == 0 || err.Error() == "" {
		t.Fatalf("%T %v", err, err)
	}
	lines := strings.Count(text, "\n") + 2
	for i, e := range all {
		if e.Code == "" || e.Message == "" || e.Pos.File == "" || e.Pos.Line > lines || e.Pos.Line < 1 && e.Code != CodeTooLarge {
			t.Errorf("%#v", e)
		}
		if i > 0 && all[i-1].Pos.Line > e.Pos.Line {
			t.Errorf("%v after %v", e.Pos, all[i-1].Pos)
		}
	}
}

// FuzzDecode_agreesWithTheLibrary: a text that both Decode and the library accept means the same to both.
// Texts that are meant to differ (aliases, merge keys, tags, numbers) are skipped.
func FuzzDecode_agreesWithTheLibrary(f *testing.F) {
	for _, seed := range []string{
		"a: b", "a: [b, 'c', \"d\\n\"]", "a:\n- b\n- c: d\n  e: |\n    f\n", "a: >\n  b\n  c\n", "a: {b: true, c: null}", "a: b\n  c", "a:\nb:\n", "'a b': c # d",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsAny(text, "&*<!?%.0123456789~\r\ufeff") {
			t.Skip("the two are meant to differ here: references, tags, numbers")
		}
		var ours, theirs map[string]any
		if Decode("f.yaml", []byte(text), &ours) != nil || yaml.Unmarshal([]byte(text), &theirs) != nil || len(ours) == 0 && len(theirs) == 0 {
			t.Skip("one of them refuses it: there is nothing to compare")
		}
		if hasEmptyKey(theirs) {
			t.Skip("to the library the key null is an empty text, to us it is the word")
		}
		if !reflect.DeepEqual(ours, theirs) {
			t.Errorf("ours %#v\ntheirs %#v", ours, theirs)
		}
	})
}

func hasEmptyKey(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if key == "" || hasEmptyKey(value) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, hasEmptyKey)
	}
	return false
}
