package server

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/config/configtest"
	"github.com/lsm/fiso/link/spec"
)

// followedKeys lists the keys that name a file, and for each the test that shows that
// it is followed.
var followedKeys = map[string]string{
	"targets[].tls.caFile":   "TestServer_followsTheFilesOfTLS",
	"targets[].tls.certFile": "common/config TestTLS_followsItsFiles",
	"targets[].tls.keyFile":  "common/config TestTLS_followsItsFiles",

	"targets[].auth.tls.caFile":   "internal/credential TestOAuth2_followsTheAuthorityOfItsTLS",
	"targets[].auth.tls.certFile": "common/config TestTLS_followsItsFiles",
	"targets[].auth.tls.keyFile":  "common/config TestTLS_followsItsFiles",

	"targets[].auth.secretRef.filePath":       "internal/credential TestSecret_followsTheSwapOfAMountedOne",
	"targets[].auth.proxy.secretRef.filePath": "internal/credential TestProxy_followsTheFileOfItsPassword",
	"targets[].proxy.secretRef.filePath":      "internal/credential TestProxy_followsTheFileOfItsPassword",
	"vault.proxy.secretRef.filePath":          "internal/credential TestProxy_followsTheFileOfItsPassword",
	"targets[].auth.accessKeyRef.filePath":    "internal/credential TestSigV4_takesItsThreeSecretsTogether",
	"targets[].auth.sessionTokenRef.filePath": "internal/credential TestSigV4_takesItsThreeSecretsTogether",

	"asyncTLS.caFile":     "connectors/kafka TestDialler_followsCAFile",
	"asyncTLS.certFile":   "common/config TestTLS_followsItsFiles",
	"asyncTLS.keyFile":    "common/config TestTLS_followsItsFiles",
	"asyncSASL.tokenFile": "connectors/kafka: read for every authentication",

	"vault.tls.caFile":             "internal/credential TestVault_followsTheAuthorityOfItsTLS",
	"vault.tls.certFile":           "common/config TestTLS_followsItsFiles",
	"vault.tls.keyFile":            "common/config TestTLS_followsItsFiles",
	"vault.auth.tokenFile":         "internal/credential: read for every login",
	"vault.auth.secretID.filePath": "internal/credential: read for every login",
	"vault.auth.tokenRef.filePath": "internal/credential: read for every login",
}

// UL7: every file that a configuration names is followed. A new key must be followed,
// and listed here.
func TestFiles_areFollowedWhicheverKeyNamesThem(t *testing.T) {
	found := map[string]bool{}
	for _, key := range configtest.FileKeys(spec.Config{}) {
		found[key] = true
		if followedKeys[key] == "" {
			t.Errorf("%s names a file: follow it, and name the test of that here", key)
		}
	}
	for key := range followedKeys {
		if !found[key] {
			t.Errorf("there is no key %s that names a file", key)
		}
	}
}

// UL7: a rotated authority is used for the next connection to a target, in both
// protocols, without a reload.
func TestServer_followsTheFilesOfTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(speaking))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // of handshakes that fail, as they should
	s.StartTLS()
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, configtest.Authority(t), 0o600); err != nil {
		t.Fatal(err)
	}
	more := ", host: '" + s.Listener.Addr().String() + "', tls: {caFile: " + ca + ", serverName: example.com}, circuitBreaker: {enabled: false}, retry: {maxAttempts: 1}}\n"
	l := start(t, "targets:\n  - {name: one, protocol: https"+more+"  - {name: two, protocol: grpc"+more)
	for _, name := range []string{"one", "two"} {
		if status, body := l.call(name); status != 502 || !strings.Contains(body, "unknown authority") {
			t.Errorf("%s, with another authority: %d %s", name, status, body)
		}
	}
	if err := os.WriteFile(ca, configtest.PEM(s.Certificate()), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"one": "HTTP/1.1 ", "two": "HTTP/2.0 "} {
		eventually(t, name+" trusts the new authority", func() bool {
			status, body := l.call(name)
			return status == 200 && strings.HasPrefix(body, want)
		})
	}
	if log := l.log.String(); strings.Contains(log, "reloaded") {
		t.Errorf("reloaded: %s", log)
	}
}
