package configtest

import (
	"fmt"
	"iter"
	"strings"
	"testing"
)

// ShowsNothingSpoilt calls read with every variant that Spoil makes of text, which holds canaries. It fails
// if an error of read shows a part of a canary, or if fewer than atLeast variants are refused, which would
// test too little. With -short it tries every eighth variant.
func ShowsNothingSpoilt(t testing.TB, text string, atLeast int, read func(text string) error) {
	t.Helper()
	refused, told, one := 0, 0, 1
	if testing.Short() {
		one = 8
	}
	ways := 0
	for how, spoilt := range Spoil(text) {
		if ways++; ways%one != 0 {
			continue
		}
		err := read(spoilt)
		if err != nil {
			refused++
		}
		if shown := ShownBy(err); shown != "" && told < 20 {
			told++
			t.Errorf("%s: %s", how, shown)
		}
	}
	if refused < atLeast/one {
		t.Errorf("only %d files were refused", refused)
	}
}

// Spoil yields named variants of a file with the faults that people make: values with a canary written in
// another form, their keys and lines changed, and lines of the whole file lost, doubled, shifted and cut.
func Spoil(text string) iter.Seq2[string, string] {
	return func(yield func(name, text string) bool) {
		_ = spoilValues(text, yield) && spoilLines(text, yield)
	}
}

// forms are other forms of a value. ‹ is the first half of the canary and › the second; the rest of the
// value stays.
var forms = []string{
	"[‹›]", "[‹, ›]", "[[‹›]]", "{x: ‹›}", "{‹›: x}", "{‹›}", "{x: [‹, ›]}", "- ‹›", "- ‹\n- ›", "? ‹›",
	`"‹›`, `'‹›`, `‹›"`, `‹›'`, `"‹›"x`, `'‹›'x`, `"‹"›`, `"‹\›"`, `"‹›\`, `"‹\n›"`, "‹'›", `‹"›`, "'‹''›'",
	"‹,›", "‹, ›", "‹,›: x", "‹: ›", "‹:›", "‹ #›", "‹#›", "‹\t›", "‹  ›", "‹›:",
	"‹›: ", ": ‹›", ":‹›", ",‹›", "‹;›", "‹=›",
	"@‹›", "`‹›", "%‹›", "*‹›", "&‹›", "&‹ ›", "!‹›", "!‹ ›", "|‹›", ">‹›", "|", "| ‹›", ">- ‹›",
	"-‹›", "--- ‹›", "...‹›", "\\‹›", "~‹›", "=‹›", "<<: ‹›",
	"{‹›", "[‹›", "‹›}", "‹›]", "‹}›", "‹]›", "{‹: ›", "[‹: ›]", "({‹›})",
	"‹\n        ›", "‹\n  ›", "‹\n›", "\n‹›", "\n        ‹›", "\n        ‹›: x", "|\n        ‹›", "|\n  ‹›", "|\n‹›",
	">\n        ‹\n        ›", "|\n        ‹\n     ›",
	"${‹›", "$${‹›}", "${file:‹›}", "‹›${", "‹${›", "${:-‹›}", "${NOT_SET}‹›", "{secretRef: ‹›}", "{secretRef: {name: ‹›}}",
	"{secretRef: {name: '‹/›', key: k}}", "{secretRef: [‹›]}",
	"-----BEGIN PRIVATE KEY-----‹›",
	"|\n        -----BEGIN PRIVATE KEY-----\n        ‹›\n        -----END PRIVATE KEY-----", `"-----BEGIN PRIVATE KEY-----\n‹›\n"`,
	"‹›\xff", "‹›\x00", "‹›\x1b[0m", "\ufeff‹›", "‹›\u00a0",
	"http://u:‹›@h:99999/", "http://h:99x/x?key=‹›", "http:/u:‹›@h/", "u:‹›@h",
	"/x?key=‹›", "‹://u:›@h",
	"true ‹›", "5‹›", "5 ‹›", "null ‹›", "2026-01-01T00:00:00Z ‹›", "!!int ‹›", "!!binary ‹›", "!!map ‹›", "!!str [‹›]",
}

