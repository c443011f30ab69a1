//go:build integration

package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type text = wrapperspb.StringValue

// service is a gRPC service in which the name of the method decides the answer.
type service struct {
	addr    string
	server  *grpc.Server
	calls   atomic.Int32
	began   chan struct{} // a call that waits has begun
	ended   chan error    // how the call ended
	refused atomic.Int32  // calls to be answered UNAVAILABLE
	md      atomic.Pointer[metadata.MD]
}

func newService(t *testing.T, opts ...grpc.ServerOption) *service {
	t.Helper()
	s := &service{began: make(chan struct{}, 1), ended: make(chan error, 1)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	s.server = grpc.NewServer(append(opts, grpc.UnknownServiceHandler(s.handle))...)
	var served sync.WaitGroup
	served.Go(func() { _ = s.server.Serve(l) }) // up to its end, and whatever it says of it
	t.Cleanup(func() { s.server.Stop(); served.Wait() })
	return s
}

func (s *service) handle(_ any, stream grpc.ServerStream) error {
	s.calls.Add(1)
	method, _ := grpc.MethodFromServerStream(stream)
	md, _ := metadata.FromIncomingContext(stream.Context())
	s.md.Store(&md)
	if s.refused.Add(-1) >= 0 {
		return status.Error(codes.Unavailable, "not now")
	}
	stream.SetTrailer(metadata.Pairs("x-trailer", "late"))
	switch method {
	case "/test.Service/Wait":
		if err := stream.SendHeader(metadata.Pairs("x-header", "early")); err != nil {
			return err
		}
		s.began <- struct{}{}
		<-stream.Context().Done()
		s.ended <- stream.Context().Err()
		return stream.Context().Err()
	case "/test.Service/Fail":
		return status.Error(codes.FailedPrecondition, "no: 100 % ä")
	case "/test.Service/Count":
		for i := range 100 {
			if err := stream.SendMsg(wrapperspb.String(fmt.Sprint(i))); err != nil {
				return err
			}
		}
		return nil
	case "/test.Service/Sum":
		n := 0
		for {
			var m text
			if err := stream.RecvMsg(&m); errors.Is(err, io.EOF) {
				return stream.SendMsg(wrapperspb.String(fmt.Sprint(n)))
			} else if err != nil {
				return err
			}
			n++
		}
	}
	for { // Echo
		var m text
		if err := stream.RecvMsg(&m); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := stream.SendMsg(&m); err != nil {
			return err
		}
	}
}

// application returns a gRPC client that is connected to fiso-link, and a context that
// names the target.
func application(t *testing.T, l *link, target string) (*grpc.ClientConn, context.Context) {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+l.calls, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // the test is over
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return c, metadata.AppendToOutgoingContext(ctx, "fiso-target", target)
}

func both(name string) *grpc.StreamDesc {
	return &grpc.StreamDesc{StreamName: name, ServerStreams: true, ClientStreams: true}
}

func (s *service) target(settings string) string {
	return fmt.Sprintf("targets:\n  - {name: crm, protocol: grpc, host: crm.example, endpoints: [%q]%s}\n", s.addr, settings)
}

func TestGRPC_unary(t *testing.T) {
	s := newService(t)
	t.Setenv("CRM_TOKEN", "s3cret")
	l := start(t, s.target(", auth: {type: bearer, secretRef: {envVar: CRM_TOKEN}}, allowedPaths: [/test.Service/*]"))
	c, ctx := application(t, l, "crm")
	var got text
	var header, trailer metadata.MD
	err := c.Invoke(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer the application's", "x-own", "1"), "/test.Service/Echo", wrapperspb.String("hi"), &got, grpc.Header(&header), grpc.Trailer(&trailer))
	if err != nil || got.Value != "hi" || trailer.Get("x-trailer")[0] != "late" {
		t.Fatal(err, got.Value, header, trailer, l.log.String())
	}
	md := *s.md.Load()
	if a := md.Get("authorization"); len(a) != 1 || a[0] != "Bearer s3cret" || len(md.Get("fiso-target")) > 0 || md.Get("x-own")[0] != "1" || md.Get(":authority")[0] != "crm.example" {
		t.Error("the target saw", md)
	}
	if err := c.Invoke(ctx, "/test.Service/Fail", wrapperspb.String(""), &got); status.Code(err) != codes.FailedPrecondition || status.Convert(err).Message() != "no: 100 % ä" {
		t.Error("the target's error:", err)
	}
	before := s.calls.Load()
	for name, test := range map[string]struct {
		ctx    context.Context
		method string
		code   codes.Code
	}{
		"a path that is not allowed": {ctx, "/other.Service/Echo", codes.PermissionDenied},
		"a path that climbs":         {ctx, "/test.Service/../other.Service/Echo", codes.InvalidArgument},
		"no such target":             {metadata.AppendToOutgoingContext(t.Context(), "fiso-target", "erp"), "/test.Service/Echo", codes.Unimplemented},
		"no target":                  {t.Context(), "/test.Service/Echo", codes.Unimplemented},
		"two targets":                {metadata.AppendToOutgoingContext(ctx, "fiso-target", "crm"), "/test.Service/Echo", codes.Unimplemented},
	} {
		if err := c.Invoke(test.ctx, test.method, wrapperspb.String(""), &got); status.Code(err) != test.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s.calls.Load() != before {
		t.Error("what was refused reached the target")
	}
}

func TestGRPC_byAPrefix(t *testing.T) {
	s := newService(t)
	l := start(t, s.target(""))
	c, _ := application(t, l, "")
	var got text
	if err := c.Invoke(t.Context(), "/link/crm/test.Service/Echo", wrapperspb.String("hi"), &got); err != nil || got.Value != "hi" {
		t.Error(err, got.Value)
	}
}

func TestGRPC_streams(t *testing.T) {
	s := newService(t)
	l := start(t, s.target(", timeout: 1s")) // does not apply to streams
	c, ctx := application(t, l, "crm")
	var m text

	down, err := c.NewStream(ctx, both("Count"), "/test.Service/Count")
	if err != nil || down.CloseSend() != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := down.RecvMsg(&m); err != nil || m.Value != fmt.Sprint(i) {
			t.Fatal(i, m.Value, err)
		}
	}
	if err := down.RecvMsg(&m); !errors.Is(err, io.EOF) || down.Trailer().Get("x-trailer")[0] != "late" {
		t.Error(err, down.Trailer())
	}

	up, err := c.NewStream(ctx, both("Sum"), "/test.Service/Sum")
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if err := up.SendMsg(wrapperspb.String("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(up.CloseSend(), up.RecvMsg(&m)); err != nil || m.Value != "1000" {
		t.Error(m.Value, err)
	}

	echo, err := c.NewStream(ctx, both("Echo"), "/test.Service/Echo")
	if err != nil {
		t.Fatal(err)
	}
	pause := time.After(1200 * time.Millisecond) // longer than timeout
	for i := range 100 {
		if i == 50 {
			<-pause
		}
		if err := errors.Join(echo.SendMsg(wrapperspb.String(fmt.Sprint(i))), echo.RecvMsg(&m)); err != nil || m.Value != fmt.Sprint(i) {
			t.Fatal(i, m.Value, err)
		}
	}
	if err := echo.CloseSend(); err != nil || !errors.Is(echo.RecvMsg(&m), io.EOF) {
		t.Error(err)
	}
}

func TestGRPC_deadlineAndCancellationReachTheTarget(t *testing.T) {
	s := newService(t)
	l := start(t, s.target(""))
	c, ctx := application(t, l, "crm")
	for name, test := range map[string]struct {
		ctx  func() (context.Context, context.CancelFunc)
		code codes.Code
	}{
		"deadline":     {func() (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, 300*time.Millisecond) }, codes.DeadlineExceeded},
		"cancellation": {func() (context.Context, context.CancelFunc) { return context.WithCancel(ctx) }, codes.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := test.ctx()
			defer cancel()
			stream, err := c.NewStream(ctx, both("Wait"), "/test.Service/Wait")
			if err != nil {
				t.Fatal(err)
			}
			<-s.began
			if h, err := stream.Header(); err != nil || h.Get("x-header")[0] != "early" {
				t.Error("the head waits for more:", h, err)
			}
			if name == "cancellation" {
				cancel()
			}
			var m text
			if err := stream.RecvMsg(&m); status.Code(err) != test.code {
				t.Error(err)
			}
			if err := <-s.ended; err == nil {
				t.Error("the target was not told")
			}
		})
	}
}

func TestGRPC_aServerKilledMidwayBreaksTheCall(t *testing.T) {
	s := newService(t)
	l := start(t, s.target(""))
	c, ctx := application(t, l, "crm")
	echo, err := c.NewStream(ctx, both("Echo"), "/test.Service/Echo")
	var m text
	if err := errors.Join(err, echo.SendMsg(wrapperspb.String("hi")), echo.RecvMsg(&m)); err != nil {
		t.Fatal(err)
	}
	s.server.Stop()
	if err := echo.RecvMsg(&m); err == nil || errors.Is(err, io.EOF) {
		t.Error("a stream that broke ended well:", err)
	}
	if err := c.Invoke(ctx, "/test.Service/Echo", wrapperspb.String("hi"), &m); status.Code(err) != codes.Unavailable {
		t.Error("a target that is not there:", err)
	}
}

func TestGRPC_retriesWhatIsSafe(t *testing.T) {
	for name, test := range map[string]struct {
		settings, key string
		calls         int32
		code          codes.Code
	}{
		"unsafe":          {"", "", 1, codes.Unavailable},
		"made safe":       {", retry: {unsafe: true, initialInterval: 1ms}", "", 3, codes.OK},
		"safe by its key": {", retry: {initialInterval: 1ms}", "k", 3, codes.OK},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			l := start(t, s.target(test.settings))
			c, ctx := application(t, l, "crm")
			s.refused.Store(2)
			if test.key != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, "idempotency-key", test.key)
			}
			var m text
			if err := c.Invoke(ctx, "/test.Service/Echo", wrapperspb.String("hi"), &m); status.Code(err) != test.code || s.calls.Load() != test.calls {
				t.Error(err, s.calls.Load())
			}
		})
	}
}

