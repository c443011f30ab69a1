package proxy

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/target"
)

// readings returns how servers behind fiso-link may interpret a path.
var readings = map[string]func(string) string{
	"as it is": func(s string) string { return s },
	"decoded": func(s string) string {
		if d, err := url.PathUnescape(s); err == nil {
			return d
		}
		return s
	},
	"backslashes as slashes": func(s string) string { return strings.ReplaceAll(s, `\`, "/") },
	"without parameters":     func(s string) string { return regexp.MustCompile(`;[^/]*`).ReplaceAllString(s, "") },
	"in lower case":          strings.ToLower,
	"up to a NUL":            func(s string) string { s, _, _ = strings.Cut(s, "\x00"); return s },
	"up to a ?":              upTo("?"),
	"up to a #":              upTo("#"),
	"up to a ;":              upTo(";"),
	"cleaned": func(s string) string {
		if c := path.Clean(s); c != "/" && strings.HasSuffix(s, "/") {
			return c + "/"
		}
		return path.Clean(s)
	},
}

func upTo(mark string) func(string) string {
	return func(s string) string { s, _, _ = strings.Cut(s, mark); return s }
}

var inside = regexp.MustCompile(`^/base/(public(/.*)?|users/[^/]+/photo)$`)

// L1, L2: https://github.com/dapr/dapr/issues/9803,
// https://github.com/traefik/traefik/issues/11746,
// https://nvd.nist.gov/vuln/detail/CVE-2021-31920,
// https://nvd.nist.gov/vuln/detail/CVE-2019-9901
//
// Random paths of the pieces that attacks are made of, over a raw connection:
// what the target sees is allowed, however it reads it.
func TestPath_whatTheTargetSeesIsAllowedInEveryReading(t *testing.T) {
	pieces := []string{
		"/", "/", "/", "public", "admin", "users", "photo", "a", ".", "..", "%2e", "%2E", "%252e", "%2f", "%2F", "%5c", `\`, ";", "%3b", ";x=1", "%", "%25",
		"%00", "%c0%af", "%C3%BC", "?", "?/../", "#", "*", ":", "@", "{", "%7b", "%u002f", "25", "2f", "2e", "%09", "%0a", "%3f", "%23", "//", "/./", "/../",
	}
	var saw string
	up := upstream(t, func(_ http.ResponseWriter, r *http.Request) { saw = r.RequestURI })
	addr := serve(t, &Proxy{Guard: Guard{Loopback: true}}, newTarget(t, up, "basePath: /base\nallowedPaths: [/public/**, /users/*/photo]"))
	random := rand.New(rand.NewPCG(3, 4))
	arrived := 0
	for range 1500 {
		var b strings.Builder
		b.WriteString([]string{"/public/", "/users/", "/public/a", "/"}[random.IntN(4)])
		for range 1 + random.IntN(6) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		raw := b.String()
		saw = ""
		status := get(t, addr, "/link/crm"+raw)
		if saw == "" {
			if status != 400 && status != 403 {
				t.Fatalf("%q was answered with %d, and not by the target", raw, status)
			}
			continue
		}
		arrived++
		p, query, hasQuery := strings.Cut(saw, "?")
		sentPath, sentQuery, sentHas := strings.Cut(raw, "?")
		if query != sentQuery || hasQuery != sentHas {
			t.Fatalf("the query of %q became %q", raw, saw)
		}
		if strings.HasSuffix(p, "/") != strings.HasSuffix(sentPath, "/") {
			t.Fatalf("%q lost or won its trailing slash: %q", raw, saw)
		}
		staysInside(t, raw, p)
	}
	if arrived < 100 {
		t.Errorf("only %d of the paths arrived: the test says little", arrived)
	}
}

func staysInside(t *testing.T, raw, p string) {
	t.Helper()
	for one, first := range readings {
		for two, second := range readings {
			for three, third := range readings {
				if got := third(second(first(p))); !inside.MatchString(got) {
					t.Fatalf("%q arrived as %q, which a server that reads it %s, %s, %s takes for %q", raw, p, one, two, three, got)
				}
			}
		}
	}
}

// get sends one request with that request target, unchanged.
func get(t *testing.T, addr, target string) int {
	t.Helper()
	c := dial(t, addr)
	defer func() { _ = c.Close() }() // the test is over
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", target)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(target, err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// L4: https://github.com/golang/go/issues/78948,
// https://github.com/TecharoHQ/anubis/issues/1764
func TestPath_andQueryOnTheWire(t *testing.T) {
	var saw string
	up := upstream(t, func(_ http.ResponseWriter, r *http.Request) { saw = r.RequestURI })
	long := strings.Repeat("a=1&", 4000) + "z"
	for name, test := range map[string]struct{ settings, sent, want string }{
		"a trailing slash":                  {"", "/a/", "/a/"}, // https://github.com/dapr/dapr/issues/9833
		"no slash":                          {"", "", "/"},
		"no slash, with a query":            {"", "?x", "/?x"},
		"a base path":                       {"basePath: /base", "/a", "/base/a"},
		"a base path alone":                 {"basePath: /base", "", "/base/"},
		"a question mark alone":             {"", "/a?", "/a?"},
		"a query byte for byte":             {"", "/a?b=%2f;c&&d=+%zz&e=/../x??", "/a?b=%2f;c&&d=+%zz&e=/../x??"},
		"thousands of parameters":           {"", "/a?" + long, "/a?" + long},
		"the query says nothing of a path":  {"allowedPaths: [/a]", "/a?/b", "/a?/b"},
		"a canonical form":                  {"", "/%61%3ab", "/a%3Ab"},
		"an encoded slash, where it may be": {"encodedSlashes: allow\nallowedPaths: [/a/*/c]", "/a/x%2fy/c", "/a/x%2Fy/c"},
		"an encoded number sign, likewise":  {"allowedCharacters: '#'\nallowedPaths: [/a/*/c]", "/a/x%23y/c", "/a/x%23y/c"},
		"one behind which nothing matters":  {"allowedPaths: [/a/**]", "/a/x%23y/c", "/a/x%23y/c"},
	} {
		t.Run(name, func(t *testing.T) {
			addr := serve(t, &Proxy{}, newTarget(t, up, test.settings))
			if status := get(t, addr, "/link/crm"+test.sent); status != 200 || saw != test.want {
				t.Errorf("%d, the target saw %q", status, saw)
			}
		})
	}
}

// UL15: a server that cuts at an escaped ? sees /api/secret, which no rule allows.
func TestPath_isNotAllowedByWhatAServerCutsOff(t *testing.T) {
	to := newTargetOf(t, "allowedPaths: [/api/*/public]", target.Parts{Transport: always(200, "")})
	w, record := makeCall(t.Context(), to, request("GET", "/link/crm/api/secret%3F/public", ""))
	if record.Code != call.PathNotAllowed || !strings.Contains(w.body.String(), "allowedCharacters says that the target does not") {
		t.Errorf("%+v: %s", record, w.body.String())
	}
}

// L4: paths are matched without their query.
// https://github.com/oauth2-proxy/oauth2-proxy/security/advisories/GHSA-7rh7-c77v-6434
func TestPath_isNotFoundInTheQuery(t *testing.T) {
	to := newTargetOf(t, "allowedPaths: [/public/**]", target.Parts{Transport: always(200, "")})
	for _, path := range []string{"/link/crm/admin?/public/a", "/link/crm/admin?x=/link/crm/public/a", "/link/crm?/public/a"} {
		if _, record := makeCall(t.Context(), to, request("GET", path, "")); record.Code != call.PathNotAllowed {
			t.Errorf("%s: %+v", path, record)
		}
	}
}
