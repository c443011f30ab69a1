package kafkatest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Certs are the PEM files of a certificate authority made for one test: its
// certificate, and a certificate and key for a client.
type Certs struct {
	CA, ClientCert, ClientKey string
	broker                    string // key and certificate in one file, as brokers need it
}

func makeCerts(dir string) (Certs, error) {
	c := Certs{
		CA: filepath.Join(dir, "ca.pem"), broker: filepath.Join(dir, "broker.pem"),
		ClientCert: filepath.Join(dir, "client.pem"), ClientKey: filepath.Join(dir, "client-key.pem"),
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	authority, err0 := sign(ca, issued{})
	broker, err1 := sign(leaf(ca, 2, "broker"), authority)
	client, err2 := sign(leaf(ca, 3, User), authority)
	return c, errors.Join(err0, err1, err2,
		os.WriteFile(c.CA, authority.cert, 0o600),
		os.WriteFile(c.broker, append(broker.key, broker.cert...), 0o600),
		os.WriteFile(c.ClientCert, client.cert, 0o600),
		os.WriteFile(c.ClientKey, client.key, 0o600))
}

// issued is a certificate and its key, in PEM and parsed.
type issued struct {
	cert, key []byte
	parsed    *x509.Certificate
	private   *ecdsa.PrivateKey
}

// leaf returns a certificate template for name on this machine.
func leaf(ca *x509.Certificate, serial int64, name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
}

// sign makes a key for the template and signs it by the authority, or by itself when by
// is empty.
func sign(template *x509.Certificate, by issued) (issued, error) {
	private, err0 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if by.private == nil {
		by.parsed, by.private = template, private
	}
	der, err1 := x509.CreateCertificate(rand.Reader, template, by.parsed, &private.PublicKey, by.private)
	pkcs8, err2 := x509.MarshalPKCS8PrivateKey(private)
	return issued{block("CERTIFICATE", der), block("PRIVATE KEY", pkcs8), template, private}, errors.Join(err0, err1, err2)
}

func block(kind string, der []byte) []byte {
	var out bytes.Buffer
	_ = pem.Encode(&out, &pem.Block{Type: kind, Bytes: der}) // writing to a buffer does not fail
	return out.Bytes()
}
