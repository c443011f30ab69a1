package kafkatest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Certs are PEM files of an authority made for one test: its certificate, and a
// certificate and key for a client.
type Certs struct {
	CA, ClientCert, ClientKey string
	broker                    string // key and certificate, as brokers want them
}

func makeCerts(dir string) (Certs, error) {
	c := Certs{
		CA: filepath.Join(dir, "ca.pem"), broker: filepath.Join(dir, "broker.pem"),
		ClientCert: filepath.Join(dir, "client.pem"), ClientKey: filepath.Join(dir, "client-key.pem"),
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return c, err
	}
	if err := os.WriteFile(c.CA, block("CERTIFICATE", der), 0o600); err != nil {
		return c, err
	}
	brokerCert, brokerKey, err := issue(ca, caKey, 2, "broker")
	if err != nil {
		return c, err
	}
	cert, key, err := issue(ca, caKey, 3, User)
	if err != nil {
		return c, err
	}
	for file, text := range map[string][]byte{c.broker: append(brokerKey, brokerCert...), c.ClientCert: cert, c.ClientKey: key} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return c, err
		}
	}
	return c, nil
}

// issue makes a certificate for name on this machine, and its key.
func issue(ca *x509.Certificate, caKey *ecdsa.PrivateKey, serial int64, name string) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, &private.PublicKey, caKey)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate of %s: %w", name, err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return block("CERTIFICATE", der), block("PRIVATE KEY", pkcs8), nil
}

func block(kind string, der []byte) []byte {
	var out bytes.Buffer
	_ = pem.Encode(&out, &pem.Block{Type: kind, Bytes: der}) // a buffer takes everything
	return out.Bytes()
}
