package credential

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"sync"

	"github.com/lsm/fiso/common/config"
)

// transport asks for tokens and secrets. It follows the files of its TLS: an
// http.Transport keeps the authorities that it was made with, through a proxy in
// any case, so that others need another one.
type transport struct {
	next  func() *tls.Config
	proxy *Proxy // nil: none

	mu      sync.Mutex
	roots   *x509.CertPool // of current
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

// CloseIdleConnections is what http.Client looks for.
func (t *transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current != nil {
		t.current.CloseIdleConnections()
	}
}
