package temporal

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	namespacepb "go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

// steps renders the result of Check, a line for each step.
func steps(all []connector.Step) string {
	var b strings.Builder
	for _, s := range all {
		b.WriteString(s.Name)
		if s.Err != nil {
			b.WriteString(" FAILS " + s.Err.Error())
		}
		if s.Warning != "" {
			b.WriteString(" WARNS " + s.Warning)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestCheck_showsEachStep(t *testing.T) {
	srv := newServer(t)
	cfg := sinkConfig(srv.address, ActionStart)
	cfg.Auth.APIKey = config.NewSecret("key")
	s := newTestSink(t, cfg, SinkOptions{TaskQueues: []string{"orders"}, SearchAttributes: map[string]string{"Customer": "keyword"}})
	want := "compare the lengths of names\nget the credential\nconnect to " + srv.address + "\nauthenticate\nfind namespace default (retention 72h0m0s)\n" +
		"compare search attributes\nlook for workers of task queue orders\n"
	if got := steps(s.Check(t.Context())); got != want {
		t.Errorf("the steps are\n%swant\n%s", got, want)
	}
}

func TestCheck_saysWhichStepFails(t *testing.T) {
	answer := func(kind any, answer any, err error) func(context.Context, any) (any, error) {
		return func(_ context.Context, request any) (any, error) {
			switch request.(type) {
			case *workflowservice.DescribeNamespaceRequest:
				if _, ok := kind.(*workflowservice.DescribeNamespaceRequest); ok {
					return answer, err
				}
			case *workflowservice.DescribeTaskQueueRequest:
				if _, ok := kind.(*workflowservice.DescribeTaskQueueRequest); ok {
					return answer, err
				}
			case *operatorservice.ListSearchAttributesRequest:
				if _, ok := kind.(*operatorservice.ListSearchAttributesRequest); ok {
					return answer, err
				}
			}
			return nil, nil
		}
	}
	namespace := func(state enumspb.NamespaceState, retention time.Duration) *workflowservice.DescribeNamespaceResponse {
		return &workflowservice.DescribeNamespaceResponse{
			NamespaceInfo: &namespacepb.NamespaceInfo{State: state}, Config: &namespacepb.NamespaceConfig{WorkflowExecutionRetentionTtl: durationpb.New(retention)},
		}
	}
	var (
		ns     = new(workflowservice.DescribeNamespaceRequest)
		queue  = new(workflowservice.DescribeTaskQueueRequest)
		search = new(operatorservice.ListSearchAttributesRequest)
	)
	types := &operatorservice.ListSearchAttributesResponse{SystemAttributes: map[string]enumspb.IndexedValueType{"Customer": enumspb.INDEXED_VALUE_TYPE_KEYWORD_LIST}}
	for _, row := range []struct {
		name   string
		script func(context.Context, any) (any, error)
		want   string
	}{
		{"token", answer(ns, nil, status.Error(codes.Unauthenticated, "who are you")), "authenticate FAILS Unauthenticated: who are you; check auth, and what the credential may do in the namespace\n"},
		{"permission", answer(ns, nil, serviceerror.NewPermissionDenied("no", "")), "authenticate FAILS PermissionDenied: no; check auth"},
		{"namespace", answer(ns, nil, serviceerror.NewNamespaceNotFound("default")), "find namespace default FAILS NotFound: Namespace default is not found.; check namespace"},
		{"protocol", answer(ns, nil, status.Error(codes.Unimplemented, "unknown service")), "speak gRPC with the server FAILS Unimplemented: unknown service; check address"},
		{"deleted", answer(ns, namespace(enumspb.NAMESPACE_STATE_DELETED, 72*time.Hour), nil), "use namespace default FAILS it is Deleted: register it, or choose another\n"},
		{"retention", answer(ns, namespace(enumspb.NAMESPACE_STATE_REGISTERED, time.Hour), nil), "(retention 1h0m0s) WARNS a closed workflow is forgotten after 1h0m0s: an event that comes again later starts it again\n"},
		{"attribute", answer(search, new(operatorservice.ListSearchAttributesResponse), nil), "compare search attributes FAILS Customer: the namespace has no such search attribute: add it with `temporal operator search-attribute create --name Customer --type Keyword`\n"},
		{"type", answer(search, types, nil), "compare search attributes FAILS Customer: its type is keywordList on the server, and keyword here\n"},
		{"cloud", answer(search, nil, serviceerror.NewPermissionDenied("no", "")), "compare search attributes WARNS the server does not say which search attributes it has\nlook for workers"},
		{"search", answer(search, nil, serviceerror.NewInternal("bug")), "compare search attributes FAILS Internal: bug\n"},
		{"workers", answer(queue, new(workflowservice.DescribeTaskQueueResponse), nil), "look for workers of task queue orders WARNS no worker polls the task queue: workflows start, and wait for one\n"},
		{"queue", answer(queue, nil, serviceerror.NewInternal("bug")), "look for workers of task queue orders FAILS Internal: bug\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			srv := newServer(t)
			srv.answers(row.script)
			s := newTestSink(t, sinkConfig(srv.address, ActionStart), SinkOptions{TaskQueues: []string{"orders"}, SearchAttributes: map[string]string{"Customer": "keyword"}})
			all := s.Check(t.Context())
			if got := steps(all); !strings.Contains(got, row.want) {
				t.Errorf("the steps are\n%swant\n%s", got, row.want)
			}
			if i := slices.IndexFunc(all, func(s connector.Step) bool { return s.Err != nil }); i >= 0 && i != len(all)-1 {
				t.Error("Check goes on after a step that fails")
			}
		})
	}
}

func TestCheck_findsWhatIsTooLong(t *testing.T) {
	srv := newServer(t)
	long := strings.Repeat("x", 1001)
	s := newTestSink(t, sinkConfig(srv.address, ActionStart), SinkOptions{TaskQueues: []string{long}})
	if got := steps(s.Check(t.Context())); !strings.HasPrefix(got, "compare the lengths of names FAILS") || !strings.Contains(got, "1001 bytes") {
		t.Errorf("the steps are\n%s", got)
	}
	s = newTestSink(t, sinkConfig(srv.address, ActionStart), SinkOptions{Flow: strings.Repeat("f", 900)})
	if got := steps(s.Check(t.Context())); !strings.Contains(got, "WARNS the name of the flow leaves 99 bytes of a workflow id") {
		t.Errorf("the steps are\n%s", got)
	}
}

func TestCheck_findsWhatTheConnectionLacks(t *testing.T) {
	pair := httptest.NewUnstartedServer(nil)
	pair.StartTLS()
	certificate, leaf := pair.TLS.Certificates[0], pair.Certificate()
	pair.Close()
	secure := newServer(t, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})))
	plain := newServer(t)
	caFile := writeFile(t, "ca.pem", certificatePEM(leaf))
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		change func(c *SinkConfig)
		want   []string
	}{
		{"name", func(c *SinkConfig) { c.Address = "no-such-host.invalid:7233" }, []string{"resolve no-such-host.invalid FAILS", "check the name"}},
		{"port", func(c *SinkConfig) { c.Address = closed.Addr().String() }, []string{"connect to " + closed.Addr().String() + " FAILS", "connection refused; check address"}},
		{"credential", func(c *SinkConfig) { c.Auth.APIKey = config.SecretFile("/nonexistent/key") }, []string{"get the credential FAILS credential (auth.apiKey)"}},
		{"TLS", func(c *SinkConfig) {
			c.Address, c.TLS = secure.address, config.TLS{CAFile: caFile, ServerName: "example.com"}
		}, []string{"TLS with example.com\nfind namespace default (retention 72h0m0s)\n"}},
		{"no TLS there", func(c *SinkConfig) { c.TLS.Enabled = true }, []string{"TLS with 127.0.0.1 FAILS", "check tls, and that the server speaks TLS"}},
		{"no TLS here", func(c *SinkConfig) { c.Address = secure.address; c.Timeouts.Attempt = time.Second }, []string{"speak gRPC with the server FAILS"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg := sinkConfig(plain.address, ActionStart)
			row.change(&cfg)
			got := steps(newTestSink(t, cfg, SinkOptions{}).Check(t.Context()))
			for _, want := range row.want {
				if !strings.Contains(got, want) {
					t.Errorf("the steps are\n%swant\n%s", got, want)
				}
			}
		})
	}
}

