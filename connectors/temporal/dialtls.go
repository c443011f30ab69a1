package temporal

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"google.golang.org/grpc/credentials"
)

// dialTLS returns a function for http.Transport that makes the TLS configuration of each
// connection anew, because config.TLS follows its files.
func dialTLS(configure func() *tls.Config) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		return (&tls.Dialer{Config: configure()}).DialContext(ctx, network, address)
	}
}

// followedTLS makes the configuration of each connection anew, because config.TLS
// follows its files.
type followedTLS struct{ config func() *tls.Config }

// ClientHandshake implements credentials.TransportCredentials.
func (f *followedTLS) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(f.config()).ClientHandshake(ctx, authority, conn)
}

// ServerHandshake implements credentials.TransportCredentials. A client has none.
func (f *followedTLS) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials are those of a client")
}

// Info implements credentials.TransportCredentials.
func (f *followedTLS) Info() credentials.ProtocolInfo { return credentials.NewTLS(f.config()).Info() }

// Clone implements credentials.TransportCredentials.
func (f *followedTLS) Clone() credentials.TransportCredentials { return f }

// OverrideServerName implements credentials.TransportCredentials, which keeps it for
// old callers only. The name is a part of the configuration.
func (f *followedTLS) OverrideServerName(string) error { return nil }
