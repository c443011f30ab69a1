package server

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/proxy"
	"github.com/lsm/fiso/link/spec"
)

// canaries are secrets, in every form in which one could be shown.
type canaries struct {
	t     *testing.T
	forms map[string]string // form to name
}

// secret returns a new secret.
func (c *canaries) secret(name string) string {
	s := "c4n4ry+" + name + "/=?&"
	c.know(name, s)
	return s
}

func (c *canaries) know(name, s string) {
	quoted, err := json.Marshal(s)
	if err != nil {
		c.t.Fatal(err)
	}
	for form, text := range map[string]string{"": s, "in a URL": url.QueryEscape(s), "in a path": url.PathEscape(s), "in JSON": strings.Trim(string(quoted), `"`)} {
		c.forms[text] = strings.TrimSpace(name + " " + form)
	}
	for _, before := range []string{"", "x", "xx"} { // base64 of a text that ends in it
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			text := enc.EncodeToString([]byte(before + s))
			c.forms[text[4*((len(before)+2)/3):len(text)-4]] = name + " in base64"
		}
	}
}

// file returns a file with a new secret.
func (c *canaries) file(name string) string {
	f := filepath.Join(c.t.TempDir(), name)
	if err := os.WriteFile(f, []byte(c.secret(name)), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return "{filePath: " + f + "}"
}

// variable returns an environment variable with a new secret.
func (c *canaries) variable(name string) string {
	v := "FISO_TEST_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	c.t.Setenv(v, c.secret(name))
	return "{envVar: " + v + "}"
}

// absent fails for each form that an output contains.
func (c *canaries) absent(where, output string) {
	c.t.Helper()
	for text, name := range c.forms {
		if strings.Contains(output, text) {
			c.t.Errorf("%s shows the secret %s:\n%.2000s", where, name, output)
		}
	}
}

// credentials returns targets with every type of credential, from files and the
// environment.
func (c *canaries) credentials(tokens string) map[string]string {
	return map[string]string{
		"bearer":     "{type: bearer, secretRef: " + c.file("bearer-file") + "}",
		"bearer-env": "{type: bearer, secretRef: " + c.variable("bearer-env") + "}",
		"key":        "{type: apiKey, secretRef: " + c.file("key-file") + "}",
		"query":      "{type: apiKey, query: key, secretRef: " + c.variable("key-env") + "}",
		"basic":      "{type: basic, username: user, secretRef: " + c.file("password") + "}",
		"oauth2":     "{type: oauth2, tokenURL: '" + tokens + "/good', clientID: id, secretRef: " + c.variable("client-env") + "}",
		"oauth2-bad": "{type: oauth2, tokenURL: '" + tokens + "/bad', clientID: id, clientAuth: post, secretRef: " + c.file("client-file") + "}",
		"oauth2-odd": "{type: oauth2, tokenURL: '" + tokens + "/odd', clientID: id, secretRef: " + c.file("client-odd") + "}",
		"oauth2-off": "{type: oauth2, tokenURL: 'http://id:" + c.secret("in-a-url")[:8] + "@127.0.0.1:1/t', clientID: id, secretRef: " + c.file("client-off") + "}",
		"sigv4":      "{type: sigv4, region: eu-central-1, service: s3, accessKeyRef: " + c.file("access-key") + ", secretRef: " + c.variable("aws-secret") + ", sessionTokenRef: " + c.file("session") + "}",
	}
}

// tokens is a token server that repeats what it was sent wherever it can.
func (c *canaries) tokens() string {
	token := c.secret("access-token")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		said, _ := httputil.DumpRequest(r, true)
		switch r.URL.Path {
		case "/good":
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 3600})
		case "/bad":
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(401)
			_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_client", "error_description": string(said)})
		default:
			fmt.Fprintf(w, "%s %s", token, said)
		}
	}))
	c.t.Cleanup(s.Close)
	return s.URL
}

// arrivals records the query and the credential fields that reached the targets.
type arrivals struct {
	mu sync.Mutex
	b  strings.Builder
}

func (a *arrivals) add(query string, h http.Header) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, key, _ := strings.Cut(query, "key=")
	fmt.Fprintf(&a.b, "%s %s %s %s\n", key, h.Get("Authorization"), h.Get("X-API-Key"), h.Get("X-Amz-Security-Token"))
}

