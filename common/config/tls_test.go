package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{file: filepath.Join(dir, name+"-ca.pem")}
	a.cert, a.key = sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil)
	write(t, a.file, encode("CERTIFICATE", a.cert.Raw))
	return a
}

func sign(t *testing.T, c *x509.Certificate, by *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.NotBefore, c.NotAfter = time.Now().AddDate(-40, 0, 0), time.Now().AddDate(40, 0, 0)
	parent, signer := c, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made, key
}

// issue writes a certificate and its key for the names common and localhost.
func (a *authority) issue(t *testing.T, certFile, keyFile, common string) {
	t.Helper()
	cert, key := sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: common}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, certFile, encode("CERTIFICATE", cert.Raw))
	write(t, keyFile, encode("PRIVATE KEY", der))
}

// connection returns both ends of a TCP connection. net.Pipe is not enough: both sides write in a failing
// handshake.
func connection(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // only one connection is needed
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// handshake returns the name of the peer that each side saw, and the first error.
func handshake(t *testing.T, client, server *tls.Config) (seenByClient, seenByServer string, err error) {
	t.Helper()
	a, b := connection(t)
	c, s := tls.Client(a, client), tls.Server(b, server)
	done := make(chan error, 1)
	go func() {
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x")) // the client now learns whether it was accepted
		}
		_ = s.Close()
		done <- err
	}()
	err = c.Handshake()
	if err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	_ = a.Close()
	if serverErr := <-done; err == nil {
		err = serverErr
	}
	if err != nil {
		return "", "", err
	}
	seenByClient = c.ConnectionState().PeerCertificates[0].Subject.CommonName
	if peers := s.ConnectionState().PeerCertificates; len(peers) > 0 {
		seenByServer = peers[0].Subject.CommonName
	}
	return seenByClient, seenByServer, nil
}

// UL7: certificates, keys and authorities are those that the files hold now.
func TestTLS_followsItsFiles(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	one, two := newAuthority(t, dir, "one"), newAuthority(t, dir, "two")
	one.issue(t, in("server.pem"), in("server.key"), "server-1")
	one.issue(t, in("client.pem"), in("client.key"), "client-1")
	write(t, in("clients.pem"), encode("CERTIFICATE", one.cert.Raw))
	synctest.Test(t, func(t *testing.T) {
		server, err := TLS{CertFile: in("server.pem"), KeyFile: in("server.key"), CAFile: in("clients.pem")}.Server()
		if err != nil {
			t.Fatal(err)
		}
		client, err := TLS{CAFile: one.file, CertFile: in("client.pem"), KeyFile: in("client.key"), ServerName: "localhost"}.Client()
		if err != nil {
			t.Fatal(err)
		}
		expect := func(wantServer, wantClient string) {
			t.Helper()
			s, c, err := handshake(t, client(), server)
			if s != wantServer || c != wantClient || err != nil {
				t.Errorf("saw %q and %q, %v; want %q and %q", s, c, err, wantServer, wantClient)
			}
		}
		expect("server-1", "client-1")

		one.issue(t, in("server.pem"), in("server.key"), "server-two")
		one.issue(t, in("client.pem"), in("client.key"), "client-two")
		expect("server-1", "client-1") // the files were checked less than a second ago
		time.Sleep(2 * time.Second)
		expect("server-two", "client-two")

		write(t, in("client.pem"), "half written")
		time.Sleep(2 * time.Second)
		expect("server-two", "client-two")

		write(t, in("clients.pem"), encode("CERTIFICATE", two.cert.Raw)+"\n")
		time.Sleep(2 * time.Second)
		if _, _, err := handshake(t, client(), server); err == nil {
			t.Error("a client of an authority that was taken away is let in")
		}
		two.issue(t, in("client.pem"), in("client.key"), "client-of-two")
		time.Sleep(2 * time.Second)
		expect("server-two", "client-of-two")

		// UL7: the authorities that a client trusts are followed too.
		two.issue(t, in("server.pem"), in("server.key"), "server-of-two")
		time.Sleep(2 * time.Second)
		if _, _, err := handshake(t, client(), server); err == nil || !strings.Contains(err.Error(), "unknown authority") {
			t.Errorf("a server of an authority that is not in caFile: %v", err)
		}
		write(t, one.file, encode("CERTIFICATE", two.cert.Raw))
		time.Sleep(2 * time.Second)
		expect("server-of-two", "client-of-two")
		write(t, one.file, "half written")
		time.Sleep(2 * time.Second)
		expect("server-of-two", "client-of-two")
	})
}

