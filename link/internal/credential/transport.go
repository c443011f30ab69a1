package credential

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"sync"

	"github.com/lsm/fiso/common/config"
)

// transport sends requests to token servers and Vault. It follows the files of its TLS
// settings: an http.Transport keeps the authorities it was made with, so changed ones
// need a new http.Transport.
type transport struct {
	next  func() *tls.Config
	proxy *Proxy // nil: none

	mu      sync.Mutex
	roots   *x509.CertPool // authorities of current
	current *http.Transport
}

func newTransport(settings config.TLS, proxy *Proxy) (*transport, error) {
	next, err := settings.Client()
	if err != nil {
		return nil, err
	}
	return &transport{next: next, proxy: proxy}, nil
}

// RoundTrip makes one request.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) { return t.now().RoundTrip(r) }

func (t *transport) now() *http.Transport {
	settings := t.next()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current == nil || settings.RootCAs != t.roots {
		if t.current != nil {
			t.current.CloseIdleConnections()
		}
		t.roots = settings.RootCAs
		t.current = newHTTPClient(settings, t.proxy)
	}
	return t.current
}

// CloseIdleConnections is called by http.Client.
func (t *transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current != nil {
		t.current.CloseIdleConnections()
	}
}
