package http

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/config/configtest"
)

// UL7: a caFile that was rotated counts for the next connection to the server.
func TestTarget_followsCAFile(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // of handshakes that fail, as they should
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, configtest.Authority(t), 0o600); err != nil {
		t.Fatal(err)
	}
	to, err := newTarget(&SinkConfig{URL: "https://example.com/", Method: "POST", TLS: config.TLS{CAFile: ca}})
	if err != nil {
		t.Fatal(err)
	}
	connect := func() error {
		conn, err := tls.Dial("tcp", server.Listener.Addr().String(), to.tls())
		if err == nil {
			_ = conn.Close() // it was only tried
		}
		return err
	}
	if err := connect(); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Fatalf("with another authority: %v", err)
	}
	if err := os.WriteFile(ca, configtest.PEM(server.Certificate()), 0o600); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); connect() != nil; {
		if time.Now().After(end) {
			t.Fatal("the new authority is not taken:", connect())
		}
	}
}
