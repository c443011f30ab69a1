package grpc

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/config/configtest"
	"github.com/lsm/fiso/common/connector"
	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

// authority signs certificates for tests.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	a.cert, a.key = a.create(template, template, nil)
	a.file("ca.pem", configtest.PEM(a.cert))
	return a
}

func (a *authority) create(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// leaf writes a certificate and its key as <name>.pem and <name>.key, and returns it.
func (a *authority) leaf(name string) tls.Certificate {
	a.t.Helper()
	cert, key := a.create(&x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost", name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, a.key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.file(name+".pem", configtest.PEM(cert))
	a.file(name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

func (a *authority) file(name string, content []byte) {
	a.t.Helper()
	if err := os.WriteFile(a.path(name), content, 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// server returns the option of a server that requires client certificates of a.
func (a *authority) server() grpc.ServerOption {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{a.leaf("server")}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}))
}

// localhost is the target of a receiver by name, for certificates.
func (r *receiver) localhost(t *testing.T) string {
	t.Helper()
	_, port, err := net.SplitHostPort(r.address)
	if err != nil {
		t.Fatal(err)
	}
	return "localhost:" + port
}

func TestSink_presentsAClientCertificateAndFollowsItsFiles(t *testing.T) {
	t.Parallel()
	good, other := newAuthority(t), newAuthority(t)
	r := newReceiver(t, nil, good.server())
	other.leaf("client")
	for _, name := range []string{"client.pem", "client.key"} { // of another authority, for now
		content, err := os.ReadFile(other.path(name))
		if err != nil {
			t.Fatal(err)
		}
		good.file(name, content)
	}
	s := newTestSink(t, SinkConfig{Target: r.localhost(t), ConnectTimeout: 2 * time.Second,
		TLS: config.TLS{CAFile: good.path("ca.pem"), CertFile: good.path("client.pem"), KeyFile: good.path("client.key")}})
	wantError(t, s.Send(t.Context(), order("a")), connector.Unavailable, "Unavailable: ")
	good.leaf("client")
	eventually(t, "the new certificate is used", func() bool { return s.Send(t.Context(), order("b")) == nil })
}

// UL7: the next connection uses a rotated caFile.
func TestSink_followsCAFile(t *testing.T) {
	t.Parallel()
	configtest.FollowsCAFile(t, func(caFile string) func(address string) (net.Conn, error) {
		s := newTestSink(t, SinkConfig{Target: "example.com:443", TLS: config.TLS{CAFile: caFile, ServerName: "example.com"}})
		return func(address string) (net.Conn, error) { return tls.Dial("tcp", address, s.tls.next()) }
	})
}

func TestSink_checksTheNameOfTheServer(t *testing.T) {
	a := newAuthority(t)
	r := newReceiver(t, nil, a.server())
	a.leaf("client")
	settings := config.TLS{CAFile: a.path("ca.pem"), CertFile: a.path("client.pem"), KeyFile: a.path("client.key"), ServerName: "server"}
	send(t, newTestSink(t, SinkConfig{Target: r.address, TLS: settings}), order("a")).wantOK()
	settings.ServerName = "another"
	s := newTestSink(t, SinkConfig{Target: r.address, TLS: settings})
	wantError(t, s.Send(t.Context(), order("b")), connector.Unavailable, "certificate is valid for localhost, server, not another")
}

func TestSink_presentsTheCurrentToken(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := newReceiver(t, func(r *receiver) {
		r.open = func(s *session) error {
			if got := s.meta.Get("authorization"); !slices.Equal(got, []string{"Bearer second"}) {
				return status.Errorf(codes.Unauthenticated, "not a token: %v\n", got)
			}
			return nil
		}
	})
	write("first\n")
	s := newTestSink(t, SinkConfig{Target: r.address, Flow: "orders", Auth: SinkAuth{Type: "bearer", Token: config.SecretFile(file)}})
	err := s.Send(t.Context(), order("a"))
	wantError(t, err, connector.Blocked, "Unauthenticated: not a token: [Bearer ***]; the receiver does not accept the credential")
	if strings.Contains(err.Error(), "first") {
		t.Errorf("the token is in %q", err)
	}
	write("second\n")
	eventually(t, "the new token is presented", func() bool { return s.Send(t.Context(), order("b")) == nil })
	meta := r.at(t, r.count()-1).meta
	if got := meta.Get("fiso-flow"); !slices.Equal(got, []string{"orders"}) {
		t.Errorf("fiso-flow is %q", got)
	}
	if got := meta.Get("user-agent"); len(got) != 1 || !strings.HasPrefix(got[0], "fiso-connector-grpc") {
		t.Errorf("user-agent is %q", got)
	}
}

func TestSink_isBlockedWithoutItsToken(t *testing.T) {
	r := newReceiver(t, nil)
	for token, want := range map[string]string{"": "the token is empty", "a\nb": "the token holds a line break"} {
		s := newTestSink(t, SinkConfig{Target: r.address, Auth: SinkAuth{Type: "bearer", Token: config.NewSecret(token)}})
		wantError(t, s.Send(t.Context(), order("a")), connector.Blocked, "credential (auth.type bearer): "+want)
	}
	if r.count() > 0 {
		t.Error("a stream was opened without the token")
	}
}

func TestSink_quotesAServerWithinLimits(t *testing.T) {
	s := newTestSink(t, SinkConfig{Target: "localhost:1"})
	if got := s.quoted("a\r\nb\x1b[31m\xff"); got != ": a  b [31m" {
		t.Errorf("got %q", got)
	}
	if got := s.quoted(" \n"); got != "" {
		t.Errorf("got %q", got)
	}
	if got := s.quoted(strings.Repeat("ü", 200)); got != ": "+strings.Repeat("ü", 150)+"…" {
		t.Errorf("got %q", got)
	}
}

// nameServer answers every question for addresses with these.
func nameServer(t *testing.T, addresses ...[4]byte) (address string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		_ = conn.Close()
		serving.Wait()
	})
	serving.Go(func() {
		buf := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			end := 12 + bytes.IndexByte(buf[12:n], 0) + 5 // of the question
			answers := addresses
			if buf[end-3] != 1 { // not of type A
				answers = nil
			}
			out := []byte{buf[0], buf[1], 0x81, 0x80, 0, 1, 0, byte(len(answers)), 0, 0, 0, 0}
			out = append(out, buf[12:end]...)
			for _, a := range answers {
				out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
				out = append(out, a[:]...)
			}
			_, _ = conn.WriteTo(out, from) // the resolver asks again
		}
	})
	return conn.LocalAddr().String()
}