func (a *arrivals) has(c *canaries, name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for text, of := range c.forms {
		if (of == name || strings.HasPrefix(of, name+" in ")) && strings.Contains(a.b.String(), text) {
			return true
		}
	}
	return false
}

// repeating starts targets that repeat what they were sent where an error could quote
// it.
func repeating(t *testing.T, arrived *arrivals) map[string]string {
	said := func(p *peer) string {
		r, ok := p.head()
		if !ok {
			return ""
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%s ", r.URL.RawQuery)
		for name := range r.Header {
			fmt.Fprintf(&b, "%s ", r.Header.Get(name))
		}
		arrived.add(r.URL.RawQuery, r.Header)
		return b.String()
	}
	raw := func(treat func(p *peer)) string { return newRaw(t, treat).address }
	return map[string]string{
		"ok":       raw(func(p *peer) { said(p); p.say(okHead + "hello") }),
		"401":      raw(func(p *peer) { said(p); p.say("HTTP/1.1 401 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n") }),
		"503":      raw(func(p *peer) { said(p); p.say("HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n") }),
		"refused":  "127.0.0.1:1",
		"silent":   raw(func(p *peer) { said(p); p.stall() }),
		"garbage":  raw(func(p *peer) { p.say(said(p) + "\r\n\r\n") }),
		"version":  raw(func(p *peer) { p.say("HTTP/" + said(p) + " 200 OK\r\n\r\n") }),
		"field":    raw(func(p *peer) { p.say("HTTP/1.1 200 OK\r\nX: \x01" + said(p) + "\r\n\r\n") }),
		"name":     raw(func(p *peer) { p.say("HTTP/1.1 200 OK\r\n" + said(p) + ": x\r\n\r\n") }),
		"length":   raw(func(p *peer) { p.say("HTTP/1.1 200 OK\r\nContent-Length: " + said(p) + "\r\n\r\n") }),
		"coding":   raw(func(p *peer) { p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: " + said(p) + "\r\n\r\n") }),
		"chunk":    raw(func(p *peer) { p.say(chunked + "5\r\nhello\r\n" + said(p) + "\r\n") }),
		"protocol": raw(func(p *peer) { p.say("HTTP/1.1 101 OK\r\nConnection: upgrade\r\nUpgrade: " + said(p) + "\r\n\r\n") }),
	}
}

// panicking is a transport that panics with its request.
type panicking struct{ call.Transport }

func (panicking) RoundTrip(_ context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
	panic(fmt.Sprint(out))
}

// L10, https://github.com/hashicorp/go-retryablehttp/issues/206 and CVE-2024-45336: a
// secret goes to its target and nowhere else, whatever happens.
func TestCanaries_areInNoLogMetricPageProblemOrError(t *testing.T) {
	c := &canaries{t: t, forms: map[string]string{}}
	ca := newAuthority(t)
	cert, certFile, keyFile := ca.issue("127.0.0.1", time.Now().Add(time.Hour))
	key, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(key)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-") {
			c.forms[line] = "private key"
		}
	}
	var arrived arrivals
	targets := repeating(t, &arrived)
	text, names := "targets:\n", []string{"panics"}
	const usual = "timeout: 300ms, circuitBreaker: {failureThreshold: 4}, retry: {initialInterval: 1ms}"
	for kind, auth := range c.credentials(c.tokens()) {
		for fault, address := range targets {
			text += aTarget(kind+"-"+fault, address, ", auth: "+auth+", "+usual)
			names = append(names, kind+"-"+fault)
		}
	}
	mtls := secure(t, &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12})
	for name, ca := range map[string]string{"mtls": ca.file, "mtls-untrusted": certFile} {
		text += fmt.Sprintf("  - {name: %s, host: '%s', auth: {type: mtls}, tls: {caFile: %s, certFile: %s, keyFile: %s}, %s}\n", name, mtls, ca, certFile, keyFile, usual)
		names = append(names, name)
	}
	text += aTarget("panics", targets["ok"], ", auth: {type: bearer, secretRef: "+c.file("panic")+"}, "+usual)
	spans := tracetest.NewSpanRecorder()
	l := start(t, text, func(i *Server) {
		i.server.Handler.(*proxy.Proxy).Tracer = sdk.NewTracerProvider(sdk.WithSpanProcessor(spans)).Tracer("")
		panics := i.targets.entries["panics"].target
		panics.Transport = panicking{panics.Transport}
	})
	theirs := c.secret("of-the-application")
	for range 2 { // the second time, circuits are open
		problems := make([]string, len(names))
		var all sync.WaitGroup
		for i, name := range names {
			all.Go(func() { problems[i] = l.problem(t, name, theirs) })
		}
		all.Wait()
		for i, problem := range problems {
			c.absent(names[i]+" answers", problem)
		}
	}
	for _, name := range []string{"bearer-file", "bearer-env", "key-file", "key-env", "password", "access-token", "session"} {
		if !arrived.has(c, name) {
			t.Errorf("the secret %s did not reach its target: the test says little", name)
		}
	}
	if arrived.has(c, "of-the-application") {
		t.Error("the application's own Authorization went on")
	}
	if !strings.Contains(l.log.String(), "internal error") {
		t.Error("the log does not tell of the panic")
	}
	c.wherever(l)
	if len(spans.Ended()) < len(names) {
		t.Errorf("%d spans: the test says little", len(spans.Ended()))
	}
	for _, s := range spans.Ended() {
		c.absent("a span", described(s))
	}
	c.reloads(l, text)
	cfg, err := spec.Parse("config.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	steps, err := Check(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		c.absent("check", fmt.Sprint(s.Target, s.Name, s.Err))
	}
	if err := l.stop(); err != nil {
		t.Error(err)
	}
	c.absent("the log at the end", l.log.String())
}

