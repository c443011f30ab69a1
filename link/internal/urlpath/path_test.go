package urlpath

import (
	"errors"
	"strings"
	"testing"
)

func TestPath_hasOneForm(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"plain":                       {"/api/v2/contacts", "/api/v2/contacts"},
		"root":                        {"/", "/"},
		"trailing slash":              {"/a/", "/a/"},
		"unreserved escapes":          {"/%61%2d%7E", "/a-~"},
		"lower-case digits":           {"/a%3ab%c3%bc", "/a%3Ab%C3%BC"},
		"delimiters stay":             {"/a:b@c!$&'()*+,=", "/a:b@c!$&'()*+,="},
		"unwise characters":           {`/{a}|"b"[0]`, "/%7Ba%7D%7C%22b%22%5B0%5D"},
		"parameters":                  {"/a;v=1/b", "/a;v=1/b"},
		"dots inside":                 {"/v1.2/..a/...", "/v1.2/..a/..."},
		"a percent sign of the text":  {"/100%25", "/100%25"},
		"a percent sign, then no hex": {"/5%25%20off", "/5%25%20off"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Path(test.in, false)
			if err != nil || got != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

// L2, https://nvd.nist.gov/vuln/detail/CVE-2025-66490: what was a way around a check
// elsewhere has no form here.
func TestPath_refusesWhatCanBeReadInTwoWays(t *testing.T) {
	for in, want := range map[string]error{
		"":                          ErrNoSlash,
		"admin":                     ErrNoSlash,
		"/a/../b":                   ErrDots, // https://nvd.nist.gov/vuln/detail/CVE-2019-9901
		"/a/..":                     ErrDots,
		"/./a":                      ErrDots, // https://github.com/cisagov/Malcolm/issues/1106
		"/a/%2e%2e/b":               ErrDots, // https://github.com/traefik/traefik/issues/11746
		"/a/.%2E/b":                 ErrDots,
		"/a/..;/b":                  ErrDots,
		"/a/..;x=1/b":               ErrDots,
		"/a/..%3b/b":                ErrDots,
		"/a//b":                     ErrEmptySegment, // https://nvd.nist.gov/vuln/detail/CVE-2021-31920
		"//a":                       ErrEmptySegment,
		"/a//":                      ErrEmptySegment,
		"/a/;x/b":                   ErrEmptySegment,
		"/a/;x":                     ErrEmptySegment,
		"/public%2f..%2fadmin":      ErrSlash, // https://nvd.nist.gov/vuln/detail/CVE-2026-41491
		"/a%2Fb":                    ErrSlash,
		`/a\b`:                      ErrBackslash,
		"/a%5cb":                    ErrBackslash, // https://nvd.nist.gov/vuln/detail/CVE-2021-29492
		"/a%00b":                    ErrControl,   // https://nvd.nist.gov/vuln/detail/CVE-2025-66490
		"/a%0d%0aX":                 ErrControl,
		"/a\x01":                    ErrControl,
		"/a%":                       ErrEscape,
		"/a%2":                      ErrEscape,
		"/a%zz":                     ErrEscape,
		"/a%u002f":                  ErrEscape,
		"/a%252f..":                 ErrDoubleEscape,
		"/a%25%32f":                 ErrDoubleEscape,
		"/a%25u002f":                ErrDoubleEscape,
		"/a%c0%afb":                 ErrNotUTF8, // an overlong slash
		"/a%e0%80%af":               ErrNotUTF8,
		"/a%ff":                     ErrNotUTF8,
		"/\xc3\xbc":                 ErrNotUTF8,
		"/a b":                      ErrCharacter,
		"/a#b":                      ErrCharacter, // https://nvd.nist.gov/vuln/detail/CVE-2023-47106
		"/a?b":                      ErrCharacter,
		"http://evil.example/admin": ErrNoSlash, // https://nvd.nist.gov/vuln/detail/CVE-2026-88009
	} {
		t.Run(in, func(t *testing.T) {
			if got, err := Path(in, false); !errors.Is(err, want) {
				t.Errorf("got %q, %v; want %v", got, err, want)
			}
		})
	}
}

func TestPath_keepsEncodedSlashesInTheirSegmentWhereTheyAreAllowed(t *testing.T) {
	got, err := Path("/repos/a%2fb/c", true)
	if err != nil || got != "/repos/a%2Fb/c" {
		t.Fatal(got, err)
	}
	rules := mustRules(t, "/repos/*/c")
	if rules.Allow(got) != nil {
		t.Error("the escaped slash was taken for a delimiter")
	}
	if _, err := Path("/a%2f..%5cb", true); !errors.Is(err, ErrBackslash) {
		t.Error(err)
	}
	if got, err = Path("/sites/https%3A%2F%2fexample.com%2F", true); err != nil || got != "/sites/https%3A%2F%2Fexample.com%2F" {
		t.Error(got, err)
	}
}

// L1, https://github.com/dapr/dapr/issues/9803: admin%2F..%2Fpublic.
func TestPath_neverClimbsByAnEncodedSlashWhereItIsAllowed(t *testing.T) {
	for _, raw := range []string{"/public/..%2Fadmin", "/public/a%2f..%2fadmin", "/public/a%2F..", "/public/%2F..", "/public/%2e%2E%2fadmin", "/public/.%2Fa", "/public/..;x%2Fadmin", "/public/a%2F..%3bx/b"} {
		if got, err := Path(raw, true); !errors.Is(err, ErrDots) {
			t.Errorf("%s is %q, %v", raw, got, err)
		}
	}
}

func TestPath_costsNothingWhereItIsCanonicalAlready(t *testing.T) {
	allocations := testing.AllocsPerRun(100, func() {
		if _, err := Path("/services/data/v62.0/sobjects/Contact", false); err != nil {
			t.Fatal(err)
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

func mustRules(t *testing.T, patterns ...string) *Rules {
	t.Helper()
	r, err := NewRules(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func FuzzPath(f *testing.F) {
	for _, seed := range []string{
		"/", "/a/b/", "/%61%2e", "/a%25b", "/public/%C3%BC;x=1", "/a%2Fb", "/public/%25%32%65", "/public/..;/admin", `/public/{a}`, "/public/..%2Fadmin", "/public/%2F/a%2F",
		"/users/a%3F/photo", "/public/..%20/a", "/users/%EF%BC%8F/photo", "/public/%EF%BC%852e", "/public/%25%EF%BC%92e",
	} {
		f.Add(seed)
	}
	public := map[bool]*Rules{}
	for _, slashes := range []bool{false, true} {
		patterns := []string{"/public/**", "/users/*/photo"}
		if slashes {
			patterns = patterns[:1] // a server that decodes sees several segments, which a pattern of one segment cannot match
		}
		r, err := NewRules(patterns)
		if err != nil {
			f.Fatal(err)
		}
		public[slashes] = r
	}
	f.Fuzz(func(t *testing.T, raw string) {
		for slashes, rules := range public {
			canon, err := Path(raw, slashes)
			if err != nil {
				continue
			}
			if again, err := Path(canon, slashes); err != nil || again != canon {
				t.Fatalf("the form of %q is %q, and of that %q, %v", raw, canon, again, err)
			}
			if strings.HasSuffix(raw, "/") != strings.HasSuffix(canon, "/") {
				t.Fatalf("%q lost or won its trailing slash: %q", raw, canon)
			}
			if rules.Allow(canon) == nil {
				staysInside(t, rules, canon)
			}
		}
	})
}