// Streams go round robin to all addresses of the name, and past one that is away.
func TestSink_spreadsStreamsOverTheAddresses(t *testing.T) {
	oneEventPerStream := func(r *receiver) {
		r.take = func(s *session, e *pb.StreamEvent) {
			s.ok(e.GetSeq())
			s.end(nil)
		}
	}
	first := newReceiver(t, oneEventPerStream)
	_, port, err := net.SplitHostPort(first.address)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Skipf("a second loopback address on the same port: %v", err)
	}
	_ = ln.Close()
	second := &receiver{settings: generous}
	oneEventPerStream(second)
	second.listen(t, "127.0.0.2:"+port)
	t.Cleanup(func() {
		second.server.Stop()
		second.wait.Wait()
	})
	names := nameServer(t, [4]byte{127, 0, 0, 1}, [4]byte{127, 0, 0, 2})
	s := newTestSink(t, SinkConfig{Target: "dns://" + names + "/orders.test:" + port})
	deliver := func() bool { return s.Send(t.Context(), order("a")) == nil }
	eventually(t, "both servers get streams", func() bool { return deliver() && first.count() > 0 && second.count() > 0 })
	second.server.Stop()
	n := first.count()
	eventually(t, "the other server gets the streams", func() bool { return deliver() && first.count() > n+2 })
}

func TestSink_dialsASocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	var dialed []string
	r := newReceiver(t, nil)
	s := newTestSink(t, SinkConfig{Target: "unix://" + path}, SinkOptions{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		dialed = append(dialed, network+" "+address)
		return (&net.Dialer{}).DialContext(ctx, "tcp", r.address)
	}})
	send(t, s, order("a")).wantOK()
	if want := []string{"unix " + path}; !slices.Equal(dialed, want) {
		t.Errorf("dialed %q; want %q", dialed, want)
	}
}

