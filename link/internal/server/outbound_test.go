package server

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/lsm/fiso/link/spec"
)

// outbound is a proxy that accepts user anna with her password, and connects to the
// names it knows.
type outbound struct {
	url   string
	knows map[string]string

	mu   sync.Mutex
	told []string // complete heads of requests
}

func newOutbound(t *testing.T, knows map[string]string) *outbound {
	t.Helper()
	o := &outbound{knows: knows}
	s := httptest.NewServer(o)
	t.Cleanup(s.Close)
	o.url = s.URL
	return o
}

func (o *outbound) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var head strings.Builder
	head.WriteString(r.Method + " " + r.RequestURI + "\n")
	_ = r.Header.Write(&head)
	o.mu.Lock()
	o.told = append(o.told, head.String())
	o.mu.Unlock()
	user, password, _ := (&http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}).BasicAuth()
	to, known := o.knows[r.RequestURI]
	switch {
	case r.Method != http.MethodConnect:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case user != "anna" || password != "pr0xy":
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	case !known:
		w.WriteHeader(http.StatusForbidden)
		return
	}
	out, err := net.Dial("tcp", to)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer func() { _ = out.Close() }() // both sides are over
	in, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(in, "HTTP/1.1 200 OK\r\n\r\n")
	var back sync.WaitGroup
	back.Go(func() { _, _ = io.Copy(in, out); _ = in.Close() })
	_, _ = io.Copy(out, in)
	_ = out.Close() // ends the other direction
	back.Wait()
}

func (o *outbound) heads() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.told, "\n")
}

func secretFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// UL10: a target behind a proxy is reached through a tunnel, by a name that the proxy
// resolves; the proxy learns the address, and nothing of the call or its credential.
// UL32: a failure of the proxy is not reported as one of the target.
func TestProxy_isToldTheAddressOfATargetAndNothingElse(t *testing.T) {
	o := newOutbound(t, map[string]string{"crm.invalid:8080": upstream(t, "crm")})
	proxied := ", port: 8080, proxy: {url: '" + o.url + "', username: anna, secretRef: {filePath: " + secretFile(t, "pr0xy\n") + "}, noProxy: [127.0.0.1]}"
	auth := ", auth: {type: bearer, secretRef: {filePath: " + secretFile(t, "s3cret") + "}}"
	text := "targets:\n" + aTarget("crm", "crm.invalid", proxied+auth) + aTarget("other", "other.invalid", proxied) +
		aTarget("wrong", "crm.invalid", ", port: 8080, retry: {maxAttempts: 1}, proxy: {url: '"+o.url+"'}") +
		aTarget("gone", "crm.invalid", ", port: 8080, retry: {maxAttempts: 1}, proxy: {url: 'http://127.0.0.1:1'}") +
		aTarget("near", upstream(t, "near"), strings.Replace(proxied, ", port: 8080", "", 1))
	l := start(t, text)
	for range 2 {
		if code, body := l.call("crm/api"); code != 200 || body != "crm /api Bearer s3cret" {
			t.Errorf("%d %s", code, body)
		}
	}
	if code, body := l.call("near/api"); code != 200 || body != "near /api " {
		t.Errorf("%d %s", code, body)
	}
	told := o.heads()
	if want := "CONNECT crm.invalid:8080\nProxy-Authorization: Basic YW5uYTpwcjB4eQ==\r\n"; told != want {
		t.Errorf("the proxy was told %q, and not once %q", told, want)
	}
	for name, want := range map[string]string{
		"other": "the proxy " + o.url + ": it answers 403: does it let anybody connect to other.invalid:8080?",
		"wrong": "the proxy " + o.url + ": it answers 407: it wants a user: write username and secretRef, or user:password@",
		"gone":  "the proxy http://127.0.0.1:1: connect: connection refused",
	} {
		if code, body := l.call(name + "/"); code != 502 || !strings.Contains(body, want) || strings.Contains(body, "pr0xy") {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	cfg, err := spec.Parse("config.yaml", []byte(head+text))
	if err != nil {
		t.Fatal(err)
	}
	steps, err := Check(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range steps {
		got[s.Target] += s.Name
		if s.Err != nil {
			got[s.Target] += ": " + s.Err.Error()
		}
		got[s.Target] += "\n"
	}
	through := "connect to crm.invalid:8080 through the proxy " + o.url
	if want := "find the address of crm.invalid:8080\n" + through + "\n"; !strings.HasPrefix(got["crm"], want) || !strings.Contains(got["crm"], "OPTIONS /\n") {
		t.Errorf("check says %s", got["crm"])
	}
	if want := "find the address of crm.invalid:8080\n" + through + ": the proxy " + o.url + ": it answers 407"; !strings.HasPrefix(got["wrong"], want) {
		t.Errorf("check says %s", got["wrong"])
	}
	if strings.Contains(got["near"], "proxy") {
		t.Errorf("check says %s", got["near"])
	}
}

// UL10: token fetches and Vault obeyed HTTPS_PROXY, and calls did not. Now each has a
// key, and the environment is used only if a key says so.
func TestProxy_ofTokensAndVaultIsAskedLikeThatOfCalls(t *testing.T) {
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if user, secret, _ := r.BasicAuth(); user != "me" || secret != "fromVault" {
			t.Errorf("the token server was told %s, %s", user, secret)
		}
		_, _ = io.WriteString(w, `{"access_token": "t0ken", "token_type": "Bearer", "expires_in": 3600}`)
	}))
	defer tokens.Close()
	vault := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/secret/data/crm" {
			_, _ = io.WriteString(w, `{"data": {"data": {"secret": "fromVault"}, "metadata": {"version": 1}}}`)
			return
		}
		_, _ = io.WriteString(w, `{"data": {"ttl": 0, "renewable": false}}`)
	}))
	defer vault.Close()
	o := newOutbound(t, map[string]string{"login.invalid:80": tokens.Listener.Addr().String(), "vault.invalid:8200": vault.Listener.Addr().String()})
	proxy := "proxy: {url: '" + o.url + "', username: anna, secretRef: {filePath: " + secretFile(t, "pr0xy") + "}}"
	l := start(t, "vault: {address: 'http://vault.invalid:8200', auth: {method: token, tokenRef: {filePath: "+secretFile(t, "root")+"}}, "+proxy+"}\ntargets:\n"+
		aTarget("crm", upstream(t, "crm"), ", auth: {type: oauth2, tokenURL: 'http://login.invalid/token', clientID: me, "+
			"secretRef: {vaultRef: {path: secret/data/crm, key: secret}}, "+proxy+"}"))
	if code, body := l.call("crm/api"); code != 200 || body != "crm /api Bearer t0ken" {
		t.Fatalf("%d %s", code, body)
	}
	told := o.heads()
	for _, want := range []string{"CONNECT login.invalid:80\nProxy-Authorization: Basic YW5uYTpwcjB4eQ==\r\n", "CONNECT vault.invalid:8200\nProxy-Authorization: Basic YW5uYTpwcjB4eQ==\r\n"} {
		if !strings.Contains(told, want) {
			t.Errorf("the proxy was told %q, without %q", told, want)
		}
	}
}

