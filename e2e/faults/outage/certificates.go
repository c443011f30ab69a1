package outage

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// certificates are the certificates of a sink on 127.0.0.1.
type certificates struct {
	authority              []byte // PEM of the authority that the flow trusts
	good, expired, foreign *tls.Certificate
}

func newCertificates() (certificates, error) {
	trusted, err1 := newAuthority("trusted")
	other, err2 := newAuthority("another")
	if err := errors.Join(err1, err2); err != nil {
		return certificates{}, err
	}
	now := time.Now()
	good, err1 := trusted.issue(now.Add(24 * time.Hour))
	expired, err2 := trusted.issue(now.Add(-time.Minute))
	foreign, err3 := other.issue(now.Add(24 * time.Hour))
	return certificates{
		authority: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: trusted.certificate.Raw}),
		good:      good, expired: expired, foreign: foreign,
	}, errors.Join(err1, err2, err3)
}

type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(name string) (*authority, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("create the key of an authority: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("create an authority: %w", err)
	}
	parsed, err := x509.ParseCertificate(der)
	return &authority{parsed, key}, err
}

// issue creates a certificate for 127.0.0.1.
func (a *authority) issue(until time.Time) (*tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "sink"}, NotBefore: a.certificate.NotBefore, NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("create the key of a certificate: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("create a certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
