package urlpath

import (
	"errors"
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
)

func TestRules_match(t *testing.T) {
	for name, test := range map[string]struct {
		patterns []string
		path     string
		want     bool
	}{
		"itself":                          {[]string{"/a/b"}, "/a/b", true},
		"not the trailing slash":          {[]string{"/a/b"}, "/a/b/", false},
		"not below":                       {[]string{"/a/b"}, "/a/b/c", false},
		"a wildcard in a segment":         {[]string{"/a/*.json"}, "/a/x.json", true},
		"a wildcard is one segment":       {[]string{"/a/*"}, "/a/b/c", false},
		"a wildcard is not nothing":       {[]string{"/a/*"}, "/a/", false},
		"several wildcards":               {[]string{"/a*b*c"}, "/axbxbxc", true},
		"several wildcards, no":           {[]string{"/a*b*c"}, "/axbxbx", false},
		"all below":                       {[]string{"/api/v2/**"}, "/api/v2/contacts/1", true},
		"all below, itself":               {[]string{"/api/v2/**"}, "/api/v2", true},
		"all below, with a slash":         {[]string{"/api/v2/**"}, "/api/v2/", true},
		"all below, no sibling":           {[]string{"/api/v2/**"}, "/api/v22", false},
		"everything":                      {[]string{"/**"}, "/", true},
		"in the middle":                   {[]string{"/a/**/z"}, "/a/b/c/z", true},
		"in the middle, none":             {[]string{"/a/**/z"}, "/a/z", true},
		"in the middle, no":               {[]string{"/a/**/z"}, "/a/b/c", false},
		"twice":                           {[]string{"/**/b/**/d"}, "/a/b/c/b/x/d", true},
		"case counts":                     {[]string{"/a/**"}, "/A/b", false},
		"an escape is not its character":  {[]string{"/a:b"}, "/a%3Ab", false},
		"the form of a pattern":           {[]string{"/über/%7euser"}, "/%C3%BCber/~user", true},
		"any of them":                     {[]string{"/a", "/b"}, "/b", true},
		"none of them":                    {[]string{"/a", "/b"}, "/c", false},
		"no pattern at all":               {nil, "/a", false},
		"parameters at the end":           {[]string{"/a/*"}, "/a/b;v=1", true},
		"parameters before the end":       {[]string{"/a/*/c"}, "/a/b;v=1/c", false},
		"parameters that change the path": {[]string{"/a/b;v=1"}, "/a/b;v=1", false},
		"parameters, escaped":             {[]string{"/a/b%3Bv=1"}, "/a/b%3Bv=1", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := mustRules(t, test.patterns...).Allow(test.path); (got == nil) != test.want {
				t.Errorf("%v allows %s: %v", test.patterns, test.path, got)
			}
		})
	}
}

func TestRules_ofNobodyAllowAll(t *testing.T) {
	if (*Rules)(nil).Allow("/x") != nil {
		t.Error("no rules refuse a path")
	}
}

func TestNewRules_saysWhichPatternIsWrong(t *testing.T) {
	for in, want := range map[string]string{
		"api/**":  `pattern "api/**": the path does not begin with a slash`,
		"/a/**b":  `pattern "/a/**b": "**b": ** must be a whole segment, as in /api/**`,
		"/a//b":   `pattern "/a//b": the path has an empty segment, as in //`,
		"/a/../b": `pattern "/a/../b": the path has a segment of dots (. or ..)`,
	} {
		_, err := NewRules([]string{"/fine", in})
		var p *PatternError
		if !errors.As(err, &p) || p.Index != 1 || err.Error() != want {
			t.Errorf("%s: got %v", in, err)
		}
	}
}

// A pattern with many wildcards costs no more than pattern times path.
func TestRules_doNotBlowUp(t *testing.T) {
	r := mustRules(t, "/"+strings.Repeat("**/*a*a*a*b/", 20)+"end")
	long := "/" + strings.Repeat("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/", 500)
	if r.Allow(long) == nil {
		t.Error("it matched")
	}
}

