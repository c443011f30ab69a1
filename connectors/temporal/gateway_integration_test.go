//go:build integration

package temporal

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

// selfSigned returns a certificate for name and temporal.test that is its own authority.
func selfSigned(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"temporal.test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(cryptorand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// gateway terminates TLS in front of a server, as an ingress does, and takes only clients
// whose certificate has the name that is allowed.
type gateway struct {
	address string
	allowed atomic.Value // string
	names   sync.Map     // of clients that were let in

	mu    sync.Mutex
	conns []net.Conn
}

func newGateway(t *testing.T, certificate tls.Certificate, server string) *gateway {
	t.Helper()
	g := new(gateway)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2"}, ClientAuth: tls.RequireAnyClientCert, SessionTicketsDisabled: true, MinVersion: tls.VersionTLS12,
		VerifyConnection: func(s tls.ConnectionState) error {
			name := s.PeerCertificates[0].Subject.CommonName
			if name != g.allowed.Load() {
				return x509.CertificateInvalidError{Cert: s.PeerCertificates[0], Reason: x509.NotAuthorizedToSign}
			}
			g.names.Store(name, true)
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	g.address = ln.Addr().String()
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			wait.Go(func() { g.pass(in, server) })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); g.disconnect(); wait.Wait() })
	return g
}

func (g *gateway) pass(in net.Conn, server string) {
	out, err := net.Dial("tcp", server)
	if err != nil {
		_ = in.Close()
		return
	}
	g.mu.Lock()
	g.conns = append(g.conns, in, out)
	g.mu.Unlock()
	var wait sync.WaitGroup
	wait.Go(func() { _, _ = io.Copy(out, in); _ = out.Close() })
	wait.Go(func() { _, _ = io.Copy(in, out); _ = in.Close() })
	wait.Wait()
}

func (g *gateway) disconnect() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.conns {
		_ = c.Close()
	}
	g.conns = nil
}

func TestTemporal_isReachedByMTLSAndARotatedCertificate(t *testing.T) {
	srv := startTemporal(t)
	server := selfSigned(t, "server")
	g := newGateway(t, server, srv.address)
	g.allowed.Store("january")
	caFile, _ := keyPairFiles(t, server)
	certFile, keyFile := keyPairFiles(t, selfSigned(t, "january"))
	cfg := sinkConfig(g.address, ActionStart)
	cfg.TLS = config.TLS{CAFile: caFile, CertFile: certFile, KeyFile: keyFile, ServerName: "temporal.test"}
	s := newTestSink(t, cfg, SinkOptions{})
	mustSend(t, s, order("1"))
	if got := steps(s.Check(t.Context())); !strings.Contains(got, "TLS with temporal.test\nfind namespace default") {
		t.Errorf("the steps are\n%s", got)
	}

	g.allowed.Store("february") // and the old certificate no longer
	g.disconnect()
	wantError(t, s.Send(t.Context(), order("2")), connector.Unavailable, "")
	newCert, newKey := keyPairFiles(t, selfSigned(t, "february"))
	for from, to := range map[string]string{newCert: certFile, newKey: keyFile} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	within(t, 30*time.Second, "the new certificate is presented", func() bool { return s.Send(t.Context(), order("2")) == nil })
	if _, ok := g.names.Load("february"); !ok {
		t.Error("the event arrived without the new certificate")
	}
}
