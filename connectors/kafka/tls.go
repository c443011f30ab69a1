package kafka

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
)

// dialler returns dial, or a dialler of package net when dial is nil, with TLS if it is
// configured. kgo.DialTLSConfig would keep its first authorities for ever.
func (c *ClientConfig) dialler(dial DialFunc) (DialFunc, error) {
	if dial == nil {
		dial = (&net.Dialer{Timeout: c.DialTimeout}).DialContext
	}
	if c.TLS.IsZero() {
		return dial, nil
	}
	next, err := c.TLS.Client()
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	secure := overTLS(dial, next)
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, c.DialTimeout)
		defer cancel()
		return secure(ctx, network, addr)
	}, nil
}

// overTLS returns a dialler that makes TLS connections over those of dial, with the
// current configuration of next.
func overTLS(dial DialFunc, next func() *tls.Config) DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c := next()
		if c.ServerName == "" {
			if host, _, err := net.SplitHostPort(addr); err == nil {
				c.ServerName = host
			}
		}
		tc := tls.Client(conn, c)
		if err := tc.HandshakeContext(ctx); err != nil {
			_ = conn.Close() // the handshake's error says what is wrong
			return nil, fmt.Errorf("tls handshake with %s: %w", addr, err)
		}
		return tc, nil
	}
}
