package grpc

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"

	"github.com/lsm/fiso/common/config"
)

func TestSource_asksForItsToken(t *testing.T) {
	cfg := sourceConfig()
	cfg.Auth = SourceAuth{Type: "bearer", Token: config.NewSecret("right"), Tokens: []config.Secret{config.NewSecret("next")}}
	s := runSource(t, cfg, SourceOptions{}, settleOK)
	conn := dialSource(t, s.address)
	for _, row := range []struct {
		name string
		md   []string
		want codes.Code
	}{
		{"right", []string{"authorization", "Bearer right"}, codes.OK},
		{"the next one", []string{"authorization", "bearer next"}, codes.OK},
		{"none", nil, codes.Unauthenticated},
		{"wrong", []string{"authorization", "Bearer wrong"}, codes.Unauthenticated},
		{"another scheme", []string{"authorization", "Basic right"}, codes.Unauthenticated},
		{"empty", []string{"authorization", "Bearer "}, codes.Unauthenticated},
		{"two", []string{"authorization", "Bearer wrong", "authorization", "Bearer right"}, codes.Unauthenticated},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := publish(t, conn, row.md, keyed("", "a"))
			text := wantCode(t, err, row.want)
			if err != nil && text != "the token is missing or wrong; send the metadata authorization: Bearer and the token" {
				t.Error(text)
			}
			p := openStream(t, conn, row.md...)
			p.send("", testEvent("a"))
			if err := p.stream.CloseSend(); err != nil {
				t.Fatal(err)
			}
			if st := p.ended(); st.Code() != row.want {
				t.Errorf("the stream ended with %v", st)
			}
		})
	}
	if s.count() != 4 {
		t.Errorf("%d events were handed over; want those of the right callers", s.count())
	}
}

func TestSource_followsARotatedTokenAndSaysWhenItCannotReadIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := sourceConfig()
	cfg.Auth = SourceAuth{Type: "bearer", Token: config.SecretFile(file)}
	var log lockedBuffer
	s := runSource(t, cfg, SourceOptions{Name: "orders", Logger: slog.New(slog.NewTextHandler(&log, nil))}, settleOK)
	conn := dialSource(t, s.address)
	ask := func(token string) error {
		_, err := publish(t, conn, []string{"authorization", "Bearer " + token}, keyed("", "a"))
		return err
	}
	if text := wantCode(t, ask("first"), codes.Unavailable); text != "the source cannot check credentials now" {
		t.Error(text)
	}
	if got := log.String(); !strings.Contains(got, `msg="grpc source cannot read its credential" flow=orders`) {
		t.Errorf("the log has %q", got)
	}
	write("first")
	eventuallySource(t, "the token is read", func() bool { return ask("first") == nil })
	write("second-one")
	eventuallySource(t, "the rotated token is accepted", func() bool { return ask("second-one") == nil })
	wantCode(t, ask("first"), codes.Unauthenticated)
}

// lockedBuffer is a buffer for logs.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestSource_speaksTLSAndAsksForACertificate(t *testing.T) {
	ca, cert, key := sourceCertificates(t, t.TempDir())
	cfg := sourceConfig()
	cfg.TLS = config.TLS{CertFile: cert, KeyFile: key, CAFile: ca}
	s := runSource(t, cfg, SourceOptions{}, settleOK)
	ask := func(client config.TLS) error {
		t.Helper()
		newConfig, err := client.Client()
		if err != nil {
			t.Fatal(err)
		}
		_, err = publish(t, dialSource(t, s.address, grpc.WithTransportCredentials(credentials.NewTLS(newConfig()))), nil, keyed("", "a"))
		return err
	}
	wantCode(t, ask(config.TLS{CAFile: ca, CertFile: cert, KeyFile: key, ServerName: "127.0.0.1"}), codes.OK)
	wantCode(t, ask(config.TLS{CAFile: ca, ServerName: "127.0.0.1"}), codes.Unavailable)
	_, err := publish(t, dialSource(t, s.address), nil, keyed("", "a"))
	wantCode(t, err, codes.Unavailable)

	// The next connection gets a rotated certificate.
	newCA, _, _ := sourceCertificates(t, filepath.Dir(ca))
	eventuallySource(t, "the rotated certificate is presented", func() bool {
		return ask(config.TLS{CAFile: newCA, CertFile: cert, KeyFile: key, ServerName: "127.0.0.1"}) == nil
	})
}

// sourceCertificates writes an authority and a certificate for 127.0.0.1 that serves
// both sides.
func sourceCertificates(t *testing.T, dir string) (ca, cert, key string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
		return k
	}
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		must(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return file
	}
	template := func(n int64) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: "test"},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
	}
	caKey, caTemplate := newKey(), template(1)
	caTemplate.IsCA, caTemplate.BasicConstraintsValid, caTemplate.KeyUsage = true, true, x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, caTemplate, caTemplate, caKey.Public(), caKey)
	must(err)
	leafKey := newKey()
	leafDER, err := x509.CreateCertificate(rand.Reader, template(2), caTemplate, leafKey.Public(), caKey)
	must(err)
	keyDER, err := x509.MarshalECPrivateKey(leafKey)
	must(err)
	return write("ca.pem", "CERTIFICATE", caDER), write("cert.pem", "CERTIFICATE", leafDER), write("key.pem", "EC PRIVATE KEY", keyDER)
}
