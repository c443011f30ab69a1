package h2

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/lsm/fiso/common/http1"
)

func TestTransport_speaksThroughTLS(t *testing.T) {
	for name, test := range map[string]struct {
		h2     bool // the server offers HTTP/2
		trust  bool
		reason http1.Reason // "": no failure
		noH2   bool
		offer  []string
	}{
		"HTTP/2":                  {true, true, "", false, nil},
		"among others":            {true, true, "", false, []string{"h2", "http/1.1"}},
		"a server without HTTP/2": {false, true, http1.ReasonConnect, true, []string{"h2", "http/1.1"}},
		"an unknown authority":    {true, false, http1.ReasonConnect, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.ProtoMajor != 2 || r.TLS == nil {
					t.Error(r.Proto)
				}
			}))
			s.EnableHTTP2 = test.h2
			s.Config.ErrorLog = nil
			s.StartTLS()
			defer s.Close()
			cfg := &tls.Config{ServerName: "example.com", RootCAs: x509.NewCertPool(), NextProtos: test.offer}
			if test.trust {
				cfg.RootCAs.AddCert(s.Certificate())
			}
			a, err := transport(t, TransportConfig{TLS: cfg}).RoundTrip(t.Context(), s.Listener.Addr().String(), out("GET"), nil)
			if test.reason == "" {
				if _, err := read(t, a, err); err != nil {
					t.Error(err)
				}
				return
			}
			if r, sent := reason(t, err); r != test.reason || sent || errors.Is(err, ErrNoHTTP2) != test.noH2 {
				t.Error(err)
			}
		})
	}
}

// The next connection presents a replaced certificate, and new connections are dialled
// even if calls never pause.
func TestTransport_presentsTheCertificateOfNow(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) != 1 {
			t.Error("no certificate")
		}
	}))
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	s.StartTLS()
	defer s.Close()
	asked := 0
	cfg := &tls.Config{ServerName: "example.com", RootCAs: x509.NewCertPool(), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked++
		return &s.TLS.Certificates[0], nil
	}}
	cfg.RootCAs.AddCert(s.Certificate())
	tr := transport(t, TransportConfig{TLS: cfg, Age: time.Nanosecond})
	for range 3 {
		must(t, tr, s.Listener.Addr().String())
	}
	if asked != 3 {
		t.Errorf("asked %d times for the certificate", asked)
	}
}
