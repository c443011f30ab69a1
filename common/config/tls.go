package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
)

// TLS holds the TLS settings, which are the same for all connectors.
type TLS struct {
	Enabled    bool   `yaml:"enabled" doc:"Use TLS. Implied by any other key of this block."`
	CAFile     string `yaml:"caFile" file:"true" doc:"PEM file of the authorities to trust instead of the system's. Read again when it changes, as all files here: for the next connection."`
	CertFile   string `yaml:"certFile" file:"true" doc:"PEM file of the certificate to present."`
	KeyFile    string `yaml:"keyFile" file:"true" secret:"true" doc:"PEM file of that certificate's key."`
	ServerName string `yaml:"serverName" doc:"Name to expect in the server's certificate; default: the host dialled."`
}

// IsZero reports whether no TLS setting is set.
func (t TLS) IsZero() bool { return t == TLS{} }

// Validate checks that certFile and keyFile are set together.
func (t *TLS) Validate() error {
	if t.CertFile != "" && t.KeyFile == "" {
		return Fault("certFile", "a certificate needs its key: add keyFile")
	}
	if t.KeyFile != "" && t.CertFile == "" {
		return Fault("keyFile", "a key needs its certificate: add certFile")
	}
	return nil
}

// Client is for outgoing connections. Each call of its result returns the configuration of one
// connection, which the caller may change. All files are followed: a change applies from the next
// connection on. Client fails if a file cannot be read or does not hold what it should.
//
// One configuration for all connections would not follow caFile, because crypto/tls checks servers
// against a fixed pool of authorities.
func (t TLS) Client() (func() *tls.Config, error) {
	base := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CertFile != "" || t.KeyFile != "" {
		cert, err := newFollowed(keyPair, t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read certFile and keyFile: %w", t.withoutKeyFile(err))
		}
		base.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert.lastGood() }
	}
	if t.CAFile == "" {
		return base.Clone, nil
	}
	pool, err := newFollowed(t.authorities, t.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read caFile: %w", err)
	}
	return func() *tls.Config {
		c := base.Clone()
		c.RootCAs, _ = pool.lastGood() // there has been one
		return c
	}, nil
}

// Server returns the configuration of a listener. With caFile, clients must present a certificate of
// these authorities. All files are followed: a change applies from the next handshake on.
func (t TLS) Server() (*tls.Config, error) {
	if t.CertFile == "" {
		return nil, errors.New("TLS for a listener needs certFile and keyFile")
	}
	cert, err := newFollowed(keyPair, t.CertFile, t.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("read certFile and keyFile: %w", t.withoutKeyFile(err))
	}
	c := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert.lastGood() },
	}
	if t.CAFile == "" {
		return c, nil
	}
	pool, err := newFollowed(t.authorities, t.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read caFile: %w", err)
	}
	c.ClientAuth = tls.RequireAndVerifyClientCert
	c.ClientCAs, _ = pool.lastGood()
	base := c.Clone()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := base.Clone()
		now.ClientCAs, _ = pool.lastGood()
		// A session ticket would keep an earlier decision about the client. Without tickets every connection is
		// checked against the current authorities.
		now.SessionTicketsDisabled = true
		return now, nil
	}
	return c, nil
}

func (t TLS) authorities(contents [][]byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(contents[0]) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", t.CAFile)
	}
	return pool, nil
}

// withoutKeyFile removes the path of the key from an error: by mistake, people write the key itself there.
func (t TLS) withoutKeyFile(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok && e.Path == t.KeyFile {
		return fmt.Errorf("the file that keyFile names: %w", e.Err)
	}
	return err
}

func keyPair(contents [][]byte) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(contents[0], contents[1])
	if err != nil {
		return nil, err
	}
	return &pair, nil
}
