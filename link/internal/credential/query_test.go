package credential

import (
	"strings"
	"testing"

	"github.com/lsm/fiso/link/spec"
)

// L4: golang CVE-2022-2880 and similar: one server may see a parameter that another one
// drops.
func TestAPIKeyInTheQuery_removesTheCallersInEverySpelling(t *testing.T) {
	c := mustNew(t, spec.Auth{Type: "apiKey", Query: "api_key", SecretRef: &spec.SecretRef{EnvVar: "TOKEN"}}, new(watch).parts(nil))
	for _, q := range []struct{ name, query, kept string }{
		{"nothing there", "", ""},
		{"alone", "api_key=x", ""},
		{"without a value", "api_key", ""},
		{"first", "api_key=x&a=1", "a=1"},
		{"last", "a=1&api_key=x", "a=1"},
		{"between", "a=1&api_key=x&b=2", "a=1&b=2"},
		{"several", "api_key=x&api_key=y&a=1&api_key=z", "a=1"},
		{"another case", "API_Key=x&a=1", "a=1"},
		{"escaped", "%61pi%5Fkey=x&a=1", "a=1"},
		{"escaped twice", "%2561pi_key=x&a=1", "a=1"},
		{"escaped as older Windows servers do", "%u0061pi_key=x&a=1", "a=1"},
		{"semicolons", "a=1;api_key=x;b=2", "a=1;b=2"},
		{"a semicolon within a value", "a=1;api_key=x&b=2", "a=1;b=2"},
		{"a list", "api_key[]=x&api_key%5B0%5D=y&a=1", "a=1"},
		{"space around", "+api_key%20=x&a=1", "a=1"},
		{"what PHP takes for an underscore", "api.key=x&api+key=y&a=1", "a=1"},
		{"behind a NUL", "api_key%00z=x&a=1", "a=1"},
		{"others byte for byte", "a=%7e&&b=+%zz;c&=x&d=1%26api_key=2&", "a=%7e&&b=+%zz;c&=x&d=1%26api_key=2&"},
		{"names that only look alike", "api_keys=1&xapi_key=2&%=3&[]=4", "api_keys=1&xapi_key=2&%=3&[]=4"},
		{"separators kept", "a=1&&api_key=x", "a=1&"},
		{"a separator at the end", "a=1&api_key=x&", "a=1&"},
	} {
		t.Run(q.name, func(t *testing.T) {
			want := "api_key=c4n4ry-env"
			if q.kept != "" {
				want = q.kept + "&" + want
			}
			out, err := apply(t, c, q.query)
			if err != nil || out.Query != want {
				t.Errorf("%q became %q, want %q (%v)", q.query, out.Query, want, err)
			}
		})
	}
}

// L4, https://github.com/golang/go/issues/78948: thousands of parameters hide none.
// golang/go#78948: one parameter among very many is found too.
func TestAPIKeyInTheQuery_isRemovedAmongMany(t *testing.T) {
	c := mustNew(t, spec.Auth{Type: "apiKey", Query: "k&y", SecretRef: &spec.SecretRef{EnvVar: "TOKEN"}}, new(watch).parts(nil))
	many := strings.Repeat("a=1&", 20000)
	if out, err := apply(t, c, many+"K%26y=x&"+many); err != nil || out.Query != many+many+"&k%26y=c4n4ry-env" {
		t.Error("not as it should be", err)
	}
}

func FuzzWithout(f *testing.F) {
	for _, seed := range []string{"a=1&b=2;c", "key", "k%65y=1&&", "%6", "%u00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		drop := func(name string) bool { return name == "key" }
		got := withoutParameters(query, drop)
		if again := withoutParameters(got, drop); again != got {
			t.Errorf("%q became %q, and then %q", query, got, again)
		}
		if same := withoutParameters(query, func(string) bool { return false }); same != query {
			t.Errorf("%q became %q, with nothing to drop", query, same)
		}
	})
}

// A stored query does not hold the parameter either.
func TestStored_takesItsParameterOffACallersQuery(t *testing.T) {
	for name, test := range map[string]struct {
		auth spec.Auth
		want string
	}{
		"in the query":  {spec.Auth{Type: "apiKey", Query: "api_key", SecretRef: &spec.SecretRef{EnvVar: "KEY"}}, "a=1&b=2"},
		"in the header": {spec.Auth{Type: "apiKey", SecretRef: &spec.SecretRef{EnvVar: "KEY"}}, "a=1&API%5fkey=x&b=2"},
	} {
		c, err := New(&test.auth, Parts{Env: func(string) (string, bool) { return "ours", true }})
		if err != nil {
			t.Fatal(err)
		}
		stored, ok := c.(interface{ WithoutOwn(string) string })
		if got := stored.WithoutOwn("a=1&API%5fkey=x&b=2"); !ok || got != test.want {
			t.Errorf("%s: %s", name, got)
		}
		c.Close()
	}
}
