package credential

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
)

// reason is why a request failed, in words that are known to hold nothing of
// the request or the answer: a network's error does not, and all others may.
func reason(err error) string {
	var (
		network     *net.OpError
		name        *net.DNSError
		certificate *tls.CertificateVerificationError
		timeout     net.Error
	)
	switch {
	case errors.Is(err, context.Canceled):
		return "fiso-link is stopping"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.As(err, &certificate):
		return "its certificate is not trusted: " + certificate.Err.Error()
	case errors.As(err, &network):
		return network.Error()
	case errors.As(err, &name):
		return name.Error()
	}
	return "the answer is none that it should give, or was cut off"
}
