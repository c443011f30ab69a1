package tunnel

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lsm/fiso/link/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// proxy is a proxy that connects to nothing: it says hello as the address that it was
// asked for, together with its answer.
type proxy struct {
	*httptest.Server
	answer string

	mu    sync.Mutex
	asked []*http.Request
}

func newProxy(t *testing.T, start func(*httptest.Server), answer string) *proxy {
	t.Helper()
	p := &proxy{answer: answer}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked = append(p.asked, r)
		p.mu.Unlock()
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = c.Close() }() // the test reads to the end of the stream
		_, _ = io.WriteString(c, p.answer+"hello of "+r.Host+"\n")
	}))
	start(p.Server)
	t.Cleanup(p.Close)
	return p
}

func plain(s *httptest.Server) { s.Start() }

const established = "HTTP/1.1 200 Connection established\r\nProxy-Agent: test\r\n\r\n"

var errDirect = errors.New("it was connected to directly")

func direct(context.Context, string, string) (net.Conn, error) { return nil, errDirect }

func hello(t *testing.T, p *Proxy, address string) (string, error) {
	t.Helper()
	c, err := p.Wrap(direct)(t.Context(), "tcp", address)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }() // it is read
	line, err := bufio.NewReader(c).ReadString('\n')
	return line, err
}

// UL10: whatever the tunnel carries, the proxy sees only the address, and bytes that
// the target sends at once are not lost.
func TestProxy_isAskedForATunnelAndToldNothingElse(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){"http": plain, "https": func(s *httptest.Server) { s.StartTLS() }} {
		t.Run(name, func(t *testing.T) {
			at := newProxy(t, start, established)
			p := New(&spec.Proxy{URL: at.URL, NoProxy: []string{"direct.example", "10.0.0.0/8"}}, true, func(context.Context) (string, error) { return "Basic abc", nil })
			if name == "https" {
				p.tls.RootCAs = x509.NewCertPool()
				p.tls.RootCAs.AddCert(at.Certificate())
			}
			if line, err := hello(t, p, "crm.example:443"); err != nil || line != "hello of crm.example:443\n" {
				t.Fatalf("%q, %v", line, err)
			}
			r := at.asked[0]
			if r.Method != http.MethodConnect || r.RequestURI != "crm.example:443" || len(r.Header) != 1 || r.Header.Get("Proxy-Authorization") != "Basic abc" {
				t.Errorf("%s %s %v", r.Method, r.RequestURI, r.Header)
			}
			for _, address := range []string{"direct.example:443", "a.direct.example:443", "10.1.2.3:443", "127.0.0.1:443", "[::1]:80", "localhost:80"} {
				if _, err := hello(t, p, address); !errors.Is(err, errDirect) || p.ProxyFor(address) != "" {
					t.Errorf("%s: %v", address, err)
				}
			}
			if via := p.ProxyFor("crm.example:443"); via != at.URL {
				t.Errorf("through %q", via)
			}
		})
	}
}

// UL10: a proxy may send interim answers before its answer.
func TestProxy_takesInterimAnswersToCONNECT(t *testing.T) {
	for name, interim := range map[string]string{
		"one":  "HTTP/1.1 100 Continue\r\n\r\n",
		"more": "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := New(&spec.Proxy{URL: newProxy(t, plain, interim+established).URL}, true, nil)
			if line, err := hello(t, p, "crm.example:443"); err != nil || line != "hello of crm.example:443\n" {
				t.Errorf("%q, %v", line, err)
			}
		})
	}
}