// L13: a stream of an unchanged target survives a reload
// (https://github.com/caddyserver/caddy/issues/6420); one of a changed target ends by
// the drain deadline.
func TestGRPC_streamsAndReloads(t *testing.T) {
	s := newService(t)
	l := start(t, s.target(""))
	c, ctx := application(t, l, "crm")
	echo, err := c.NewStream(ctx, both("Echo"), "/test.Service/Echo")
	var m text
	if err := errors.Join(err, echo.SendMsg(wrapperspb.String("1")), echo.RecvMsg(&m)); err != nil {
		t.Fatal(err)
	}
	l.write(s.target("") + aTarget("another", "127.0.0.1:1", ""))
	l.shows(`fiso_link_reloads_total{status="success"} 1`)
	if err := errors.Join(echo.SendMsg(wrapperspb.String("2")), echo.RecvMsg(&m)); err != nil || m.Value != "2" {
		t.Error("a reload of others cut it:", err)
	}
	l.write(s.target(", timeout: 1m"))
	if err := echo.RecvMsg(&m); err == nil || errors.Is(err, io.EOF) {
		t.Error("it ended well, or never:", err)
	}
	if err := c.Invoke(ctx, "/test.Service/Echo", wrapperspb.String("3"), &m); err != nil || m.Value != "3" {
		t.Error("the target as it is now:", err)
	}
}

func TestGRPC_throughMutualTLS(t *testing.T) {
	dir := t.TempDir()
	cert := selfSigned(t, dir)
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	s := newService(t, grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: tls.VersionTLS12,
	})))
	settings := fmt.Sprintf(", tls: {caFile: %[1]s/cert.pem, serverName: crm.example, certFile: %[1]s/cert.pem, keyFile: %[1]s/key.pem}, auth: {type: mtls}", dir)
	for protocol, target := range map[string]string{"grpc": s.target(settings), "https": strings.Replace(s.target(settings), "protocol: grpc", "protocol: https", 1)} {
		t.Run(protocol, func(t *testing.T) {
			c, ctx := application(t, start(t, target), "crm")
			var m text
			if err := c.Invoke(ctx, "/test.Service/Echo", wrapperspb.String("hi"), &m); err != nil || m.Value != "hi" {
				t.Error(err, m.Value)
			}
		})
	}
}

// selfSigned makes a certificate for client and server, and writes it with its key.
func selfSigned(t *testing.T, dir string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"crm.example"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "cert.pem"), certPEM, 0o600), os.WriteFile(filepath.Join(dir, "key.pem"), keyPEM, 0o600)); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}
