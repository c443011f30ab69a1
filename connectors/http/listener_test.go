package http

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	nethttp "net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

// freeAddress returns an address on which nobody listens now.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

func TestListeners_sourcesShareAPortByPath(t *testing.T) {
	ls := Listeners{linger: 50 * time.Millisecond}
	defer ls.Close()
	opts := SourceOptions{Listeners: &ls}
	var a, b collect
	cfg := sourceConfig()
	cfg.Listen = freeAddress(t)
	cfg.Path = "/a"
	first := startSource(t, cfg, opts, a.handle)
	cfg.Path = "/b"
	second := startSource(t, cfg, opts, b.handle)

	ask(t, "POST", first.url, "to a").want(t, 200, "")
	ask(t, "POST", second.url, "to b").want(t, 200, "")
	if len(a.messages()) != 1 || string(b.messages()[0].Value) != "to b" {
		t.Errorf("%v %v", a.messages(), b.messages())
	}

	if err := second.stop(); err != nil {
		t.Error(err)
	}
	ask(t, "POST", second.url, "gone").want(t, 503, "STOPPING")
	ask(t, "POST", first.url, "still here").want(t, 200, "")
	if err := first.stop(); err != nil {
		t.Error(err)
	}
	// The port stays open while a source restarts, as in a reload.
	ask(t, "POST", first.url, "between").want(t, 503, "STOPPING")
	third := startSource(t, cfg, opts, b.handle)
	ask(t, "POST", third.url, "back").want(t, 200, "")
}

func TestListeners_saysWhatIsInTheWay(t *testing.T) {
	var ls Listeners
	defer ls.Close()
	cfg := sourceConfig()
	cfg.Listen = freeAddress(t)
	startSource(t, cfg, SourceOptions{Listeners: &ls}, new(collect).handle)
	other := func(change func(*SourceConfig)) SourceConfig {
		c := cfg
		c.Path = "/other"
		change(&c)
		return c
	}
	for _, row := range []struct {
		want string
		cfg  SourceConfig
		ls   *Listeners
	}{
		{"another source has the path / already", cfg, &ls},
		{"a different tls", other(func(c *SourceConfig) { c.TLS = config.TLS{CertFile: "a", KeyFile: "b"} }), &ls},
		{"a different readTimeout", other(func(c *SourceConfig) { c.ReadTimeout = time.Second }), &ls},
		{"a different headerTimeout", other(func(c *SourceConfig) { c.HeaderTimeout = time.Second }), &ls},
		{"a different idleTimeout", other(func(c *SourceConfig) { c.IdleTimeout = time.Second }), &ls},
		{"a different maxConnections", other(func(c *SourceConfig) { c.MaxConnections = 1 }), &ls},
		{"a different maxHeaderBytes", other(func(c *SourceConfig) { c.MaxHeaderBytes = 1 }), &ls},
		{"listen " + cfg.Listen + ": the address is in use", cfg, nil},
		{"listen 192.0.2.1:1:", other(func(c *SourceConfig) { c.Listen = "192.0.2.1:1" }), &ls},
		{"tls: ", other(func(c *SourceConfig) {
			c.Listen = "127.0.0.1:0"
			c.TLS = config.TLS{CertFile: "/no/a", KeyFile: "/no/b"}
		}), &ls},
	} {
		s, err := NewSource(row.cfg, SourceOptions{Listeners: row.ls})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Run(t.Context(), connector.Each(new(collect).handle))
		if err == nil || !strings.Contains(err.Error(), row.want) || !strings.Contains(s.Status().Problem, row.want) {
			t.Errorf("error is %v; want %q in it", err, row.want)
		}
	}
}

func TestListeners_closedTakesNobody(t *testing.T) {
	var ls Listeners
	cfg := sourceConfig()
	cfg.Listen = freeAddress(t)
	running := startSource(t, cfg, SourceOptions{Listeners: &ls}, new(collect).handle)
	ls.Close()
	if err := running.stop(); err == nil || !strings.Contains(err.Error(), "listen "+cfg.Listen) {
		t.Errorf("a source that lost its listener returned %v", err)
	}
	s, err := NewSource(cfg, SourceOptions{Listeners: &ls})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), connector.Each(new(collect).handle)); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("error is %v", err)
	}
}

func TestListeners_reopensWhatFailedOrChanged(t *testing.T) {
	var ls Listeners
	defer ls.Close()
	opts := SourceOptions{Listeners: &ls}
	cfg := sourceConfig()
	cfg.Listen = freeAddress(t)
	first := startSource(t, cfg, opts, new(collect).handle)
	ls.mu.Lock()
	_ = ls.open[cfg.Listen].socket.Close() // accepting fails
	ls.mu.Unlock()
	<-first.drainExpired
	if err := first.stop(); err == nil {
		t.Error("a listener that failed went unnoticed")
	}
	second := startSource(t, cfg, opts, new(collect).handle)
	ask(t, "POST", second.url, "x").want(t, 200, "")
	if err := second.stop(); err != nil {
		t.Error(err)
	}
	cfg.ReadTimeout = time.Second // no other source remains whose settings could differ
	third := startSource(t, cfg, opts, new(collect).handle)
	ask(t, "POST", third.url, "x").want(t, 200, "")
}

