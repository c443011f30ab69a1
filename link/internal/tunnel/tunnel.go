// Package tunnel connects through an outbound proxy. It asks the proxy for a tunnel
// (CONNECT) even for targets without TLS, so that the proxy sees only the address and
// no request or credential.
package tunnel

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/lsm/fiso/link/spec"
)

// Dial connects to an address, host:port.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Proxy is an outbound proxy. With a nil Proxy all connections are direct. It is
// safe for concurrent use.
type Proxy struct {
	proxyOf   func(*url.URL) (*url.URL, error)
	scheme    string // of the target: selects the environment variable
	authorize func(context.Context) (string, error)
	tls       *tls.Config // for a proxy with an https URL
}

// New returns the proxy of a validated configuration; nil if there is none. secure says
// that the tunnel carries TLS. authorize returns the value of Proxy-Authorization; nil:
// only the user and password in a URL of the environment are sent.
func New(s *spec.Proxy, secure bool, authorize func(context.Context) (string, error)) *Proxy {
	if s == nil {
		return nil
	}
	from := &httpproxy.Config{HTTPProxy: s.URL, HTTPSProxy: s.URL, NoProxy: strings.Join(s.NoProxy, ",")}
	if s.URL == spec.ProxyOfEnvironment {
		from = httpproxy.FromEnvironment()
	}
	p := &Proxy{proxyOf: from.ProxyFunc(), scheme: "http", authorize: authorize, tls: &tls.Config{MinVersion: tls.VersionTLS12}}
	if secure {
		p.scheme = "https"
	}
	return p
}

// ProxyFor returns the proxy for an address, without credentials; "" if the connection
// is direct.
func (p *Proxy) ProxyFor(address string) string {
	if at := p.proxyURL(address); at != nil {
		return at.Scheme + "://" + at.Host
	}
	return ""
}

func (p *Proxy) proxyURL(address string) *url.URL {
	if p == nil {
		return nil
	}
	at, err := p.proxyOf(&url.URL{Scheme: p.scheme, Host: address})
	if err != nil {
		return nil // happens only in CGI
	}
	return at
}

// Wrap returns a Dial that uses the proxy for addresses that need it, and direct for
// the others.
func (p *Proxy) Wrap(direct Dial) Dial {
	if p == nil {
		return direct
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		at := p.proxyURL(address)
		if at == nil {
			return direct(ctx, network, address)
		}
		c, err := p.dial(ctx, at, address)
		if err != nil {
			var op *net.OpError
			if errors.As(err, &op) && op.Err != nil {
				err = op.Err // callers show only the Err of a net.OpError, without the name of the proxy
			}
			return nil, &Error{at.Scheme + "://" + at.Host, err}
		}
		return c, nil
	}
}

// Error says that no tunnel could be made. It names the proxy without credentials.
type Error struct {
	proxy string
	err   error
}

func (e *Error) Error() string { return "the proxy " + e.proxy + ": " + e.err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

// dial connects to the proxy and asks it for a tunnel to the address.
func (p *Proxy) dial(ctx context.Context, at *url.URL, address string) (net.Conn, error) {
	if at.Scheme != "http" && at.Scheme != "https" {
		return nil, errors.New("its URL is neither http nor https; write http://… or https://…")
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", hostPort(at))
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) }) // ends reads and writes under way
	tunnel, err := p.connect(ctx, c, at, address)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = c.Close() // err says what went wrong
		return nil, err
	}
	return tunnel, nil
}

// connect asks for a tunnel over a connection to the proxy.
func (p *Proxy) connect(ctx context.Context, c net.Conn, at *url.URL, address string) (net.Conn, error) {
	if at.Scheme == "https" {
		cfg := p.tls.Clone()
		cfg.ServerName = at.Hostname()
		secure := tls.Client(c, cfg)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		c = secure
	}
	credentials, err := p.authorization(ctx, at)
	if err != nil {
		return nil, err
	}
	request := "CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\n"
	if credentials != "" {
		request += "Proxy-Authorization: " + credentials + "\r\n"
	}
	if _, err := io.WriteString(c, request+"\r\n"); err != nil {
		return nil, err
	}
	status, err := readStatus(c)
	if err != nil {
		return nil, err
	}
	switch {
	case status/100 == 2:
		return c, nil
	case status == http.StatusProxyAuthRequired:
		return nil, p.describe407(at)
	case status == http.StatusForbidden:
		return nil, fmt.Errorf("it answers 403: does it let anybody connect to %s?", address)
	}
	return nil, fmt.Errorf("it answers %d: can it connect to %s?", status, address)
}

// describe407 says what to do about 407. The configuration and the environment hold the
// user in different places.
func (p *Proxy) describe407(at *url.URL) error {
	switch {
	case p.authorize != nil:
		return errors.New("it answers 407: are username and secretRef of the proxy right?")
	case at.User != nil:
		return errors.New("it answers 407: are the user and the password in the proxy's variable of the environment right?")
	}
	return errors.New("it answers 407: it wants a user: write username and secretRef, or user:password@ into the variable if its url is environment")
}

func (p *Proxy) authorization(ctx context.Context, at *url.URL) (string, error) {
	if p.authorize != nil {
		return p.authorize(ctx)
	}
	if at.User == nil {
		return "", nil
	}
	password, _ := at.User.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(at.User.Username()+":"+password)), nil
}

// maxHead limits the bytes of all heads of an answer to CONNECT, interim ones included.
const maxHead = 16 << 10

// readStatus reads up to the final head and returns its status. Interim answers may
// precede it (RFC 9110, section 15.2).
func readStatus(c net.Conn) (int, error) {
	for left := maxHead; ; {
		head, err := readHead(c, left)
		if err != nil {
			return 0, fmt.Errorf("it does not answer CONNECT: %w", err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), &http.Request{Method: http.MethodConnect})
		if err != nil {
			return 0, errors.New("its answer to CONNECT is not HTTP: is it a proxy?")
		}
		_ = answer.Body.Close() // there is none
		if answer.StatusCode/100 != 1 || answer.StatusCode == http.StatusSwitchingProtocols {
			return answer.StatusCode, nil
		}
		left -= len(head)
	}
}

// readHead reads up to the empty line and no further: the next byte belongs to the
// target.
func readHead(c net.Conn, most int) ([]byte, error) {
	var head []byte
	for one := make([]byte, 1); len(head) < most; {
		if _, err := io.ReadFull(c, one); err != nil {
			return nil, err
		}
		head = append(head, one[0])
		if bytes.HasSuffix(head, []byte("\r\n\r\n")) || bytes.HasSuffix(head, []byte("\n\n")) {
			return head, nil
		}
	}
	return nil, errors.New("its head is too long")
}

func hostPort(at *url.URL) string {
	switch port := at.Port(); {
	case port != "":
		return at.Host
	case at.Scheme == "https":
		return net.JoinHostPort(at.Hostname(), "443")
	}
	return net.JoinHostPort(at.Hostname(), "80")
}