func TestCheck_fetchesATokenForEachCall(t *testing.T) {
	srv, oauth := newServer(t), newTokens(t)
	cfg := sinkConfig(srv.address, ActionStart)
	cfg.Auth.OAuth2 = oauth.config()
	s := newTestSink(t, cfg, SinkOptions{})
	oauth.says(func(w http.ResponseWriter, _ int64) { w.WriteHeader(401) })
	if got := steps(s.Check(t.Context())); !strings.Contains(got, "get the credential FAILS the OAuth2 server answered 401") {
		t.Errorf("the steps are\n%s", got)
	}
}

func TestCheck_ofASourceShowsEachStep(t *testing.T) {
	srv := newServer(t)
	cfg := SourceConfig{ClientConfig: ClientConfig{Address: srv.address, Auth: ClientAuth{APIKey: config.NewSecret("key")}}, TaskQueue: "events"}
	s := newTestSource(t, cfg, SourceOptions{})
	want := "get the credential\nconnect to " + srv.address + "\nauthenticate\nfind namespace default (retention 72h0m0s)\n"
	for range 2 { // Check may be called again
		if got := steps(s.Check(t.Context())); got != want {
			t.Errorf("the steps are\n%swant\n%s", got, want)
		}
	}
	if _, md := last[*workflowservice.DescribeNamespaceRequest](t, srv); strings.Join(md.Get("authorization"), ",") != "Bearer key" {
		t.Errorf("the credential is %q", md.Get("authorization"))
	}
	srv.fails(serviceerror.NewNamespaceNotFound("default"))
	if got := steps(s.Check(t.Context())); !strings.Contains(got, "find namespace default FAILS NotFound: Namespace default is not found.; check namespace") {
		t.Errorf("the steps are\n%s", got)
	}
}

