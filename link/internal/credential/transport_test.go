package credential

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/config/configtest"
	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/spec"
)

// rotating is a TLS server with client settings whose caFile holds another authority
// until trust is called.
func rotating(t *testing.T, handler http.HandlerFunc) (s *httptest.Server, settings config.TLS, trust func()) {
	t.Helper()
	s = httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // of handshakes that fail, as they should
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := secretFile(t, string(configtest.Authority(t)))
	return s, config.TLS{CAFile: ca, ServerName: "example.com"}, func() { writeFile(t, ca, string(configtest.PEM(s.Certificate()))) }
}

// becomes waits until the credential is available.
func becomes(t *testing.T, c Credential, want string) {
	t.Helper()
	end := time.Now().Add(time.Minute)
	for {
		out := &http1.Outgoing{Method: "GET", Path: "/"}
		err := c.Apply(t.Context(), out)
		if err == nil {
			if got := out.Header.Get("Authorization"); got != want {
				t.Errorf("sends %q, want %q", got, want)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
}

// UL7: a rotated authority is used for the next request to the token server, and idle
// connections under the old one are closed.
func TestOAuth2_followsTheAuthorityOfItsTLS(t *testing.T) {
	server, settings, trust := rotating(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, `{"access_token":"t"}`) })
	c := mustNew(t, spec.Auth{Type: "oauth2", TokenURL: server.URL, ClientID: "me", SecretRef: &spec.SecretRef{EnvVar: "TOKEN"}, TLS: settings}, new(watch).parts(nil))
	refuses(t, c, call.CredentialUnavailable, "its certificate is not trusted: x509")
	trust()
	becomes(t, c, "Bearer t")
}

// UL7: the same for Vault.
func TestVault_followsTheAuthorityOfItsTLS(t *testing.T) {
	f := newFakeVault()
	f.kv["p"] = `{"data":{"k":"v"}}`
	server, settings, trust := rotating(t, f.serve)
	w := &watch{}
	v, err := NewVault(&spec.Vault{Address: server.URL, TLS: settings, Auth: spec.VaultAuth{Method: "token", TokenRef: &spec.SecretRef{EnvVar: "TOKEN"}}}, w.parts(nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	c := bearerFrom(t, w, v, "p", "k")
	refuses(t, c, call.CredentialUnavailable, "its certificate is not trusted: x509")
	trust()
	becomes(t, c, "Bearer v")
	if log := w.logged(); strings.Contains(log, canary) {
		t.Errorf("a secret was logged: %s", log)
	}
}