func TestListeners_closeAPortThatNobodyTookOver(t *testing.T) {
	var ls Listeners
	cfg := sourceConfig()
	cfg.Listen = freeAddress(t)
	s, err := NewSource(cfg, SourceOptions{Listeners: &ls})
	if err != nil {
		t.Fatal(err)
	}
	open := func() int {
		ls.mu.Lock()
		defer ls.mu.Unlock()
		return len(ls.open)
	}
	synctest.Test(t, func(t *testing.T) {
		// The goroutine of a real server waits on the network, outside of the fake
		// clock, so this listener is a stand-in.
		l := &listener{address: cfg.Listen, settings: s.cfg.settings(), done: make(chan struct{}), paths: newPaths(), server: &nethttp.Server{}}
		close(l.done)
		ls.open = map[string]*listener{cfg.Listen: l}
		l.used = 1
		ls.leave(l)
		time.Sleep(pathLinger - time.Millisecond)
		synctest.Wait()
		if open() != 1 {
			t.Error("the port was closed at once")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if open() != 0 {
			t.Error("the port is open for ever")
		}
	})
}

func TestListen_failsOnWhatIsNoAddress(t *testing.T) {
	if _, err := listen("127.0.0.1:99999", nil, newPaths(), settings{}, 0, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("listening")
	}
}

// certificates writes a CA and a certificate for 127.0.0.1 that serves both sides.
func certificates(t *testing.T) (ca string, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	template := func(n int64) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: "test"},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
	}
	caKey, caTemplate := newKey(), template(1)
	caTemplate.IsCA, caTemplate.BasicConstraintsValid, caTemplate.KeyUsage = true, true, x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, caTemplate, caTemplate, caKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	leafKey := newKey()
	leafDER, err := x509.CreateCertificate(rand.Reader, template(2), caTemplate, leafKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	return write("ca.pem", "CERTIFICATE", caDER), write("cert.pem", "CERTIFICATE", leafDER), write("key.pem", "EC PRIVATE KEY", keyDER)
}

func TestSinkAndSource_speakMutualTLS(t *testing.T) {
	ca, cert, key := certificates(t)
	var c collect
	cfg := sourceConfig()
	cfg.TLS = config.TLS{CertFile: cert, KeyFile: key, CAFile: ca}
	s := startSource(t, cfg, SourceOptions{}, c.handle)
	url := strings.Replace(s.url, "http://", "https://", 1)

	out := sinkConfig(url)
	out.TLS = config.TLS{CAFile: ca, CertFile: cert, KeyFile: key}
	dialled := 0
	sink := newSink(t, out, SinkOptions{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled++
		return new(net.Dialer).DialContext(ctx, network, address)
	}})
	for range 2 {
		if err := sink.Send(t.Context(), order("1")); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.messages()) != 2 || dialled != 1 {
		t.Errorf("%d messages on %d connections", len(c.messages()), dialled)
	}
	if steps := sink.Check(t.Context()); len(steps) != 2 || steps[1].Err != nil || !strings.HasSuffix(steps[0].Name, " with TLS") {
		t.Errorf("check: %v", steps)
	}

	for name, bad := range map[string]config.TLS{
		"no certificate of ours": {CAFile: ca},
		"another authority":      {CertFile: cert, KeyFile: key},
		"another name":           {CAFile: ca, CertFile: cert, KeyFile: key, ServerName: "orders.example"},
	} {
		out.TLS = bad
		err := newSink(t, out).Send(t.Context(), order("1"))
		if wantClass(t, err, connector.Unavailable); len(c.messages()) != 2 {
			t.Errorf("%s: the event arrived", name)
		}
	}
	// net/http itself answers plain HTTP, and the source gets nothing.
	wantClass(t, newSink(t, sinkConfig(s.url)).Send(t.Context(), order("1")), connector.Permanent)
}

func TestSource_speaksHTTP2(t *testing.T) {
	ca, cert, key := certificates(t)
	pool := x509.NewCertPool()
	text, err := os.ReadFile(ca)
	if err != nil || !pool.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	var c collect
	cfg := sourceConfig()
	cfg.TLS = config.TLS{CertFile: cert, KeyFile: key}
	cfg.ReadTimeout, cfg.HeaderTimeout = 50*time.Millisecond, 50*time.Millisecond
	s := startSource(t, cfg, SourceOptions{}, func(ctx context.Context, m *connector.Message) {
		time.AfterFunc(100*time.Millisecond, func() { c.handle(ctx, m) }) // longer than the read timeout
	})
	transport := &nethttp.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	h2 := &nethttp.Client{Transport: transport}
	url := strings.Replace(s.url, "http://", "https://", 1)
	resp, err := h2.Post(url, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if _ = resp.Body.Close(); resp.ProtoMajor != 2 || resp.StatusCode != 200 {
		t.Errorf("%s %d", resp.Proto, resp.StatusCode)
	}
}
