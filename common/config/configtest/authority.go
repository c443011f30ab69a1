package configtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Authority returns the PEM of a certificate authority that has signed nothing, for tests that replace
// files.
func Authority(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// FollowsCAFile checks that each new connection trusts the authorities that caFile holds at that time: a
// server is refused until its certificate is in the file. connector is called once with the path of a
// caFile; the function that it returns dials an address and expects the server name example.com.
func FollowsCAFile(t *testing.T, connector func(caFile string) func(address string) (net.Conn, error)) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // some handshakes must fail
	server.StartTLS()
	defer server.Close()
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	write := func(pem []byte) {
		if err := os.WriteFile(caFile, pem, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(Authority(t))
	dial := connector(caFile)
	connect := func() error {
		conn, err := dial(server.Listener.Addr().String())
		if err == nil {
			_ = conn.Close() // only the handshake matters
		}
		return err
	}
	if err := connect(); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Fatalf("with another authority: %v", err)
	}
	write(PEM(server.Certificate()))
	for end := time.Now().Add(30 * time.Second); connect() != nil; {
		if time.Now().After(end) {
			t.Fatal("the new authority is not taken:", connect())
		}
	}
}

// PEM returns a certificate in the form of a file.
func PEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