func TestSink_dialsByItsOption(t *testing.T) {
	srv := newServer(t)
	asked := make(chan string, 16)
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		asked <- address
		return new(net.Dialer).DialContext(ctx, network, srv.address)
	}
	s := newTestSink(t, sinkConfig("temporal.invalid:7233", ActionStart), SinkOptions{Dial: dial})
	if err := s.Send(t.Context(), order("1")); err != nil {
		t.Fatal(err)
	}
	if got := <-asked; got != "temporal.invalid:7233" {
		t.Errorf("Dial was asked for %s", got)
	}
	if got := steps(s.Check(t.Context())); strings.Contains(got, "resolve") || !strings.Contains(got, "connect to temporal.invalid:7233\n") {
		t.Errorf("the steps are\n%s", got)
	}
}

func TestNewSink_saysWhatIsMissing(t *testing.T) {
	good := func() (SinkConfig, SinkOptions) {
		return sinkConfig("temporal:7233", ActionStart), SinkOptions{Call: toOrder}
	}
	noCA := config.TLS{CAFile: "/nonexistent/ca.pem"}
	for text, change := range map[string]func(c *SinkConfig, o *SinkOptions){
		"address is required":           func(c *SinkConfig, _ *SinkOptions) { c.Address = "" },
		"SinkOptions.Call is required":  func(_ *SinkConfig, o *SinkOptions) { o.Call = nil },
		"address: not an address":       func(c *SinkConfig, _ *SinkOptions) { c.Address = "temporal" },
		"certFile: a certificate needs": func(c *SinkConfig, _ *SinkOptions) { c.TLS.CertFile = "x" },
		"tls: read caFile":              func(c *SinkConfig, _ *SinkOptions) { c.TLS = noCA },
		"codec.tls: read caFile":        func(c *SinkConfig, _ *SinkOptions) { c.Codec = Codec{Endpoint: "https://codec", TLS: noCA} },
		"auth.oauth2.tls: read caFile": func(c *SinkConfig, _ *SinkOptions) {
			c.TLS.Enabled = true
			c.Auth.OAuth2 = OAuth2{TokenURL: "https://a", ClientID: "b", ClientSecret: config.NewSecret("c"), TLS: noCA}
		},
		`search attribute "A": "uuid" is none`: func(_ *SinkConfig, o *SinkOptions) { o.SearchAttributes = map[string]string{"A": "uuid"} },
	} {
		cfg, opts := good()
		change(&cfg, &opts)
		if _, err := NewSink(cfg, opts); err == nil || !strings.HasPrefix(err.Error(), "temporal sink: ") || !strings.Contains(err.Error(), text) {
			t.Errorf("NewSink returned %v; want %q in it", err, text)
		}
	}
}
