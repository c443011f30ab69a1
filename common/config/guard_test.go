package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// sized makes texts of about that many bytes.
type sized int

func (size sized) repeat(head, s string) string {
	return head + strings.Repeat(s, (int(size)-len(head)-2500)/len(s))
}

func (size sized) numbered(format string) string {
	var b strings.Builder
	for i := 0; b.Len() < int(size)-2500; i++ {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func (size sized) staircase(step string) string {
	var b strings.Builder
	for i := 0; b.Len()+i+len(step) < int(size); i++ {
		b.WriteString(strings.Repeat(" ", i) + step)
	}
	return b.String()
}

// hostile returns files that are expensive for some YAML reader, or would be for this one without its
// limits.
func (size sized) hostile() map[string]string {
	long := strings.Repeat("k", 900)
	return map[string]string{
		"flow lists":         size.repeat("", "["),
		"flow lists, closed": strings.Repeat("[", int(size)/2) + strings.Repeat("]", int(size)/2),
		"flow maps":          size.repeat("", "{"),
		"flow maps, keyed":   size.repeat("", "{a: "),
		"flow both":          size.repeat("", "[{a: "),
		"flow reopened":      size.repeat("a: ", "[]{}"),
		"block maps":         size.staircase("a:\n"),
		"block lists":        size.repeat("", "- "),
		"block both":         size.staircase("- a:\n"),
		"compact lists":      size.repeat("", "- - - a\n"),
		"many keys":          size.numbered("k%d: v\n"),
		"many empty keys":    size.numbered("k%d:\n"),
		"many flow keys":     "{" + size.numbered("k%d: v, ") + "}",
		"many flow names":    "{" + size.numbered("k%d, ") + "}",
		"many small maps":    "a:\n" + size.numbered("- {a: 1, b: %d}\n"),
		"many flow empties":  size.repeat("a: [", ",") + "]",
		"many empties":       size.repeat("", "-\n"),
		"many items":         size.repeat("", "- a\n"),
		"many list items":    size.repeat("a: [", "a,"),
		"many documents":     size.repeat("", "---\n"),
		"documents, keyed":   size.repeat("", "---\na: b\n"),
		"many anchors":       size.numbered("- &a%d b\n"),
		"many aliases":       size.repeat("a: &a b\nc:\n", "- *a\n"),
		"many merges":        size.repeat("a: &a {b: c}\nd:\n", "- <<: *a\n"),
		"less-thans":         size.repeat("", "<"),
		"less-thans, spaced": size.repeat("", "< "),
		"merge keys":         size.repeat("", "<<: "),
		"merge keys, spaced": size.repeat("", "<<      "),
		"blank in a literal": size.repeat("a: |\n", " \n"),
		"gaps in a literal":  size.repeat("a: |\n", "  x\n"+strings.Repeat(" \n", 99)),
		"gaps, many":         size.repeat("a:\n", "- |\n  x\n"+strings.Repeat("\n", 98)),
		"late gap":           size.repeat("a: |\n", "  xxxxxxxx\n") + strings.Repeat(" \n", 90),
		"folded":             size.repeat("a: >\n", "  x\n\n"),
		"literal":            size.repeat("a: |\n", "  x\n"),
		"plain lines":        size.repeat("a: b\n", "  x\n"),
		"plain words":        size.repeat("a: ", "x "),
		"open quote":         size.repeat("a: \"", "x\n"),
		"open quote, single": size.repeat("a: '", "''\n"),
		"escapes":            size.repeat("a: \"", `\n`) + `"`,
		"bad escapes":        size.repeat("a: \"", `\q`),
		"comments":           size.repeat("", "# c\n"),
		"comment":            size.repeat("", "#"),
		"colons":             size.repeat("", ":"),
		"colons, spaced":     size.repeat("", ": "),
		"dashes":             size.repeat("", "-"),
		"questions":          size.repeat("", "? "),
		"question lines":     size.repeat("", "? a\n"),
		"tags":               size.repeat("", "!a "),
		"bangs":              size.repeat("a: ", "!"),
		"tags, commas":       size.repeat("[", "!a,"),
		"directives":         size.repeat("", "%a\n"),
		"commas":             size.repeat("", ","),
		"closers":            size.repeat("", "]"),
		"tabs":               size.repeat("", "\t"),
		"tabs, keyed":        size.repeat("a:", "\tb"),
		"carriage returns":   size.repeat("", "a\r\n"),
		"bare returns":       size.repeat("a: b", "\r"),
		"pipes":              size.repeat("", "|\n"),
		"quotes":             size.repeat("", "'' "),
		"quoted keys":        size.repeat("", `"a": `),
		"spaces":             size.repeat("", " "),
		"one word":           size.repeat("", "x"),
		"nested long keys":   long + ":\n  " + long + ":\n" + size.numbered("    k%d: v\n"),
		"one long key":       size.repeat("", "k") + ": {a: b}",
		"wide characters":    size.repeat("a: ", "é"),
		"not UTF-8":          size.repeat("", "\xff"),
		"zeros":              size.repeat("", "\x00"),
		"references":         size.repeat("s: ", "${A}"),
		"open references":    size.repeat("s: ", "${"),
		"quoted key unknown": "\"" + size.repeat("", "q") + "\": 1",
		"secret lines":       size.repeat("", "password: x\n"),
		"secret words":       size.repeat("z: ", "password:x token:x "),
		"bomb":               bomb(),
		"expanding bomb":     "s: &a \"" + strings.Repeat("${A}", 100_000) + "\"\nl:\n" + strings.Repeat("- *a\n", 9000),
	}
}

// bomb is a "billion laughs" file.
func bomb() string {
	s := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 12; i++ {
		s += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	return s
}

// F19: the faults of https://github.com/kubernetes/kubernetes/issues/83253 (CVE-2019-11253) and
// https://github.com/go-yaml/yaml/issues/515, and of a walk that bypassed the library's own limit,
// https://github.com/golang/vulndb/issues/4768.
//
// Every file is tried at a quarter of the size limit, and the slowest ones at the full limit.
func TestDecode_isBoundedOnHostileFiles(t *testing.T) {
	size := sized(MaxFile / 4)
	if raceEnabled {
		size = MaxFile / 32 // the race detector is slow, and larger files show it nothing new
	}
	if testing.Short() {
		size /= 4
	}
	for name, text := range size.hostile() {
		t.Run(name, func(t *testing.T) { bounded(t, text) })
	}
	if raceEnabled || testing.Short() {
		return
	}
	worst := sized(MaxFile).hostile()
	for _, name := range []string{"flow reopened", "many flow empties", "closers", "late gap", "gaps, many", "many list items", "secret words", "references", "blank in a literal"} {
		t.Run(name+", 1 MiB", func(t *testing.T) { bounded(t, worst[name]) })
	}
}

func bounded(t *testing.T, text string) {
	limit := 3 * time.Second // CPU time; each takes less than one second
	var v struct {
		A any      `yaml:"a"`
		S string   `yaml:"s"`
		L []string `yaml:"l"`
	}
	value := func(string) (string, bool) { return "value", true }
	began := spent()
	err := Decode("hostile.yaml", []byte(text), &v, Interpolate(), Env(value))
	shown := fmt.Sprint(err)
	// The memory of the race detector does not count; .ci/run also runs this test without it.
	if took := spent() - began; took > limit && !raceEnabled {
		t.Errorf("took %v, want at most %v", took, limit)
	}
	if len(shown) > 1<<20 {
		t.Errorf("an error text of %d bytes", len(shown))
	}
}

// One line may hold all credentials of a file, and a credential may be long: hiding one must not walk the
// whole line or the whole value again.
func TestConceal_isBoundedOnHostileFiles(t *testing.T) {
	const n = 3000
	size := MaxFile - 1<<15
	if raceEnabled {
		size /= 8 // the race detector is slow, and larger files show it nothing new
	}
	pad := strings.Repeat("x", size/n-16)
	pairs := func(value string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "k%d: %s, ", i, value)
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"texts":              "h: {" + pairs(pad) + "}",
		"quoted texts":       "h: {" + pairs("'"+pad+"'") + "}",
		"quoted secrets":     "l: [" + strings.Repeat("'"+pad+"', ", n) + "]",
		"a raw and a fault":  "{r: {" + pairs(pad) + "}, zebra: 1}",
		"a secret of blanks": "l: '" + strings.Repeat(" ", size) + "x'",
		"a secret of lines":  "l: \"x" + strings.Repeat("\n x", size/3) + "\"",
	} {
		t.Run(name, func(t *testing.T) {
			var v struct {
				H map[string]string `yaml:"h" secret:"true"`
				L []Secret          `yaml:"l"`
				R Raw               `yaml:"r"`
			}
			began := spent()
			err := Decode("hostile.yaml", []byte(text), &v)
			if took := spent() - began; took > 3*time.Second && !raceEnabled { // CPU time; each takes less than one second
				t.Errorf("took %v", took)
			}
			if want := strings.Contains(text, "zebra"); (err != nil) != want {
				t.Errorf("got %.200v, want a fault: %v", err, want)
			}
		})
	}
}
