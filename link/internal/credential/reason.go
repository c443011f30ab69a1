package credential

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"

	"github.com/lsm/fiso/link/internal/tunnel"
)

var errRedirect = errors.New("it redirects to another address, which is not followed: configure that address if it is the right one")

// refuseRedirect keeps a secret from going to any other address than the configured
// one.
func refuseRedirect(*http.Request, []*http.Request) error { return errRedirect }

// describeFailure describes why a request failed. It quotes only errors of the network
// and of a proxy, which hold nothing of the request or the answer.
func describeFailure(err error) string {
	var (
		network     *net.OpError
		name        *net.DNSError
		certificate *tls.CertificateVerificationError
		timeout     net.Error
		proxied     *tunnel.Error
	)
	switch {
	case errors.Is(err, errRedirect):
		return errRedirect.Error()
	case errors.Is(err, context.Canceled):
		return "fiso-link is stopping"
	case errors.As(err, &proxied):
		return proxied.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.As(err, &certificate):
		return "its certificate is not trusted: " + certificate.Err.Error()
	case errors.As(err, &network):
		return network.Error()
	case errors.As(err, &name):
		return name.Error()
	}
	return "the answer is malformed or was cut off"
}