// described returns everything that a span shows.
func described(s sdk.ReadOnlySpan) string {
	var b strings.Builder
	all := s.Attributes()
	fmt.Fprintln(&b, s.Name(), s.Status().Description, s.SpanContext().TraceState())
	for _, e := range s.Events() {
		fmt.Fprintln(&b, e.Name)
		all = append(all, e.Attributes...)
	}
	for _, a := range all {
		fmt.Fprintln(&b, a.Key, a.Value.String())
	}
	return b.String()
}

// problem calls a target with secrets of the application's own, and returns the problem
// that fiso-link answered; "": the target answered.
func (l *link) problem(t *testing.T, target, secret string) string {
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+l.calls+"/link/"+target+"/a?q="+url.QueryEscape(secret), strings.NewReader(secret))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+secret)
	r.Header.Set("Cookie", secret)
	r.Header.Set("Idempotency-Key", secret)
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body) // a chunk that breaks off has no end
	if resp.Header.Get("fiso-error") == "" {
		return ""
	}
	return fmt.Sprint(resp.Header, string(body))
}

// wherever searches every page and the log.
func (c *canaries) wherever(l *link) {
	c.t.Helper()
	for _, page := range []string{"/", "/healthz", "/metrics", "/readyz", "/readyz?verbose"} {
		_, body := get(c.t, "http://"+l.admin+page)
		c.absent(page, body)
	}
	c.absent("the log", l.log.String())
}

// reloads makes the server read invalid files.
func (c *canaries) reloads(l *link, good string) {
	for name, bad := range map[string]string{
		"misplaced": "targets: [{name: a, host: a, auth: {type: bearer, secretRef: " + c.secret("misplaced")[:12] + "}}]\n",
		"unknown":   "targets: [{name: a, host: a, auth: {type: bearer, token: '" + c.secret("unknown") + "'}}]\n",
		"host":      "targets: [{name: a, host: 'user:" + c.secret("host") + "@a'}]\n",
		"no-yaml":   "targets: [{name: a, host: a, password: '" + c.secret("no-yaml") + "\n",
		"no-secret": good + "  - {name: z, host: a, auth: {type: bearer, secretRef: {name: '" + "../x" + "', key: k}}}\n",
	} {
		before := strings.Count(l.log.String(), "configuration rejected")
		l.write(bad)
		eventually(c.t, "the log to tell of "+name, func() bool { return strings.Count(l.log.String(), "configuration rejected") > before })
		c.wherever(l)
	}
}
