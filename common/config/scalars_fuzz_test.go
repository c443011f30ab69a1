package config

import (
	"math/big"
	"strings"
	"testing"
)

// FuzzParseBytes: a size is its number times its unit, and parsing the result of String gives the same
// size.
func FuzzParseBytes(f *testing.F) {
	for _, s := range []string{"", "0", "1MiB", "1.5 GiB", "512", "-1", "1e3kB", "9007199254740993", "1e999", "NaN", "Inf", "0x10", "1_000", " 7 B ", "KiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		size, err := ParseBytes(s)
		if err != nil {
			if size != 0 || !strings.Contains(err.Error(), "is not a size") {
				t.Errorf("%q: %d, %v", s, size, err)
			}
			return
		}
		if size < 0 || size > 1<<53 {
			t.Fatalf("%q is %d", s, size)
		}
		if again, err := ParseBytes(size.String()); err != nil || again != size {
			t.Errorf("%q is %s, which is %d, %v", s, size, again, err)
		}
		text, factor := strings.TrimSpace(s), int64(1)
		for _, u := range []struct {
			suffix string
			factor int64
		}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}} {
			if number, ok := strings.CutSuffix(text, u.suffix); ok {
				text, factor = strings.TrimSpace(number), u.factor
				break
			}
		}
		if exact, ok := new(big.Rat).SetString(text); ok && !strings.Contains(text, "/") {
			exact.Mul(exact, new(big.Rat).SetInt64(factor))
			off := new(big.Rat).Sub(exact, new(big.Rat).SetInt64(int64(size)))
			if off.Abs(off).Cmp(big.NewRat(2, 1)) >= 0 { // float64 rounds, and the fraction is dropped
				t.Errorf("%q is %s, and became %d", s, exact.FloatString(3), size)
			}
		}
	})
}

// FuzzParseParts: the parts of a text, joined again with $${ for each ${ in plain text, are the text.
func FuzzParseParts(f *testing.F) {
	for _, s := range []string{"", "plain", "${A}", "a${A:-b}c${file:/x}", "$${A}", "$$${A}", "${", "${}", "${A:-}}", "${A:-${B}}", "${file:x}", "é${É}", "$", "$$"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parts, err := parseParts(s)
		if err != nil {
			if !strings.Contains(s, "${") || len(parts) != 1 || parts[0].offset < 0 || parts[0].offset > len(s) {
				t.Errorf("%q: %+v, %v", s, parts, err)
			}
			return
		}
		var b strings.Builder
		for _, p := range parts {
			switch {
			case p.file != "":
				b.WriteString("${file:" + p.file + "}")
			case p.env != "" && p.fallback != nil:
				b.WriteString("${" + p.env + ":-" + *p.fallback + "}")
			case p.env != "":
				b.WriteString("${" + p.env + "}")
			default:
				b.WriteString(strings.ReplaceAll(p.literal, "${", "$${"))
			}
		}
		if b.String() != s {
			t.Errorf("%q became %+v, which is %q", s, parts, b.String())
		}
	})
}
