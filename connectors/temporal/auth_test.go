package temporal

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/config/configtest"
	"github.com/lsm/fiso/common/connector"
)

func writeFile(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func certificatePEM(c *x509.Certificate) []byte { return configtest.PEM(c) }

// bearer returns the authorization of the newest request.
func bearer(t *testing.T, srv *server) string {
	t.Helper()
	_, md := last[*workflowservice.StartWorkflowExecutionRequest](t, srv)
	return strings.Join(md.Get("authorization"), ",")
}

func TestSink_followsARotatedAPIKey(t *testing.T) {
	t.Parallel() // it mostly waits
	srv := newServer(t)
	file := writeFile(t, "key", []byte("first\n"))
	cfg := sinkConfig(srv.address, ActionStart)
	cfg.Auth.APIKey = config.SecretFile(file)
	s := newTestSink(t, cfg, SinkOptions{})
	if err := s.Send(t.Context(), order("1")); err != nil {
		t.Fatal(err)
	}
	if got := bearer(t, srv); got != "Bearer first" {
		t.Errorf("authorization is %q", got)
	}
	if err := os.WriteFile(file, []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "the new key is sent", func() bool {
		return s.Send(t.Context(), order("1")) == nil && bearer(t, srv) == "Bearer second"
	})
}

func TestSink_holdsEventsWhileItHasNoKey(t *testing.T) {
	srv := newServer(t)
	for text, secret := range map[string]config.Secret{
		"the secret is empty":     config.NewSecret(""),
		"a header cannot have":    config.NewSecret("a\nb"),
		"read secret":             config.SecretFile("/nonexistent/key"),
		"credential (auth.apiKey": config.SecretFile("/nonexistent/key"),
	} {
		cfg := sinkConfig(srv.address, ActionStart)
		cfg.Auth.APIKey = secret
		s := newTestSink(t, cfg, SinkOptions{})
		wantError(t, s.Send(t.Context(), order("1")), connector.Blocked, text)
	}
	if n := len(srv.taken()); n != 0 {
		t.Errorf("the server got %d requests without a key", n)
	}
}

// tokens is an OAuth2 server.
type tokens struct {
	*httptest.Server
	given  atomic.Int64
	answer atomic.Pointer[func(w http.ResponseWriter, n int64)]
}

func newTokens(t *testing.T) *tokens {
	s := new(tokens)
	s.says(func(w http.ResponseWriter, n int64) { giveToken(t, w, n, 3600) })
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		if err := r.ParseForm(); err != nil || id != "flow" || secret != "s3cret" || r.Form.Get("audience") != "temporal" || r.Form.Get("scope") != "start" {
			t.Errorf("the token server got %v of %q", r.Form, id)
		}
		(*s.answer.Load())(w, s.given.Add(1))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *tokens) says(answer func(w http.ResponseWriter, n int64)) { s.answer.Store(&answer) }

func giveToken(t *testing.T, w http.ResponseWriter, n int64, seconds int) {
	w.Header().Set("Content-Type", "application/json")
	err := json.NewEncoder(w).Encode(map[string]any{"access_token": "token" + string(rune('0'+n)), "token_type": "Bearer", "expires_in": seconds})
	if err != nil {
		t.Error(err)
	}
}

func (s *tokens) config() OAuth2 {
	return OAuth2{TokenURL: s.URL, ClientID: "flow", ClientSecret: config.NewSecret("s3cret"), Scopes: []string{"start"}, Audience: "temporal"}
}

func TestSink_fetchesATokenOnceAndAgainWhenItIsRefused(t *testing.T) {
	srv, oauth := newServer(t), newTokens(t)
	cfg := sinkConfig(srv.address, ActionStart)
	cfg.Auth.OAuth2 = oauth.config()
	s := newTestSink(t, cfg, SinkOptions{})
	results := make(chan error, 8)
	for range cap(results) {
		go func() { results <- s.Send(context.Background(), order("1")) }()
	}
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if n := oauth.given.Load(); n != 1 {
		t.Errorf("eight calls fetched %d tokens", n)
	}
	srv.fails(serviceerror.NewPermissionDenied("expired", ""))
	wantError(t, s.Send(t.Context(), order("1")), connector.Unavailable, "check auth")
	wantError(t, s.Send(t.Context(), order("1")), connector.Unavailable, "check auth")
	if n := oauth.given.Load(); n != 1 {
		t.Errorf("a token that is new was fetched again (%d)", n)
	}
	token := s.conn.credential.(*oauth2Token)
	token.mu.Lock()
	token.fetched = time.Now().Add(-time.Hour)
	token.mu.Unlock()
	wantError(t, s.Send(t.Context(), order("1")), connector.Unavailable, "check auth")
	srv.answers(nil)
	if err := s.Send(t.Context(), order("1")); err != nil {
		t.Fatal(err)
	}
	if got := bearer(t, srv); got != "Bearer token2" {
		t.Errorf("authorization is %q after the first token was refused", got)
	}
}

func TestOAuth2_usesATokenToItsEndWhileNoOtherCanBeFetched(t *testing.T) {
	oauth := newTokens(t)
	conf := oauth.config()
	token, err := newOAuth2(&conf)
	if err != nil {
		t.Fatal(err)
	}
	defer token.close()
	if _, err := token.token(t.Context()); err != nil {
		t.Fatal(err)
	}
	oauth.says(func(w http.ResponseWriter, _ int64) { w.WriteHeader(503) })
	due := func(change func()) {
		token.mu.Lock()
		defer token.mu.Unlock()
		change()
	}
	due(func() { token.renew = time.Now().Add(-time.Second) })
	for range 3 { // the failure is remembered for a second
		if value, err := token.token(t.Context()); err != nil || value != "token1" {
			t.Errorf("token is %q, %v; want the old one", value, err)
		}
	}
	if n := oauth.given.Load(); n != 2 {
		t.Errorf("three calls asked %d times for another token", n-1)
	}
	due(func() { token.end = time.Now().Add(-time.Second) })
	_, err = token.token(t.Context())
	wantError(t, err, connector.Unavailable, "the OAuth2 server answered 503: see its log")
	due(func() { token.again = time.Time{} })
	oauth.says(func(w http.ResponseWriter, n int64) { giveToken(t, w, n, 3600) })
	if value, err := token.token(t.Context()); err != nil || value != "token3" {
		t.Errorf("token is %q, %v", value, err)
	}
}

func TestOAuth2_saysWhyThereIsNoToken(t *testing.T) {
	for _, row := range []struct {
		name   string
		answer func(w http.ResponseWriter, n int64)
		change func(c *OAuth2)
		class  connector.Class
		text   string
	}{
		{"wrong secret", func(w http.ResponseWriter, _ int64) { w.WriteHeader(401); _, _ = io.WriteString(w, canary) }, nil, connector.Unavailable, "answered 401: check clientID"},
		{"wrong URL", func(w http.ResponseWriter, _ int64) { w.WriteHeader(404) }, nil, connector.Unavailable, "answered 404: check tokenURL"},
		{"no token", func(w http.ResponseWriter, _ int64) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"c4n4ry":1}`)
		}, nil, connector.Unavailable, "not a token"},
		{"odd token", func(w http.ResponseWriter, _ int64) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"c4n4ry\n","token_type":"Bearer"}`)
		}, nil, connector.Unavailable, "no header can hold"},
		{"expired", func(w http.ResponseWriter, n int64) { giveToken(t, w, n, -5) }, nil, connector.Unavailable, "expired token"},
		{"no secret", nil, func(c *OAuth2) { c.ClientSecret = config.SecretFile("/nonexistent/secret") }, connector.Blocked, "auth.oauth2.clientSecret"},
		{"nobody there", nil, func(c *OAuth2) { c.TokenURL = "http://127.0.0.1:1/" }, connector.Unavailable, "ask the OAuth2 server for a token"},
	} {
		t.Run(row.name, func(t *testing.T) {
			oauth := newTokens(t)
			if row.answer != nil {
				oauth.says(row.answer)
			}
			conf := oauth.config()
			if row.change != nil {
				row.change(&conf)
			}
			token, err := newOAuth2(&conf)
			if err != nil {
				t.Fatal(err)
			}
			defer token.close()
			_, err = token.token(t.Context())
			wantError(t, err, row.class, row.text)
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the error quotes the answer: %v", err)
			}
		})
	}
}

