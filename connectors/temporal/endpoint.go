package temporal

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// DialFunc opens a connection to a host:port.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// endpoint says how connections to the server are made: dialling, TLS and the credential.
// Sink and Source share it. It is safe for concurrent use, and has no goroutine.
type endpoint struct {
	address    string
	namespace  string
	target     string // the address, as gRPC writes it
	resolves   bool   // the name is resolved here, and not by dial
	dial       DialFunc
	tls        func() *tls.Config // nil: no TLS
	credential credential         // nil: none
}

func newEndpoint(cfg *ClientConfig, dial DialFunc) (*endpoint, error) {
	// Each name is resolved again when a connection breaks, and calls go to all of its
	// addresses. With an own Dial, the name is left to it.
	e := &endpoint{address: cfg.Address, namespace: cfg.Namespace, target: "passthrough:///" + cfg.Address, dial: dial}
	if dial == nil {
		e.target, e.resolves, e.dial = "dns:///"+cfg.Address, true, (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext
	}
	var err error
	if !cfg.TLS.IsZero() {
		if e.tls, err = cfg.TLS.Client(); err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
	}
	if e.credential, err = newCredential(&cfg.Auth); err != nil {
		return nil, err
	}
	return e, nil
}

// dialOptions are the options of gRPC that dial and make TLS.
func (e *endpoint) dialOptions() []grpc.DialOption {
	secure := insecure.NewCredentials()
	if e.tls != nil {
		secure = &followedTLS{e.tls}
	}
	return []grpc.DialOption{
		grpc.WithTransportCredentials(secure),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return e.dial(ctx, "tcp", address) }),
	}
}

// authorize returns the context for a call, with the credential. Its error has a class.
func (e *endpoint) authorize(ctx context.Context) (context.Context, error) {
	if e.credential == nil {
		return ctx, nil
	}
	token, err := e.credential.token(ctx)
	if err != nil {
		return nil, err
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token), nil
}

// refused tells the credential that the server did not accept it.
func (e *endpoint) refused() {
	if e.credential != nil {
		e.credential.refused()
	}
}

// close closes idle connections of the credential.
func (e *endpoint) close() {
	if e.credential != nil {
		e.credential.close()
	}
}
