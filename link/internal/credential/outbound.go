package credential

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/tunnel"
	"github.com/lsm/fiso/link/spec"
)

// Proxy is an outbound proxy with its credential. A nil *Proxy connects directly.
type Proxy struct {
	*tunnel.Proxy
	password *staticCredential // nil: none
}

// NewProxy returns the proxy of a validated configuration; nil if there is none. key is
// its place in the configuration; secure says whether the tunnel carries TLS. It reads
// no secret yet.
func NewProxy(key string, s *spec.Proxy, secure bool, p Parts) (*Proxy, error) {
	if s == nil {
		return nil, nil
	}
	if s.SecretRef == nil {
		return &Proxy{Proxy: tunnel.New(s, secure, nil)}, nil
	}
	p = p.filled()
	p.Refreshed = func(string) {} // only credentials of calls are counted
	secrets, err := newSecrets([]keyedRef{{key + ".secretRef", s.SecretRef}}, func(v []string) (wireCredential, error) { return newBasic(s.Username, v[0]) }, p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	password := &staticCredential{owned: owned{authorization}, secrets: secrets}
	return &Proxy{password: password, Proxy: tunnel.New(s, secure, func(ctx context.Context) (string, error) {
		var out http1.Outgoing
		if err := password.Apply(ctx, &out); err != nil {
			return "", err
		}
		return out.Header.Get(authorization), nil
	})}, nil
}

// usesTLS reports whether a URL has the scheme https, in any case.
func usesTLS(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "https"
}

// Tunnel returns the proxy without its credential; nil if there is none.
func (p *Proxy) Tunnel() *tunnel.Proxy {
	if p == nil {
		return nil
	}
	return p.Proxy
}

// Close releases the password.
func (p *Proxy) Close() {
	if p != nil && p.password != nil {
		p.password.Close()
	}
}

// newHTTPClient returns a transport for token servers and Vault. It connects directly
// or through the proxy, never as the environment says.
func newHTTPClient(settings *tls.Config, proxy *Proxy) *http.Transport {
	return &http.Transport{
		DialContext: proxy.Tunnel().Wrap(new(net.Dialer).DialContext), ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute, TLSClientConfig: settings,
	}
}
