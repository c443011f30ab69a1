package credential

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/tunnel"
	"github.com/lsm/fiso/link/spec"
)

// Proxy is an outbound proxy and what proves us there. A nil one is none.
type Proxy struct {
	*tunnel.Proxy
	password *staticCredential // nil: none
}

// NewProxy is the proxy of a validated configuration; nil where there is none. key is
// where it stands in the configuration; secure says that TLS is spoken inside. It
// reads nothing before it is used.
func NewProxy(key string, s *spec.Proxy, secure bool, p Parts) (*Proxy, error) {
	if s == nil {
		return nil, nil
	}
	if s.SecretRef == nil {
		return &Proxy{Proxy: tunnel.New(s, secure, nil)}, nil
	}
	p = p.filled()
	p.Refreshed = func(string) {} // credentials of calls are what is counted
	secrets, err := newSecrets([]named{{key + ".secretRef", s.SecretRef}}, func(v []string) (wireCredential, error) { return newBasic(s.Username, v[0]) }, p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	password := &staticCredential{owned: owned{authorization}, secrets: secrets}
	return &Proxy{password: password, Proxy: tunnel.New(s, secure, func(ctx context.Context) (string, error) {
		var out call.Outgoing
		if err := password.Apply(ctx, &out); err != nil {
			return "", err
		}
		return out.Header.Get(authorization), nil
	})}, nil
}

// usesTLS reports whether a URL is one of https, in letters of either case.
func usesTLS(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "https"
}

// Tunnel is the proxy alone; nil where there is none.
func (p *Proxy) Tunnel() *tunnel.Proxy {
	if p == nil {
		return nil
	}
	return p.Proxy
}

// Close lets go of the password.
func (p *Proxy) Close() {
	if p != nil && p.password != nil {
		p.password.Close()
	}
}

// newHTTPClient connects to token servers and Vault: directly but for the proxy,
// whatever the environment says.
func newHTTPClient(settings *tls.Config, proxy *Proxy) *http.Transport {
	return &http.Transport{
		DialContext: proxy.Tunnel().Wrap(new(net.Dialer).DialContext), ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute, TLSClientConfig: settings,
	}
}