func TestOAuth2_stopsWithTheContext(t *testing.T) {
	oauth := newTokens(t)
	arrived, gate := make(chan struct{}, 2), make(chan struct{})
	oauth.says(func(http.ResponseWriter, int64) { arrived <- struct{}{}; <-gate })
	defer close(gate)
	conf := oauth.config()
	token, err := newOAuth2(&conf)
	if err != nil {
		t.Fatal(err)
	}
	defer token.close()
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error, 2)
	for range cap(results) {
		go func() {
			_, err := token.token(ctx)
			results <- err
		}()
	}
	<-arrived
	cancel()
	for range cap(results) {
		if err := <-results; !errors.Is(err, context.Canceled) || connector.ClassOf(err) != connector.Interrupted {
			t.Errorf("token returned %v", err)
		}
	}
}

func TestSink_takesASlowTokenServerForAnOutage(t *testing.T) {
	srv, oauth := newServer(t), newTokens(t)
	gate := make(chan struct{})
	oauth.says(func(http.ResponseWriter, int64) { <-gate })
	defer close(gate)
	cfg := sinkConfig(srv.address, ActionStart)
	cfg.Auth.OAuth2 = oauth.config()
	cfg.Timeouts.Attempt = 50 * time.Millisecond
	s := newTestSink(t, cfg, SinkOptions{})
	wantError(t, s.Send(t.Context(), order("1")), connector.Unavailable, "token")
}

