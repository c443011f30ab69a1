package credential

import (
	"crypto/tls"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/spec"
)

// UL8: the answers of real token servers are read if they leave no doubt.
func TestOAuth2_readsAnswersOfRealServers(t *testing.T) {
	const token = `{"access_token":"t","token_type":"Bearer","expires_in":3599}`
	with := func(life string) string { return strings.Replace(token, "3599", life, 1) }
	const ends, never = 3589 * time.Second, 0 // skew before the end
	for _, test := range []struct {
		name, kind, body string
		life             time.Duration
	}{
		{"as the RFC has it", "application/json;charset=UTF-8", token, ends},
		{"as text", "text/plain; charset=utf-8", token, ends},
		{"as a form", "application/x-www-form-urlencoded", token, ends},
		{"as no type", "", token, ends},
		{"a form as text", "text/plain", "access_token=t&token_type=bearer&expires_in=3599", ends},
		{"a byte order mark", "application/json", "\ufeff" + token, ends},
		{"a byte order mark and lines, as text", "text/plain", "\ufeff\r\n " + token + "\r\n", ends},
		{"seconds as text", "application/json", with(`"3599"`), ends},
		{"seconds with a fraction", "application/json", with(`3599.0`), ends},
		{"seconds with a fraction, as text", "application/json", with(`" 3599.75 "`), ends},
		{"seconds with an exponent", "application/json", with(`3.599e3`), ends},
		{"less than a second", "application/json", with(`0.5`), 900 * time.Millisecond},
		{"longer than can be counted", "application/json", with(`1e300`), (1<<31 - 1 - 10) * time.Second},
		{"no seconds", "application/json", with(`""`), never},
		{"null", "application/json", with(`null`), never},
		{"nothing", "application/json", `{"access_token":"t"}`, never},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, new(watch), func(w http.ResponseWriter, _ *http.Request) {
					w.Header()["Content-Type"] = []string{test.kind}
					_, _ = io.WriteString(w, test.body)
				})
				sends(t, c, "Authorization", "Bearer t")
				at, known := c.Expiry()
				if life := time.Until(at); known != (test.life != never) || known && life != test.life {
					t.Errorf("ends in %v (%v), want %v", life, known, test.life)
				}
			})
		})
	}
}

// UL8: ambiguous answers are refused.
func TestOAuth2_refusesAnswersThatLeaveADoubt(t *testing.T) {
	for name, body := range map[string]string{
		"a life that is no number": `{"access_token":"` + canary + `","expires_in":"an hour"}`,
		"a life that is nothing":   `{"access_token":"` + canary + `","expires_in":"NaN"}`,
		"a list":                   `{"access_token":"` + canary + `","expires_in":[3599]}`,
		"an answer without end":    strings.Repeat(" ", 1<<20) + `{"access_token":"` + canary + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			w := &watch{}
			refuses(t, newClient(t, w, func(w http.ResponseWriter, _ *http.Request) { answer(w, body) }), call.CredentialUnavailable, "the answer is malformed")
			w.keepsQuiet(t)
		})
	}
}

// UL8: another token_type for bearer tokens is accepted if it is configured; otherwise
// the error names the key.
func TestOAuth2_takesAnotherNameOfBearerThatIsConfigured(t *testing.T) {
	for _, test := range []struct{ says, configured, fault string }{
		{"BearerToken", "BearerToken", ""},
		{"bearertoken", "BearerToken", ""},
		{"bearer", "BearerToken", ""},
		{"BearerToken", "", "set auth.tokenType to the token_type of its answer"},
		{"DPoP", "BearerToken", "set auth.tokenType to the token_type of its answer"},
	} {
		c := newClient(t, new(watch), func(w http.ResponseWriter, _ *http.Request) {
			answer(w, `{"access_token":"t","token_type":"`+test.says+`"}`)
		},
			func(a *spec.Auth) { a.TokenType = test.configured })
		if test.fault != "" {
			refuses(t, c, call.CredentialUnavailable, test.fault)
			continue
		}
		sends(t, c, "Authorization", "Bearer t")
	}
}

// UL8: a private certificate authority of the token server is trusted if it is
// configured.
func TestOAuth2_trustsTheAuthorityOfItsTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, `{"access_token":"t"}`) }))
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // of the handshake that fails, as it should
	server.StartTLS()
	defer server.Close()
	ca := secretFile(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	auth := spec.Auth{Type: "oauth2", TokenURL: server.URL, ClientID: "me", SecretRef: &spec.SecretRef{EnvVar: "TOKEN"}, TLS: config.TLS{CAFile: ca, ServerName: "example.com"}}
	c := mustNew(t, auth, new(watch).parts(nil))
	sends(t, c, "Authorization", "Bearer t")
	auth.TLS.ServerName = "other.invalid"
	refuses(t, mustNew(t, auth, new(watch).parts(nil)), call.CredentialUnavailable, "its certificate is not trusted: x509")
	auth.TLS.CAFile = ca + "-gone"
	if _, err := New(&auth, new(watch).parts(nil)); err == nil || !strings.HasPrefix(err.Error(), "auth.tls: read caFile: ") {
		t.Error(err)
	}
}

// UL8: line breaks and byte order marks that editors and shells add are removed,
// wherever the secret comes from.
func TestSecret_isTrimmedWhereverItComesFrom(t *testing.T) {
	const written = "\ufeff" + canary + "\r\n"
	p := new(watch).parts(nil)
	p.Env = func(string) (string, bool) { return written, true }
	for name, ref := range map[string]*spec.SecretRef{
		"environment": {EnvVar: "TOKEN"},
		"file":        fromFile(secretFile(t, written)),
	} {
		t.Run(name, func(t *testing.T) {
			sends(t, mustNew(t, spec.Auth{Type: "bearer", SecretRef: ref}, p), "Authorization", "Bearer "+canary)
		})
	}
}