// UL31: noProxy held for a name only until DNS resolved it. Its address was then
// requested through the proxy, with an unencrypted call and its credential in the
// tunnel.
func TestProxy_isNotAskedForTheAddressOfANameThatIsDirect(t *testing.T) {
	o := newOutbound(t, nil)
	_, port, err := net.SplitHostPort(upstream(t, "near"))
	if err != nil {
		t.Fatal(err)
	}
	n := newNames(t)
	n.tell("near.corp", is("0.0.0.0")) // this machine, by an address that noProxy does not list
	proxied := ", port: " + port + ", proxy: {url: '" + o.url + "', noProxy: [.corp]}"
	auth := ", auth: {type: bearer, secretRef: {filePath: " + secretFile(t, "s3cret") + "}}"
	l := start(t, "targets:\n"+aTarget("near", "near.corp", proxied+auth)+aTarget("records", "near.corp", proxied+", srv: _near.corp"), n.asks)
	n.tell("_near.corp", func(m *dns.Msg) {
		m.Answer = append(m.Answer, &dns.SRV{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeSRV, Class: dns.ClassINET, Ttl: 60}, Port: portNumber(t, port), Target: "near.corp."})
	})
	if code, body := l.call("near/api"); code != 200 || body != "near /api Bearer s3cret" {
		t.Errorf("%d %s", code, body)
	}
	if code, body := l.call("records/api"); code != 200 || body != "near /api " {
		t.Errorf("of SRV records: %d %s", code, body)
	}
	if told := o.heads(); told != "" {
		t.Errorf("the proxy was told %q", told)
	}
}

func portNumber(t *testing.T, text string) uint16 {
	t.Helper()
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(n)
}