func TestTLS_refusesStrangers(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	one, two := newAuthority(t, dir, "one"), newAuthority(t, dir, "two")
	one.issue(t, cert, key, "server")
	server, err := TLS{CertFile: cert, KeyFile: key}.Server()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, want string
		tls        TLS
	}{
		{"right", "", TLS{CAFile: one.file, ServerName: "localhost"}},
		{"right, by address", "", TLS{CAFile: one.file, ServerName: "127.0.0.1"}},
		{"wrong name", "not other.example", TLS{CAFile: one.file, ServerName: "other.example"}},
		{"wrong address", "not 127.0.0.2", TLS{CAFile: one.file, ServerName: "127.0.0.2"}},
		{"wrong authority", "unknown authority", TLS{CAFile: two.file, ServerName: "localhost"}},
		{"system's authorities", "unknown authority", TLS{ServerName: "localhost"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, err := test.tls.Client()
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err = handshake(t, client(), server); test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// dialling makes the configuration of a client, for its errors.
func dialling(s TLS) func() (*tls.Config, error) {
	return func() (*tls.Config, error) {
		_, err := s.Client()
		return nil, err
	}
}

func TestTLS_saysWhichFileIsWrong(t *testing.T) {
	dir := t.TempDir()
	cert, key, junk := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem"), filepath.Join(dir, "junk.pem")
	newAuthority(t, dir, "one").issue(t, cert, key, "x")
	write(t, junk, "junk")
	for name, test := range map[string]struct {
		make func() (*tls.Config, error)
		want string
	}{
		"no CA file":         {dialling(TLS{CAFile: "/no/ca"}), "read caFile: open /no/ca"},
		"junk CA file":       {dialling(TLS{CAFile: junk}), "read caFile: " + junk + " holds no certificate in PEM form"},
		"no client cert":     {dialling(TLS{CertFile: "/no/cert", KeyFile: key}), "read certFile and keyFile: open /no/cert"},
		"no server cert":     {TLS{CertFile: "/no/cert", KeyFile: key}.Server, "read certFile and keyFile: open /no/cert"},
		"server without":     {TLS{Enabled: true}.Server, "TLS for a listener needs certFile and keyFile"},
		"server's client CA": {TLS{CertFile: cert, KeyFile: key, CAFile: "/no/ca"}.Server, "read caFile: open /no/ca"},
	} {
		if _, err := test.make(); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
}

func TestTLS_validates(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"{certFile: /c}", "f.yaml:1:12: certFile: a certificate needs its key: add keyFile"},
		{"{keyFile: /k}", "f.yaml:1:11: keyFile: a key needs its certificate: add certFile"},
		{"{certFile: /c, keyFile: /k}", ""},
	} {
		var v TLS
		err := Decode("f.yaml", []byte(test.text), &v)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.HasPrefix(err.Error(), test.want+"\n")) {
			t.Errorf("%s: got %v", test.text, err)
		}
		if v.IsZero() || !(TLS{}).IsZero() {
			t.Error("IsZero")
		}
	}
}

func TestFiles_areAllThatAreReferredTo(t *testing.T) {
	secret := tempFile(t, "secret", "s")
	var f struct {
		TLS    TLS               `yaml:"tls"`
		Secret Secret            `yaml:"secret"`
		List   []Secret          `yaml:"list"`
		Map    map[string]Secret `yaml:"map"`
		PTLS   *TLS              `yaml:"ptls"`
		None   *TLS              `yaml:"none"`
		Any    any               `yaml:"any"`
		Size   Bytes             `yaml:"size"`
		Config Raw               `yaml:"config"`
		Absent Raw               `yaml:"absent"`
	}
	err := Decode("f.yaml", []byte(`
tls: {caFile: /ca, certFile: /cert, keyFile: /key}
ptls: {caFile: /ca}
secret: "${file:`+secret+`}"
list: ["${file:`+secret+`}"]
map: {k: "${file:`+secret+`}"}
any: {a: 1}
config:
  topic: a-${file:/b}-${file:/a}
  shared: &s {x: "${file:/shared}"}
  list: [*s, *s, {password: {secretRef: {name: n, key: k}}}, {secretRef: {name: .., key: k}}, {secretRef: {name: x}}]
  code: $${file:/no}
`), &f)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/a", "/b", "/ca", "/cert", "/etc/fiso/secrets/n/k", "/key", "/shared", secret}
	if got := Files(&f); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if got := Files(nil); got != nil {
		t.Errorf("got %q", got)
	}
}