func spoilValues(text string, yield func(name, text string) bool) bool {
	for at := 0; ; {
		i := strings.Index(text[at:], Canary)
		if i < 0 {
			return true
		}
		from := at + i
		at = from + len(Canary)
		where := fmt.Sprintf("value %d on line %d", from, strings.Count(text[:from], "\n")+1)
		start, end := extent(text, from)
		before, behind := strings.Trim(text[start:from], `"'`), strings.Trim(text[at:end], `"'`)
		for _, form := range forms {
			value := strings.NewReplacer("‹", before+canaryHead, "›", canaryTail+behind).Replace(form)
			if !yield(fmt.Sprintf("%s as %q", where, form), text[:start]+value+text[end:]) {
				return false
			}
		}
	}
}

// extent returns where the value around a canary begins and ends.
func extent(text string, at int) (start, end int) {
	start = strings.LastIndexAny(text[:at], " \t\n[{,") + 1
	end = len(text)
	if i := strings.IndexAny(text[at:], " \t\n]},"); i >= 0 {
		end = at + i
	}
	return start, end
}

func spoilLines(text string, yield func(name, text string) bool) bool {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		before, behind := strings.Join(lines[:i], ""), strings.Join(lines[i+1:], "")
		indent := line[:len(line)-len(strings.TrimLeft(line, " -"))]
		rest := line[len(indent):]
		key, value, keyed := strings.Cut(rest, ":")
		others := map[string]string{
			"lost": "", "doubled": line + line, "first": "", "last": "",
			"shifted by 1": " " + line, "shifted by 2": "  " + line, "shifted by 8": "        " + line,
			"shifted back by 1": restore(line, 1), "shifted back by 2": restore(line, 2), "at the margin": rest,
			"with a tab": "\t" + line, "with a tab behind": indent + "\t" + rest, "with a dash": indent + "- " + rest,
			"without a dash": strings.ReplaceAll(indent, "-", " ") + rest,
			"behind ]":       "]\n" + line, "behind }": "}\n" + line, "behind a quote": "\"\n" + line, "behind a colon": ":\n" + line,
			"behind a word": indent + "word\n" + line, "behind zebra": indent + "zebra: 1\n" + line,
			"before ]": line + "]\n", "before a quote": line + "'\n", "before a merge": line + indent + "<<: x\n",
			"before a document": line + "---\n", "behind a document": "---\n" + line,
			"half a comment": indent + "# " + rest, "with a NUL": line[:len(line)/2] + "\x00" + line[len(line)/2:],
			"with a BOM": "\ufeff" + line, "not UTF-8": line[:len(line)/2] + "\xff" + line[len(line)/2:],
		}
		if keyed && len(key) > 1 {
			for name, k := range map[string]string{
				"misspelt": key[:len(key)-1] + ":", "longer": key + "s:", "of another": "zebra:", "in capitals": strings.ToUpper(key) + ":",
				"with a blank": key + " :", "quoted": `"` + key + `":`, "half quoted": `"` + key + ":",
				"without its colon": key, "with =": key + "=", "with a question": "? " + key + ":", "in a list": "[" + key + "]:", "empty": ":",
				"an alias": "*" + key + ":",
			} {
				others["with its key "+name] = indent + k + value
			}
		}
		for name, other := range others {
			whole := before + other + behind
			switch name {
			case "first":
				whole = rest + before + behind
			case "last":
				whole = before + behind + line
			}
			if !yield(fmt.Sprintf("line %d %s", i+1, name), whole) {
				return false
			}
		}
		for cut := 0; cut < len(line); cut += 7 {
			if !yield(fmt.Sprintf("the file cut at line %d, byte %d", i+1, cut), before+line[:cut]) {
				return false
			}
		}
	}
	return true
}

func restore(line string, n int) string {
	return strings.TrimPrefix(line, strings.Repeat(" ", n))
}