// UL7: the next connection to the server uses a rotated caFile.
func TestConnection_followsCAFile(t *testing.T) {
	t.Parallel() // it mostly waits
	configtest.FollowsCAFile(t, func(caFile string) func(address string) (net.Conn, error) {
		c, err := newConnection(&ClientConfig{Address: "example.com:7233", TLS: config.TLS{CAFile: caFile}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.close() })
		return func(address string) (net.Conn, error) { return tls.Dial("tcp", address, c.tls()) }
	})
}

func TestSink_speaksTLSWithAClientCertificate(t *testing.T) {
	pair := httptest.NewUnstartedServer(nil) // for a certificate of example.com
	pair.StartTLS()
	certificate := pair.TLS.Certificates[0]
	authority := x509.NewCertPool()
	authority.AddCert(pair.Certificate())
	pair.Close()
	srv := newServer(t, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAnyClientCert, ClientCAs: authority})))
	cert, key := keyPairFiles(t, certificate)
	cfg := sinkConfig(srv.address, ActionStart)
	cfg.TLS = config.TLS{CAFile: cert, ServerName: "example.com"}
	wantError(t, newTestSink(t, cfg, SinkOptions{}).Send(t.Context(), order("1")), connector.Unavailable, "")
	cfg.TLS.CertFile, cfg.TLS.KeyFile = cert, key
	if err := newTestSink(t, cfg, SinkOptions{}).Send(t.Context(), order("1")); err != nil {
		t.Fatal(err)
	}
	cfg.TLS.ServerName = "elsewhere.test"
	wantError(t, newTestSink(t, cfg, SinkOptions{}).Send(t.Context(), order("1")), connector.Unavailable, "certificate is valid for")
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func keyPairFiles(t *testing.T, c tls.Certificate) (certFile, keyFile string) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, "cert.pem", certificatePEM(leaf)), writeFile(t, "key.pem", pemOf("PRIVATE KEY", key))
}

func TestFollowedTLS_isForClients(t *testing.T) {
	f := &followedTLS{func() *tls.Config { return &tls.Config{ServerName: "example.com", MinVersion: tls.VersionTLS12} }}
	if _, _, err := f.ServerHandshake(nil); err == nil {
		t.Error("a handshake as a server succeeds")
	}
	if f.Clone() != credentials.TransportCredentials(f) || f.OverrideServerName("x") != nil || f.Info().SecurityProtocol != "tls" {
		t.Error("it is not what grpc expects of credentials")
	}
}

func TestSink_waitsWhileTheServerRefusesItsKey(t *testing.T) {
	srv := newServer(t)
	cfg := sinkConfig(srv.address, ActionStart)
	cfg.Auth.APIKey = config.NewSecret("key")
	s := newTestSink(t, cfg, SinkOptions{})
	srv.fails(serviceerror.NewPermissionDenied("not yet", ""))
	wantError(t, s.Send(t.Context(), order("1")), connector.Unavailable, "check auth")
	srv.answers(nil)
	if err := s.Send(t.Context(), order("1")); err != nil || bearer(t, srv) != "Bearer key" {
		t.Errorf("Send returned %v with authorization %q", err, bearer(t, srv))
	}
}
