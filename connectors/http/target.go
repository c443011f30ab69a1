package http

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
)

const userAgent = "fiso-connector-http"

// target is the destination of a sink, with the parts of a request that are always the
// same.
type target struct {
	name      string // "POST http://host/path", for errors; never with a query
	host      string // without port, for DNS
	address   string // host:port, for dialling
	line      string // "POST /path?query"
	fixed     string // " HTTP/1.1", Host and the user's own headers
	probeLine string // "OPTIONS /path?query"
	hasQuery  bool
	tls       func() *tls.Config // for the next connection; nil for http
}

// newTarget requires a validated configuration.
func newTarget(cfg *SinkConfig) (*target, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	t := &target{
		name:      fmt.Sprintf("%s %s://%s%s", cfg.Method, u.Scheme, u.Host, u.EscapedPath()),
		host:      u.Hostname(),
		address:   net.JoinHostPort(u.Hostname(), port),
		line:      cfg.Method + " " + u.RequestURI(),
		probeLine: "OPTIONS " + u.RequestURI(),
		hasQuery:  u.RawQuery != "" || u.ForceQuery,
		fixed:     fixedHeaders(u.Host, cfg.Headers),
	}
	if u.Scheme == "https" {
		next, err := cfg.TLS.Client()
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		t.tls = func() *tls.Config {
			c := next()
			c.NextProtos = []string{"http/1.1"}
			if c.ServerName == "" {
				c.ServerName = t.host
			}
			return c
		}
	}
	return t, nil
}

func fixedHeaders(host string, headers map[string]string) string {
	b := []byte(" HTTP/1.1\r\n")
	b = appendHeader(b, "Host", host)
	agent := userAgent
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if strings.EqualFold(name, "User-Agent") {
			agent = headers[name]
			continue
		}
		b = appendHeader(b, name, headers[name])
	}
	return string(appendHeader(b, "User-Agent", agent))
}