// readings are the ways in which servers read a path. Each of them, and any four in
// sequence, must stay within what was allowed.
var readings = map[string]func(string) string{
	"as it is":    func(s string) string { return s },
	"decoded":     decode,
	"backslashes": func(s string) string { return strings.ReplaceAll(s, `\`, "/") },
	"without parameters": func(s string) string {
		parts := strings.Split(s, "/")
		for i := range parts {
			parts[i], _, _ = strings.Cut(parts[i], ";")
		}
		return strings.Join(parts, "/")
	},
	"folded":       strings.ToLower,
	"cut at a NUL": cutAt("\x00"),
	"cut at a ?":   cutAt("?"),
	"cut at a #":   cutAt("#"),
	"cut at a ;":   cutAt(";"),
	"by NFKC":      norm.NFKC.String,
	"trimmed": func(s string) string {
		parts := strings.Split(s, "/")
		for i := range parts {
			parts[i] = strings.TrimSpace(parts[i])
		}
		return strings.Join(parts, "/")
	},
	"cleaned": func(s string) string {
		c := path.Clean(s)
		if strings.HasSuffix(s, "/") && c != "/" {
			c += "/"
		}
		return c
	},
}

func cutAt(mark string) func(string) string {
	return func(s string) string { s, _, _ = strings.Cut(s, mark); return s }
}

// decode is a lenient decoder: it leaves invalid escapes.
func decode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c, ok := unescape(s, i); s[i] == '%' && ok {
			b.WriteByte(c)
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// staysInside assumes rules without letters that folding changes, and patterns without
// escapes.
func staysInside(t *testing.T, rules *Rules, canon string) {
	t.Helper()
	seen := map[string]string{canon: ""} // value: the readings that led to it
	for todo := []string{canon}; len(todo) > 0; todo = todo[1:] {
		from := todo[0]
		for name, read := range readings {
			as := read(from)
			if _, ok := seen[as]; ok {
				continue
			}
			if seen[as] = seen[from] + ", " + name; !rules.match(as) {
				t.Fatalf("%q is allowed, and a server that reads it%s sees %q, which is not", canon, seen[as], as)
			}
			if strings.Count(seen[as], ",") < 4 {
				todo = append(todo, as)
			}
		}
	}
}

// L2, UL15, https://nvd.nist.gov/vuln/detail/CVE-2019-9901: whatever is allowed is inside
// allowedPaths for every server behind it: random paths of the pieces that attacks
// are made of.
func TestRules_holdForEveryReadingOfThePath(t *testing.T) {
	pieces := []string{
		"/", "/", "/", "public", "admin", "users", "photo", "a", ".", "..", "%2e", "%2E", "%252e", "%2f", "%5c", `\`, ";", "%3b", ";x=1", "%", "%25", "%00",
		"%c0%af", "%C3%BC", "?", "#", " ", "*", "**", ":", "@", "{", "%7b", "A", "u002f", "%u002f", "25", "2f", "2e",
		"%3F", "%23", "%20", "+", "%E2%80%A5", "%EF%BC%8E", "%EF%BC%8F", "%EF%BC%85", "%EF%BC%9F", "%EF%BC%9B", "%EF%BC%92", "%E3%80%80", "/photo",
	}
	rules := mustRules(t, "/public/**", "/users/*/photo")
	random := rand.New(rand.NewPCG(1, 2))
	allowed := 0
	for range 30_000 {
		var b strings.Builder
		b.WriteString([]string{"/public/", "/users/", "/", "/public"}[random.IntN(4)])
		for range 1 + random.IntN(8) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		canon, err := Path(b.String(), false)
		if err != nil || rules.Allow(canon) != nil {
			continue
		}
		allowed++
		staysInside(t, rules, canon)
	}
	if allowed < 300 {
		t.Errorf("only %d paths were allowed: the test says little", allowed)
	}
}