func TestSink_waitsForTheServerToComeBack(t *testing.T) {
	r := newReceiver(t, nil)
	s := newTestSink(t, SinkConfig{Target: r.address})
	send(t, s, order("a")).wantOK()
	r.server.Stop()
	eventually(t, "the outage is seen", func() bool { return s.Send(t.Context(), order("b")) != nil })
	r.listen(t, r.address)
	eventually(t, "events are delivered again", func() bool { return s.Send(t.Context(), order("c")) == nil })
}

func stepNames(steps []connector.Step) (names []string) {
	for _, s := range steps {
		name := s.Name
		if s.Err != nil {
			name += ": " + s.Err.Error()
		}
		names = append(names, name)
	}
	return names
}

func TestSink_checksStepByStep(t *testing.T) {
	a := newAuthority(t)
	a.leaf("client")
	secure := newReceiver(t, nil, a.server())
	plain := newReceiver(t, nil)
	mute := newReceiver(t, func(r *receiver) { r.mute = true })
	refusing := newReceiver(t, func(r *receiver) {
		r.open = func(*session) error { return status.Error(codes.NotFound, "no such flow") }
	})
	paused := newReceiver(t, func(r *receiver) { r.settings = nil })
	down := newReceiver(t, nil)
	down.server.Stop()
	mutual := config.TLS{CAFile: a.path("ca.pem"), CertFile: a.path("client.pem"), KeyFile: a.path("client.key")}
	bearer := func(token string) SinkAuth { return SinkAuth{Type: "bearer", Token: config.NewSecret(token)} }
	const opened = "open a stream: 1000 events and 16777216 bytes in flight, 1048576 bytes an event"
	for _, row := range []struct {
		name string
		cfg  SinkConfig
		want []string // prefixes
	}{
		{"all is well", SinkConfig{Target: plain.address}, []string{"connect to 127", opened}},
		{"with TLS, a name and a token", SinkConfig{Target: secure.localhost(t), TLS: mutual, Auth: bearer("t")},
			[]string{"read the token", "resolve localhost", "connect to localhost", "TLS", opened}},
		{"no token", SinkConfig{Target: plain.address, Auth: bearer("")}, []string{"read the token: credential (auth.type bearer): the token is empty"}},
		{"no name", SinkConfig{Target: "no-such-name.invalid:1"}, []string{"resolve no-such-name.invalid: lookup"}},
		{"nobody listens", SinkConfig{Target: down.address}, []string{"connect to 127.0.0.1:"}},
		{"no TLS there", SinkConfig{Target: plain.address, TLS: mutual}, []string{"connect to 127", "TLS: "}},
		{"no Settings", SinkConfig{Target: mute.address, ConnectTimeout: 200 * time.Millisecond}, []string{"connect to 127", "open a stream: connected, but no Settings in time"}},
		{"no such flow", SinkConfig{Target: refusing.address, Flow: "x"},
			[]string{"connect to 127", "open a stream: publish to " + refusing.address + ": NotFound: no such flow; the receiver has no flow x: check flow"}},
		{"no credit", SinkConfig{Target: paused.address}, []string{"connect to 127", "open a stream: 0 events"}},
	} {
		steps := newTestSink(t, row.cfg).Check(t.Context())
		got := stepNames(steps)
		if !slices.EqualFunc(got, row.want, strings.HasPrefix) {
			t.Errorf("%s:\ngot  %q\nwant %q", row.name, got, row.want)
		}
		last := steps[len(steps)-1]
		if (row.name == "no credit") != (last.Warning != "") {
			t.Errorf("%s: the warning is %q", row.name, last.Warning)
		}
		if n := len(steps) - 1; last.Err != nil && n >= 0 && slices.ContainsFunc(steps[:n], func(s connector.Step) bool { return s.Err != nil }) {
			t.Errorf("%s: goes on after a step that failed: %q", row.name, got)
		}
	}
}
