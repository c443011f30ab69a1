package server

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
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

// authority is a certificate authority, trusted by clients that have its file.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, file: filepath.Join(t.TempDir(), "ca.pem")}
	a.cert, a.key = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour),
	})
	a.write(a.file, "CERTIFICATE", a.cert.Raw)
	return a
}

func (a *authority) write(file, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) sign(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	c.SerialNumber, c.NotBefore = big.NewInt(time.Now().UnixNano()), time.Now().Add(-48*time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return made, key
}

// issue returns a certificate for a name or for 127.0.0.1, valid until then; files
// holds it with its key.
func (a *authority) issue(name string, until time.Time) (c tls.Certificate, certFile, keyFile string) {
	a.t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	cert, key := a.sign(template)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	dir := a.t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	a.write(certFile, "CERTIFICATE", cert.Raw)
	a.write(keyFile, "PRIVATE KEY", der)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}, certFile, keyFile
}

// secure runs a server with that certificate.
func secure(t *testing.T, config *tls.Config) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	s.TLS = config
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestTLS_saysWhatIsWrongWithTheTargetsCertificate(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	later := time.Now().Add(time.Hour)
	server := func(by *authority, name string, until time.Time) string {
		c, _, _ := by.issue(name, until)
		return secure(t, &tls.Config{Certificates: []tls.Certificate{c}})
	}
	pool := x509.NewCertPool()
	pool.AddCert(ours.cert)
	ownCert, ownCertFile, ownKeyFile := ours.issue("127.0.0.1", later)
	mutual := secure(t, &tls.Config{Certificates: []tls.Certificate{ownCert}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert})
	rows := []struct{ name, address, more, sees, want string }{
		{"good", server(ours, "127.0.0.1", later), "", whole, ""},
		{"wrong-host", server(ours, "other.example", later), "", "CONNECT_FAILED", "certificate"},
		{"expired", server(ours, "127.0.0.1", time.Now().Add(-time.Hour)), "", "CONNECT_FAILED", "expired"},
		{"unknown", server(others, "127.0.0.1", later), "", "CONNECT_FAILED", "unknown authority"},
		{"by-another-name", server(ours, "crm.example", later), ", serverName: crm.example", whole, ""},
		{"no-certificate", mutual, "", "UPSTREAM_RESET", "certificate required"},
		{"mutual", mutual, ", certFile: " + ownCertFile + ", keyFile: " + ownKeyFile, whole, ""},
		{"silent", newRaw(t, (*peer).stall).address, "", "CONNECT_FAILED", "the TLS handshake did not end in time"},
		{"closes", newRaw(t, func(p *peer) { _, _ = p.in.ReadByte() }).address, "", "CONNECT_FAILED", "closed the connection in the TLS handshake"},
		{"no-tls", upstream(t, "plain"), "", "CONNECT_FAILED", "does not look like a TLS handshake"},
	}
	text := "targets:\n"
	for _, row := range rows {
		text += fmt.Sprintf("  - {name: %s, host: '%s', tls: {caFile: %s%s}, timeouts: {connect: 1s}, retry: {maxAttempts: 1}}\n", row.name, row.address, ours.file, row.more)
	}
	l := start(t, text)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if got := l.outcome(t, "GET", row.name, "a", nil, false); got != row.sees {
				t.Errorf("the application sees %s, want %s", got, row.sees)
			}
			if _, body := l.call(row.name + "/"); !strings.Contains(body, row.want) {
				t.Errorf("%s does not say %q", body, row.want)
			}
		})
	}
}

// An attacker on the network can close a connection, but cannot forge the target's
// close_notify: a body that ends with its connection is complete only with it.
func TestTLS_aBodyWhoseEndTLSDoesNotConfirmIsCutOff(t *testing.T) {
	ca := newAuthority(t)
	cert, _, _ := ca.issue("127.0.0.1", time.Now().Add(time.Hour))
	target := func(confirms bool) string {
		return newRaw(t, func(p *peer) {
			c := tls.Server(p.TCPConn, &tls.Config{Certificates: []tls.Certificate{cert}})
			if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")
			if confirms {
				_ = c.CloseWrite()
			}
		}).address
	}
	text := "targets:\n"
	for name, address := range map[string]string{"confirmed": target(true), "cut": target(false)} {
		text += fmt.Sprintf("  - {name: %s, host: '%s', tls: {caFile: %s}}\n", name, address, ca.file)
	}
	l := start(t, text)
	for name, want := range map[string]string{"confirmed": whole, "cut": cutOff} {
		if got := l.outcome(t, "GET", name, "a", nil, false); got != want {
			t.Errorf("%s: the application sees %s", name, got)
		}
	}
}
