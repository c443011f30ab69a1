package kafka

import (
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

// UL7: a caFile that was rotated counts for the next connection to a broker.
func TestDialler_followsCAFile(t *testing.T) {
	broker := httptest.NewUnstartedServer(http.NotFoundHandler())
	broker.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // of handshakes that fail, as they should
	broker.StartTLS()
	defer broker.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, configtest.Authority(t), 0o600); err != nil {
		t.Fatal(err)
	}
	dial, err := (&ClientConfig{DialTimeout: 10 * time.Second, TLS: config.TLS{CAFile: ca, ServerName: "example.com"}}).dialler(nil)
	if err != nil {
		t.Fatal(err)
	}
	connect := func() error {
		conn, err := dial(t.Context(), "tcp", broker.Listener.Addr().String())
		if err == nil {
			_ = conn.Close() // it was only tried
		}
		return err
	}
	if err := connect(); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Fatalf("with another authority: %v", err)
	}
	if err := os.WriteFile(ca, configtest.PEM(broker.Certificate()), 0o600); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); connect() != nil; {
		if time.Now().After(end) {
			t.Fatal("the new authority is not taken:", connect())
		}
	}
}
