package credential

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/spec"
)

// UL10
func TestOutbound_looksAtNoEnvironment(t *testing.T) {
	if newHTTPClient(nil, nil).Proxy != nil {
		t.Error("a proxy is looked for")
	}
}

// UL10: a missing password is reported by its key.
func TestProxy_saysWhereItsPasswordIsMissing(t *testing.T) {
	s := &spec.Proxy{URL: "http://127.0.0.1:1", Username: "anna", SecretRef: &spec.SecretRef{VaultRef: &spec.VaultRef{Path: "a", Key: "b"}}}
	if _, err := NewProxy("auth.proxy", s, true, Parts{}); err == nil || !strings.HasPrefix(err.Error(), "auth.proxy: vaultRef needs the block vault") {
		t.Error(err)
	}
	if _, err := New(&spec.Auth{Type: "oauth2", SecretRef: &spec.SecretRef{EnvVar: "A"}, TokenURL: "https://a/b", Proxy: s}, Parts{}); err == nil {
		t.Error("a token server's proxy has no password, and none says so")
	}
	if _, err := NewVault(&spec.Vault{Address: "https://a", Proxy: s}, Parts{}); err == nil {
		t.Error("Vault's proxy has no password, and none says so")
	}
	if p, err := NewProxy("proxy", nil, true, Parts{}); p != nil || p.Tunnel() != nil || err != nil {
		t.Error(p, err)
	}
	p, err := NewProxy("proxy", &spec.Proxy{URL: s.URL}, true, Parts{})
	if err != nil || p.ProxyFor("a:1") != s.URL {
		t.Error(p, err)
	}
	p.Close()
	(*Proxy)(nil).Close()
}

func TestProxy_withoutItsPasswordIsNotAsked(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // the test is over
	gone := &spec.SecretRef{EnvVar: "FISO_TEST_NONE"}
	p, err := NewProxy("proxy", &spec.Proxy{URL: "http://" + l.Addr().String(), Username: "anna", SecretRef: gone}, true, Parts{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_, err = p.Wrap(nil)(context.Background(), "tcp", "a.example:443")
	if err == nil || !strings.Contains(err.Error(), "the environment variable that proxy.secretRef.envVar names is empty") {
		t.Error(err)
	}
}

// UL32: a proxy that is down was reported as a wrong answer of the token server or
// Vault.
func TestProxy_isNamedWhereItIsTheFault(t *testing.T) {
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer refuses.Close()
	untrusted := httptest.NewUnstartedServer(nil)
	untrusted.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	untrusted.StartTLS()
	defer untrusted.Close()
	secret := &spec.SecretRef{EnvVar: "A"}
	env := func(string) (string, bool) { return "s3cret", true }
	for url, want := range map[string]string{
		refuses.URL:   "it answers 403: does it let anybody connect to a.invalid:443?",
		untrusted.URL: "certificate",
	} {
		proxy := &spec.Proxy{URL: url}
		want := func(err error) bool {
			return err != nil && strings.Contains(err.Error(), "the proxy "+url+": ") && strings.Contains(err.Error(), want)
		}
		c, err := New(&spec.Auth{Type: "oauth2", SecretRef: secret, ClientID: "c", TokenURL: "https://a.invalid/b", Proxy: proxy}, Parts{Env: env})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Apply(t.Context(), new(http1.Outgoing)); !want(err) {
			t.Error(err)
		}
		c.Close()
		v, err := NewVault(&spec.Vault{Address: "https://a.invalid", Proxy: proxy, Auth: spec.VaultAuth{Method: "token"}}, Parts{Env: env})
		if err != nil {
			t.Fatal(err)
		}
		c, err = New(&spec.Auth{Type: "bearer", SecretRef: &spec.SecretRef{VaultRef: &spec.VaultRef{Path: "a", Key: "b"}}}, Parts{Env: env, Vault: v})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Apply(t.Context(), new(http1.Outgoing)); !want(err) {
			t.Error(err)
		}
		c.Close()
		v.Close()
	}
}

// UL10: a URL whose scheme is in capitals bypassed the proxy.
func TestProxy_ofTheEnvironmentIsThatOfTheScheme(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://a:1")
	t.Setenv("HTTP_PROXY", "")
	t.Setenv("NO_PROXY", "")
	for address, want := range map[string]string{"https://v": "http://a:1", "HTTPS://v": "http://a:1", "http://v": ""} {
		v, err := NewVault(&spec.Vault{Address: address, Proxy: &spec.Proxy{URL: spec.ProxyOfEnvironment}, Auth: spec.VaultAuth{Method: "token"}}, Parts{})
		if err != nil {
			t.Fatal(err)
		}
		if via := v.proxy.ProxyFor("v:443"); via != want {
			t.Errorf("%s: through %q", address, via)
		}
		v.Close()
	}
}

// UL10, UL7: a changed password is used for the next tunnel.
func TestProxy_followsTheFileOfItsPassword(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	write := func(password string) {
		if err := os.WriteFile(path, []byte(password), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	synctest.Test(t, func(t *testing.T) {
		p, err := NewProxy("proxy", &spec.Proxy{URL: "http://a:1", Username: "anna", SecretRef: &spec.SecretRef{FilePath: path}}, true, Parts{})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		for _, want := range []string{"one", "another"} {
			write(want)
			time.Sleep(2 * checkInterval)
			var out http1.Outgoing
			err := p.password.Apply(t.Context(), &out)
			if _, got, _ := (&http.Request{Header: http.Header{"Authorization": {out.Header.Get("Authorization")}}}).BasicAuth(); got != want || err != nil {
				t.Errorf("%q instead of %q: %v", got, want, err)
			}
		}
	})
}