// UL10, UL32: the errors hold no *net.OpError, of which transports show only the inner
// error.
func TestProxy_errorsNameTheProxyAndSayWhatToDo(t *testing.T) {
	for name, test := range map[string]struct{ answer, want string }{
		"no password":      {"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n", "it answers 407: it wants a user: write username and secretRef, or user:password@ into the variable if its url is environment"},
		"not allowed":      {"HTTP/1.1 403 Forbidden\r\n\r\n", "it answers 403: does it let anybody connect to crm.example:443?"},
		"no target":        {"HTTP/1.0 503 Service Unavailable\n\n", "it answers 503: can it connect to crm.example:443?"},
		"no proxy":         {"SSH-2.0-x\r\n\r\n", "its answer to CONNECT is not HTTP: is it a proxy?"},
		"half an answer":   {"HTTP/1.1 200", "it does not answer CONNECT: EOF"},
		"another word":     {"HTTP/1.1 101 Switching Protocols\r\n\r\n", "it answers 101: can it connect to crm.example:443?"},
		"interim for ever": {strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", maxHead/20), "it does not answer CONNECT: its head is too long"},
		"a head for ever":  {"HTTP/1.1 200 x\r\nX: " + strings.Repeat("a", maxHead), "it does not answer CONNECT: its head is too long"},
	} {
		t.Run(name, func(t *testing.T) {
			at := newProxy(t, plain, test.answer)
			p := New(&spec.Proxy{URL: at.URL}, true, nil)
			if line, err := hello(t, p, "crm.example:443"); err == nil || err.Error() != "the proxy "+at.URL+": "+test.want {
				t.Errorf("%q, %v", line, err)
			}
		})
	}
	for name, test := range map[string]struct {
		url  string
		want string
	}{
		"nobody there":   {"http://127.0.0.1:1", "the proxy http://127.0.0.1:1: connect: connection refused"}, // UL32
		"another kind":   {"socks5://127.0.0.1:1", "the proxy socks5://127.0.0.1:1: its URL is neither http nor https; write http://… or https://…"},
		"no certificate": {strings.Replace(newProxy(t, plain, "").URL, "http:", "https:", 1), "tls: first record does not look like a TLS handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := hello(t, New(&spec.Proxy{URL: test.url}, true, nil), "crm.example:443"); err == nil || !strings.HasSuffix(err.Error(), test.want) {
				t.Error(err)
			}
		})
	}
	p := New(&spec.Proxy{URL: newProxy(t, plain, established).URL}, false, func(context.Context) (string, error) { return "", errors.New("have its password: no") })
	if _, err := hello(t, p, "crm.example:443"); err == nil || !strings.HasSuffix(err.Error(), "have its password: no") {
		t.Error(err)
	}
}

// UL10: a user that the proxy refuses was configured in one of two places.
func TestProxy_errorsSayWhereItsUserStands(t *testing.T) {
	at := newProxy(t, plain, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
	u, _ := url.Parse(at.URL)
	u.User = url.UserPassword("anna", "se:cret")
	t.Setenv("HTTPS_PROXY", u.String())
	t.Setenv("NO_PROXY", "")
	given := func(context.Context) (string, error) { return "Basic eA==", nil }
	for want, p := range map[string]*Proxy{
		"are username and secretRef of the proxy right?":                                  New(&spec.Proxy{URL: at.URL}, true, given),
		"are the user and the password in the proxy's variable of the environment right?": New(&spec.Proxy{URL: spec.ProxyOfEnvironment}, true, nil),
	} {
		if _, err := hello(t, p, "crm.example:443"); err == nil || err.Error() != "the proxy "+at.URL+": it answers 407: "+want {
			t.Error(err)
		}
	}
}

// UL10: the environment is used only if the configuration says so.
func TestProxy_ofTheEnvironmentIsAskedFor(t *testing.T) {
	at := newProxy(t, plain, established)
	u, _ := url.Parse(at.URL)
	u.User = url.UserPassword("anna", "se:cret")
	t.Setenv("HTTPS_PROXY", u.String())
	t.Setenv("HTTP_PROXY", "")
	t.Setenv("NO_PROXY", ".svc")
	p := New(&spec.Proxy{URL: spec.ProxyOfEnvironment}, true, nil)
	if line, err := hello(t, p, "crm.example:443"); err != nil || line != "hello of crm.example:443\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if user, password, _ := (&http.Request{Header: http.Header{"Authorization": at.asked[0].Header["Proxy-Authorization"]}}).BasicAuth(); user != "anna" || password != "se:cret" {
		t.Errorf("%s, %s", user, password)
	}
	if via := p.ProxyFor("crm.example:443"); via != at.URL {
		t.Errorf("through %q, which shows more than where the proxy is", via)
	}
	if via := p.ProxyFor("a.svc:443") + New(&spec.Proxy{URL: spec.ProxyOfEnvironment}, false, nil).ProxyFor("crm.example:80") + New(nil, true, nil).ProxyFor("crm.example:443"); via != "" {
		t.Errorf("through %q", via)
	}
	if _, err := hello(t, nil, "crm.example:443"); !errors.Is(err, errDirect) {
		t.Error(err)
	}
}

func TestProxy_thatIsSilentIsLeftWithTheCall(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // the test is over
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	p := New(&spec.Proxy{URL: "http://" + l.Addr().String()}, true, nil)
	if _, err := p.Wrap(direct)(ctx, "tcp", "crm.example:443"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestHostPort_hasTheDefaultOfTheScheme(t *testing.T) {
	for raw, want := range map[string]string{"http://p:3128": "p:3128", "http://p": "p:80", "https://p": "p:443", "http://[::1]": "[::1]:80"} {
		u, _ := url.Parse(raw)
		if got := hostPort(u); got != want {
			t.Errorf("%s: %s", raw, got)
		}
	}
}
