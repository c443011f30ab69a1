package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/h2"
	"github.com/lsm/fiso/link/internal/tunnel"
	"github.com/lsm/fiso/link/spec"
)

// newTransport returns the transport of a target. With protocol https, gRPC calls use
// HTTP/2, which gRPC needs, and all others HTTP/1.1.
func newTransport(s *spec.Target, dial tunnel.Dial) (call.Transport, error) {
	one := http1.TransportConfig{
		Dial: dial, ConnectTimeout: s.Timeouts.Connect, ResponseHeader: s.Timeouts.ResponseHeader, BodyIdle: s.Timeouts.Idle,
		Idle: s.Timeouts.IdleConnection, MaxHead: int(s.MaxAnswerHead), HeadSetting: call.AnswerHeadSetting,
	}
	two := h2.TransportConfig{
		Dial: dial, ConnectTimeout: s.Timeouts.Connect, ResponseHeader: s.Timeouts.ResponseHeader,
		Idle: s.Timeouts.IdleConnection, MaxHead: int(s.MaxAnswerHead),
	}
	if s.UsesTLS() {
		next, err := s.TLS.Client()
		if err != nil {
			return nil, err
		}
		base := next()
		if base.ServerName == "" {
			base.ServerName, _ = s.Address()
		}
		two.TLS = base.Clone()
		two.Roots = func() *x509.CertPool { return next().RootCAs }
		one.TLS = func() *tls.Config {
			c := base.Clone()
			c.RootCAs = two.Roots()
			return c
		}
	}
	switch {
	case s.HTTP2():
		return h2.NewTransport(two), nil
	case !s.UsesTLS():
		return http1.NewTransport(one), nil
	}
	two.TLS.NextProtos = []string{"h2", "http/1.1"} // a server without h2 chooses http/1.1
	return &protocolSwitch{http1: http1.NewTransport(one), http2: h2.NewTransport(two)}, nil
}

// protocolSwitch selects the transport by the call.
type protocolSwitch struct{ http1, http2 call.Transport }

func (e *protocolSwitch) RoundTrip(ctx context.Context, endpoint string, out *http1.Outgoing, interim func(int, http1.Header)) (*http1.Answer, error) {
	if !out.Header.IsGRPC() {
		return e.http1.RoundTrip(ctx, endpoint, out, interim)
	}
	a, err := e.http2.RoundTrip(ctx, endpoint, out, interim)
	if errors.Is(err, h2.ErrNoHTTP2) {
		// The target lacks what the caller asks for, but is healthy.
		err = &http1.Error{Reason: http1.ReasonUnfit, Err: h2.ErrNoHTTP2}
	}
	return a, err
}

func (e *protocolSwitch) Close() {
	e.http1.Close()
	e.http2.Close()
}
