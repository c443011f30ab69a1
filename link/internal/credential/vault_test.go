package credential

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/spec"
)

// fakeVault behaves like Vault as far as these tests need. vault_integration_test.go
// tests against a real one.
type fakeVault struct {
	mu       sync.Mutex
	asked    map[string]int // by method and path
	tokens   map[string]bool
	logins   int
	life     int               // lifetime of tokens, seconds; 0: unlimited
	longest  int               // lifetime that a renewal grants, seconds; 0: the full lifetime
	fixed    bool              // tokens cannot be renewed
	kv       map[string]string // answers by path
	leased   int               // number of dynamic secrets issued
	lease    int               // their lifetime, seconds
	lastBody string
	status   int // status of every answer; 0: the regular one
	takes    time.Duration
}

func newFakeVault() *fakeVault {
	return &fakeVault{asked: map[string]int{}, tokens: map[string]bool{canary + "-env": true}, kv: map[string]string{}, lease: 90}
}

func (f *fakeVault) count(what string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[what]
}

func (f *fakeVault) change(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
}

func (f *fakeVault) serve(w http.ResponseWriter, r *http.Request) {
	if f.takes > 0 {
		select {
		case <-time.After(f.takes):
		case <-r.Context().Done():
			return
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	f.asked[path]++
	fail := func(code int) {
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"errors":["%s"]}`, canary)
	}
	body, _ := io.ReadAll(r.Body)
	switch {
	case f.status != 0:
		w.Header().Set("Location", "http://elsewhere.example.com/"+canary)
		fail(f.status)
	case strings.HasSuffix(path, "/login"):
		f.lastBody = string(body)
		f.logins++
		token := fmt.Sprintf("%s-token-%d", canary, f.logins)
		f.tokens[token] = true
		fmt.Fprintf(w, `{"auth":{"client_token":%q,"lease_duration":%d,"renewable":%t}}`, token, f.life, !f.fixed)
	case !f.tokens[r.Header.Get("X-Vault-Token")]:
		fail(403)
	case path == "auth/token/lookup-self":
		fmt.Fprintf(w, `{"data":{"ttl":%d,"renewable":%t}}`, f.life, !f.fixed)
	case path == "auth/token/renew-self":
		fmt.Fprintf(w, `{"auth":{"client_token":"x","lease_duration":%d,"renewable":true}}`, f.left(f.life))
	case path == "sys/leases/renew":
		f.lastBody = string(body)
		fmt.Fprintf(w, `{"lease_id":"l","lease_duration":%d,"renewable":true}`, f.left(f.lease))
	case path == "database/creds/app":
		f.leased++
		fmt.Fprintf(w, `{"lease_id":"database/%d","lease_duration":%d,"renewable":true,"data":{"username":"user%d","password":"pass%d"}}`, f.leased, f.lease, f.leased, f.leased)
	case f.kv[path] != "":
		_, _ = io.WriteString(w, f.kv[path])
	default:
		fail(404)
	}
}

func (f *fakeVault) left(life int) int {
	if f.longest > 0 {
		return f.longest
	}
	return life
}

// vaultBy returns a Vault that uses the fake, with auth by token unless changed.
func vaultBy(t *testing.T, w *watch, f *fakeVault, change ...func(*spec.Vault)) *Vault {
	t.Helper()
	s := &spec.Vault{Address: "http://vault.example.com:8200", Auth: spec.VaultAuth{Method: "token", TokenRef: &spec.SecretRef{EnvVar: "TOKEN"}}}
	for _, fn := range change {
		fn(s)
	}
	v, err := NewVault(s, w.parts(nil))
	if err != nil {
		t.Fatal(err)
	}
	v.http.Transport = wire(f.serve)
	t.Cleanup(v.Close)
	return v
}

func fromVault(path, key string) *spec.SecretRef {
	return &spec.SecretRef{VaultRef: &spec.VaultRef{Path: path, Key: key}}
}

func bearerFrom(t *testing.T, w *watch, v *Vault, path, key string) Credential {
	t.Helper()
	return mustNew(t, spec.Auth{Type: "bearer", SecretRef: fromVault(path, key)}, w.parts(v))
}

func TestVault_logsInByEachMethod(t *testing.T) {
	jwtFile := secretFile(t, "sa-jwt")
	for _, c := range []struct {
		name, path, body string
		change           func(*spec.Vault)
	}{
		{"kubernetes", "auth/kubernetes/login", `{"jwt":"sa-jwt","role":"app"}`, func(s *spec.Vault) {
			s.Auth = spec.VaultAuth{Method: "kubernetes", Role: "app", TokenFile: jwtFile}
		}},
		{"another mount", "auth/k8s-eu/login", `{"jwt":"sa-jwt","role":"app"}`, func(s *spec.Vault) {
			s.Auth = spec.VaultAuth{Method: "kubernetes", Role: "app", TokenFile: jwtFile, Mount: "k8s-eu"}
		}},
		{"approle", "auth/approle/login", `{"role_id":"r","secret_id":"c4n4ry-env"}`, func(s *spec.Vault) {
			s.Auth = spec.VaultAuth{Method: "approle", RoleID: "r", SecretID: &spec.SecretRef{EnvVar: "TOKEN"}}
		}},
		{"token", "auth/token/lookup-self", "", func(*spec.Vault) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, f := &watch{}, newFakeVault()
				f.kv["kv/crm"] = `{"data":{"token":"one"}}`
				v := vaultBy(t, w, f, c.change)
				sends(t, bearerFrom(t, w, v, "/kv/crm/", "token"), "Authorization", "Bearer one")
				if f.count(c.path) != 1 || f.lastBody != c.body {
					t.Errorf("asked %v with %s", f.asked, f.lastBody)
				}
			})
		})
	}
}

// UL8: the line break at the end of VAULT_TOKEN is removed.
func TestVault_trimsTheTokenOfTheEnvironment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, f := &watch{}, newFakeVault()
		f.kv["p"] = `{"data":{"k":"v"}}`
		p := w.parts(nil)
		p.Env = func(string) (string, bool) { return "\ufeff" + canary + "-env\n", true }
		v, err := NewVault(&spec.Vault{Address: "http://vault.example.com:8200", Auth: spec.VaultAuth{Method: "token"}}, p)
		if err != nil {
			t.Fatal(err)
		}
		v.http.Transport = wire(f.serve)
		t.Cleanup(v.Close)
		sends(t, bearerFrom(t, w, v, "p", "k"), "Authorization", "Bearer v")
	})
}

func TestVault_readsBothVersionsOfKV(t *testing.T) {
	for _, c := range []struct{ name, answer, key, want, words string }{
		{"version 1", `{"data":{"k":"v"}}`, "k", "v", ""},
		{"version 2", `{"data":{"data":{"k":"v"},"metadata":{"version":3}}}`, "k", "v", ""},
		{"a field named data in version 1", `{"data":{"data":"v"}}`, "data", "v", ""},
		{"a number", `{"data":{"k":12345678901234567890}}`, "k", "12345678901234567890", ""},
		{"a value with a line break at its end", `{"data":{"k":"\ufeffv\r\n"}}`, "k", "v", ""}, // UL8
		{"a truth", `{"data":{"k":true}}`, "k", "true", ""},
		{"no such field", `{"data":{"k":"` + canary + `"}}`, "x", "", "does not exist, or is not text: correct vaultRef.key"},
		{"a field that is no text", `{"data":{"k":["` + canary + `"]}}`, "k", "", "or is not text"},
		{"deleted", `{"data":{"data":null,"metadata":{"deletion_time":"2026-01-01T00:00:00Z"}}}`, "k", "", "the path does not exist"},
		{"no JSON", canary, "k", "", "the answer is malformed"},
		{"a line break", `{"data":{"k":"` + canary + `\nX: y"}}`, "k", "", "the field that auth.secretRef.vaultRef names in Vault holds a line break"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, f := &watch{}, newFakeVault()
				f.kv["p"] = c.answer
				cred := bearerFrom(t, w, vaultBy(t, w, f), "p", c.key)
				if c.words != "" {
					refuses(t, cred, call.CredentialUnavailable, c.words)
				} else {
					sends(t, cred, "Authorization", "Bearer "+c.want)
				}
				w.keepsQuiet(t)
			})
		})
	}
}

func TestVault_readsASecretOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, f := &watch{}, newFakeVault()
		f.takes = time.Second
		v := vaultBy(t, w, f)
		auth := spec.Auth{Type: "sigv4", Region: "r", Service: "s", SecretRef: fromVault("database/creds/app", "password"), AccessKeyRef: fromVault("database/creds/app", "username")}
		var calls sync.WaitGroup
		for range 20 {
			c := mustNew(t, auth, w.parts(v))
			calls.Go(func() {
				if out := mustApply(t, c); !strings.Contains(out.Header.Get("Authorization"), "Credential=user1/") {
					t.Error(out.Header)
				}
			})
		}
		calls.Wait()
		if f.leased != 1 {
			t.Errorf("%d leases", f.leased)
		}
	})
}

// pair is a credential that shows which user and password were read together.
func pair(t *testing.T, w *watch, v *Vault) *secrets {
	t.Helper()
	s, err := newSecrets([]keyedRef{{"a", fromVault("database/creds/app", "username")}, {"b", fromVault("database/creds/app", "password")}},
		func(v []string) (wireCredential, error) { return clientSecret(v[0] + ":" + v[1]), nil }, w.parts(v).filled())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

func mustGet(t *testing.T, s *secrets) string {
	t.Helper()
	p, err := s.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(p.(clientSecret))
}

func TestVault_renewsALeaseAndReadsAnotherWhereItCannot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, f := &watch{}, newFakeVault()
		s := pair(t, w, vaultBy(t, w, f))
		for range 290 {
			if got := mustGet(t, s); got != "user1:pass1" {
				t.Fatal(got)
			}
			time.Sleep(time.Second)
		}
		if n := f.count("sys/leases/renew"); n != 4 || !strings.Contains(f.lastBody, "database/1") {
			t.Errorf("renewed %d times in 5 minutes, the last time %s", n, f.lastBody)
		}
		if end, ok := s.expiry(); !ok || time.Until(end) <= 0 || time.Until(end) > 90*time.Second {
			t.Errorf("ends at %v", end)
		}
		f.change(func() { f.longest = 10 }) // near the maximum lifetime
		time.Sleep(62 * time.Second)
		if got := mustGet(t, s); got != "user2:pass2" {
			t.Error(got)
		}
	})
}

func TestVault_downServesTheLastValueUntilItsLeaseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, f := &watch{}, newFakeVault()
		f.kv["kv/a"] = `{"data":{"k":"v"}}`
		v := vaultBy(t, w, f)
		static := bearerFrom(t, w, v, "kv/a", "k")
		s := pair(t, w, v)
		mustGet(t, s)
		mustApply(t, static)
		f.change(func() { f.status = 503 })
		for range 89 {
			time.Sleep(time.Second)
			if got := mustGet(t, s); got != "user1:pass1" {
				t.Fatal(got)
			}
		}
		time.Sleep(time.Second)
		if _, err := s.get(t.Context()); err == nil || !strings.Contains(err.Error(), "the lease of the secret that vaultRef names has ended") || !strings.Contains(err.Error(), "Vault answered 503: it is sealed") {
			t.Error(err)
		}
		if n := f.count("sys/leases/renew"); n < 3 || n > 9 {
			t.Errorf("asked %d times in half a minute", n)
		}
		time.Sleep(time.Hour)
		sends(t, static, "Authorization", "Bearer v") // it has no end
		if !strings.Contains(w.refreshed(), "failure") || !strings.Contains(w.logged(), "in_use=true") {
			t.Error("nobody was told", w.refreshed(), w.logged())
		}
		f.change(func() { f.status = 0 })
		time.Sleep(time.Minute)
		if got := mustGet(t, s); got != "user2:pass2" {
			t.Error(got)
		}
		w.keepsQuiet(t)
	})
}

func TestVault_rereadsStaticSecretsNowAndThenAndAfterA401(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, f := &watch{}, newFakeVault()
		f.kv["kv/a"] = `{"data":{"k":"one"}}`
		c := bearerFrom(t, w, vaultBy(t, w, f), "kv/a", "k")
		old := mustApply(t, c)
		f.change(func() { f.kv["kv/a"] = `{"data":{"k":"two"}}`; f.takes = time.Second / 2 })
		var calls sync.WaitGroup
		for range 100 {
			calls.Go(func() {
				if !c.Renew(t.Context(), old) {
					t.Error("not renewed")
				}
			})
		}
		calls.Wait()
		sends(t, c, "Authorization", "Bearer two")
		if n := f.count("kv/a"); n != 2 {
			t.Errorf("read %d times", n)
		}
		if c.Renew(t.Context(), mustApply(t, c)) || f.count("kv/a") != 2 {
			t.Error("a second 401 on its heels is no reason to ask Vault")
		}
		f.change(func() { f.kv["kv/a"] = `{"data":{"k":"three"},"lease_duration":60}` })
		time.Sleep(6*time.Minute + 2*time.Second)
		sends(t, c, "Authorization", "Bearer three")
		before := f.count("kv/a")
		time.Sleep(10 * time.Minute)
		if n := f.count("kv/a") - before; n < 8 || n > 13 {
			t.Errorf("read %d times in 10 minutes, with a ttl of one", n)
		}
	})
}

func TestVault_secretThatIsGoneIsUsedForAMinuteAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, f := &watch{}, newFakeVault()
		f.kv["kv/a"] = `{"data":{"k":"v"}}`
		c := bearerFrom(t, w, vaultBy(t, w, f), "kv/a", "k")
		mustApply(t, c)
		f.change(func() { delete(f.kv, "kv/a") })
		time.Sleep(7 * time.Minute)
		mustApply(t, c)
		time.Sleep(unreadableTTL + time.Second)
		refuses(t, c, call.CredentialUnavailable, "Vault answered 404: the path does not exist")
	})
}

func TestVault_renewsItsTokenAndLogsInAgain(t *testing.T) {
	approle := func(s *spec.Vault) {
		s.Auth = spec.VaultAuth{Method: "approle", RoleID: "r", SecretID: &spec.SecretRef{EnvVar: "TOKEN"}}
	}
	t.Run("as long as it can be", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, f := &watch{}, newFakeVault()
			f.life = 60
			s := pair(t, w, vaultBy(t, w, f, approle))
			for range 600 {
				if got := mustGet(t, s); got != "user1:pass1" {
					t.Fatal(got)
				}
				time.Sleep(time.Second)
			}
			if f.logins != 1 || f.count("auth/token/renew-self") < 10 {
				t.Errorf("%d logins, %d renewals", f.logins, f.count("auth/token/renew-self"))
			}
			f.change(func() { f.longest = 5 }) // near its maximum lifetime, and its leases end with it
			time.Sleep(time.Minute)
			if got := mustGet(t, s); f.logins < 2 || got == "user1:pass1" {
				t.Errorf("%d logins, still %s", f.logins, got)
			}
		})
	})
	t.Run("one that cannot be renewed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, f := &watch{}, newFakeVault()
			f.life, f.fixed = 60, true
			s := pair(t, w, vaultBy(t, w, f, approle))
			mustGet(t, s)
			if end, _ := s.expiry(); time.Until(end) != time.Minute {
				t.Errorf("a lease ends with its token, not at %v", end)
			}
			time.Sleep(45 * time.Second)
			if got := mustGet(t, s); f.logins != 2 || got != "user2:pass2" {
				t.Errorf("%d logins, %s", f.logins, got)
			}
		})
	})
	t.Run("while Vault is down", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, f := &watch{}, newFakeVault()
			f.life = 60
			s := pair(t, w, vaultBy(t, w, f, approle))
			mustGet(t, s)
			f.change(func() { f.status = 500 })
			time.Sleep(59 * time.Second)
			if got := mustGet(t, s); got != "user1:pass1" {
				t.Error(got)
			}
			time.Sleep(time.Second)
			if p, err := s.get(t.Context()); err == nil {
				t.Errorf("a lease whose token has ended was used: %v", p)
			}
			if !strings.Contains(w.logged(), "vault login failed") {
				t.Error(w.logged())
			}
			w.keepsQuiet(t)
		})
	})
	t.Run("a token that was revoked", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, f := &watch{}, newFakeVault()
			f.kv["kv/a"] = `{"data":{"k":"one"}}`
			c := bearerFrom(t, w, vaultBy(t, w, f, approle), "kv/a", "k")
			out := mustApply(t, c)
			f.change(func() { clear(f.tokens); f.kv["kv/a"] = `{"data":{"k":"two"}}` })
			if !c.Renew(t.Context(), out) || f.logins != 2 {
				t.Errorf("%d logins", f.logins)
			}
		})
	})
}

func TestVault_followsTheFileOfItsToken(t *testing.T) {
	path := secretFile(t, "first")
	synctest.Test(t, func(t *testing.T) {
		w, f := &watch{}, newFakeVault()
		f.life, f.fixed = 600, true
		f.tokens = map[string]bool{"first": true}
		f.kv["kv/a"] = `{"data":{"k":"one"}}`
		c := bearerFrom(t, w, vaultBy(t, w, f, func(s *spec.Vault) { s.Auth.TokenRef = fromFile(path) }), "kv/a", "k")
		mustApply(t, c)
		time.Sleep(500 * time.Second) // looked up again: the same token, with less time left
		if n := f.count("auth/token/lookup-self"); n != 2 {
			t.Errorf("looked up %d times", n)
		}
		writeFile(t, path, "second")
		f.change(func() { f.tokens = map[string]bool{"second": true}; f.kv["kv/a"] = `{"data":{"k":"two"}}` })
		if !c.Renew(t.Context(), mustApply(t, c)) {
			t.Error("not read with the new token")
		}
		sends(t, c, "Authorization", "Bearer two")
	})
}

func TestVault_rolesLogInForThemselves(t *testing.T) {
	jwtFile := secretFile(t, "sa-jwt")
	synctest.Test(t, func(t *testing.T) {
		w, f := &watch{}, newFakeVault()
		f.kv["kv/a"] = `{"data":{"k":"v"}}`
		v := vaultBy(t, w, f, func(s *spec.Vault) {
			s.Auth = spec.VaultAuth{Method: "kubernetes", Role: "app", TokenFile: jwtFile}
		})
		bodies := map[string]bool{}
		for _, role := range []string{"", "app", "billing"} {
			ref := fromVault("kv/a", "k")
			ref.VaultRef.Role = role
			c := mustNew(t, spec.Auth{Type: "bearer", SecretRef: ref}, w.parts(v))
			mustApply(t, c)
			bodies[f.lastBody] = true
		}
		if f.logins != 2 || !bodies[`{"jwt":"sa-jwt","role":"billing"}`] {
			t.Errorf("%d logins: %v", f.logins, bodies)
		}
	})
}

func TestVault_showsNothingOfAWrongAnswer(t *testing.T) {
	for _, c := range []struct {
		status int
		words  string
	}{
		{400, "is vault.auth right"}, {403, "does the login's policy allow it?"}, {404, "KV version 2"},
		{429, "it is overloaded"}, {500, "see Vault's log"}, {503, "it is sealed"},
	} {
		t.Run(fmt.Sprint(c.status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, f := &watch{}, newFakeVault()
				f.status = c.status
				cred := bearerFrom(t, w, vaultBy(t, w, f), "kv/a", "k")
				refuses(t, cred, call.CredentialUnavailable, fmt.Sprintf("looking up the token for Vault: Vault answered %d: ", c.status))
				refuses(t, cred, call.CredentialUnavailable, c.words)
				w.keepsQuiet(t)
			})
		})
	}
	t.Run("a redirect", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, f := &watch{}, newFakeVault()
			f.status = 307
			refuses(t, bearerFrom(t, w, vaultBy(t, w, f), "kv/a", "k"), call.CredentialUnavailable, "it redirects to another address, which is not followed")
			w.keepsQuiet(t)
		})
	})
	t.Run("a login without a token", func(t *testing.T) {
		w := &watch{}
		server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(rw).Encode(map[string]any{"data": map[string]any{"x": canary}})
		}))
		defer server.Close()
		v, err := NewVault(&spec.Vault{Address: server.URL, Namespace: "team", Auth: spec.VaultAuth{Method: "approle", RoleID: "r", SecretID: &spec.SecretRef{EnvVar: "TOKEN"}}}, w.parts(nil))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(v.Close)
		refuses(t, bearerFrom(t, w, v, "kv/a", "k"), call.CredentialUnavailable, "Vault gave no token")
	})
	t.Run("nobody there", func(t *testing.T) {
		w := &watch{}
		v, err := NewVault(&spec.Vault{Address: "http://127.0.0.1:1", Auth: spec.VaultAuth{Method: "token", TokenRef: &spec.SecretRef{EnvVar: "TOKEN"}}}, w.parts(nil))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(v.Close)
		refuses(t, bearerFrom(t, w, v, "kv/a", "k"), call.CredentialUnavailable, "request to Vault failed: dial tcp 127.0.0.1:1")
	})
	t.Run("no token of ours", func(t *testing.T) {
		w := &watch{}
		v := vaultBy(t, w, newFakeVault(), func(s *spec.Vault) { s.Auth.TokenRef = nil })
		refuses(t, bearerFrom(t, w, v, "kv/a", "k"), call.CredentialUnavailable, "the environment variable VAULT_TOKEN is empty")
	})
	t.Run("no token of the service account", func(t *testing.T) {
		w := &watch{}
		v := vaultBy(t, w, newFakeVault(), func(s *spec.Vault) { s.Auth = spec.VaultAuth{Method: "kubernetes", Role: "a"} })
		refuses(t, bearerFrom(t, w, v, "kv/a", "k"), call.CredentialUnavailable, defaultTokenFile+" does not exist")
	})
	t.Run("an environment that the library cannot read", func(t *testing.T) {
		t.Setenv("VAULT_HEADERS", "{"+canary)
		w := &watch{}
		refuses(t, bearerFrom(t, w, vaultBy(t, w, newFakeVault()), "kv/a", "k"), call.CredentialUnavailable, "no VAULT_… environment variable is malformed")
		byRole := vaultBy(t, w, newFakeVault(), func(s *spec.Vault) {
			s.Auth = spec.VaultAuth{Method: "approle", RoleID: "r", SecretID: &spec.SecretRef{EnvVar: "TOKEN"}}
		})
		refuses(t, bearerFrom(t, w, byRole, "kv/a", "k"), call.CredentialUnavailable, "malformed")
	})
}

func TestNewVault_refusesWhatCannotBe(t *testing.T) {
	for _, c := range []struct {
		name, words string
		spec        spec.Vault
	}{
		{"no file of authorities", "vault.tls: read caFile", spec.Vault{TLS: config.TLS{CAFile: "/nowhere"}, Auth: spec.VaultAuth{Method: "token"}}},
		{"no secret id", "vault.auth: the credential names no secret", spec.Vault{Auth: spec.VaultAuth{Method: "approle"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := NewVault(&c.spec, Parts{}); err == nil || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %v, want %q", err, c.words)
			}
		})
	}
	v := vaultBy(t, new(watch), newFakeVault(), func(s *spec.Vault) { s.TLS.ServerName = "vault" })
	role := fromVault("a", "b")
	role.VaultRef.Role = "other"
	if _, err := New(&spec.Auth{Type: "bearer", SecretRef: role}, Parts{Vault: v}); err == nil || !strings.Contains(err.Error(), "needs vault.auth.method kubernetes") {
		t.Error(err)
	}
	v.Close()
	if _, err := New(&spec.Auth{Type: "bearer", SecretRef: fromVault("a", "b")}, Parts{Vault: v}); err == nil || !strings.Contains(err.Error(), "stopping") {
		t.Error(err)
	}
}

func TestVault_stopsReadingWhatNobodyNamesAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, f := &watch{}, newFakeVault()
		v := vaultBy(t, w, f)
		one, two := pair(t, w, v), pair(t, w, v)
		mustGet(t, one)
		one.close()
		time.Sleep(10*time.Minute + 30*time.Second) // renewals are at whole minutes
		if got := mustGet(t, two); got != "user1:pass1" {
			t.Error(got)
		}
		two.close()
		two.close() // once more changes nothing
		before := f.count("sys/leases/renew")
		time.Sleep(10 * time.Minute)
		if f.count("sys/leases/renew") != before || len(v.leases) != 0 {
			t.Error("a lease that nobody needs was renewed")
		}
	})
}

func TestVault_hangsNeitherCallsNorClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, f := &watch{}, newFakeVault()
		f.takes = time.Hour
		v := vaultBy(t, w, f)
		c := bearerFrom(t, w, v, "kv/a", "k")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Apply(ctx, &http1.Outgoing{}); err == nil || !strings.Contains(err.Error(), "the call ended before") {
			t.Error(err)
		}
		refuses(t, c, call.CredentialUnavailable, "no answer in time")
		go func() {
			time.Sleep(time.Second)
			v.Close()
		}()
		time.Sleep(checkInterval)
		synctest.Wait()
		refuses(t, c, call.CredentialUnavailable, "")
	})
}
