package credential

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"sync"
	"time"

	"github.com/lsm/fiso/common/config"
)

// transport asks for tokens and secrets. It follows the files of its TLS: an
// http.Transport keeps the authorities that it was made with, through a proxy in
// any case, so that others need another one.
type transport struct {
	next func() *tls.Config

	mu      sync.Mutex
	roots   *x509.CertPool // of current
	current *http.Transport
}

func newTransport(settings config.TLS) (*transport, error) {
	next, err := settings.Client()
	if err != nil {
		return nil, err
	}
	return &transport{next: next}, nil
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
		t.current = &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute, TLSClientConfig: settings}
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
