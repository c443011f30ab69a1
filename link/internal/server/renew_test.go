package server

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// rotating is a service that accepts only the latest token, and its token server.
type rotating struct {
	version atomic.Int64
	service string
	tokens  string
	held    chan struct{} // tokens are issued when this is closed
}

func (r *rotating) token() string { return fmt.Sprint("token-", r.version.Load()) }

func newRotating(t *testing.T) *rotating {
	r := &rotating{held: make(chan struct{})}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		if req.Header.Get("Authorization") != "Bearer "+r.token() {
			w.WriteHeader(401)
			fmt.Fprint(w, "who?")
		}
	}))
	t.Cleanup(service.Close)
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.version.Load() > 0 {
			select {
			case <-r.held:
			case <-req.Context().Done():
				return
			}
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, r.token())
	}))
	t.Cleanup(tokens.Close)
	r.service, r.tokens = service.Listener.Addr().String(), tokens.URL
	return r
}

func (l *link) upload(target string, size int) (int, string) {
	l.t.Helper()
	resp, err := http.Post("http://"+l.calls+"/link/"+target, "text/plain", strings.NewReader(strings.Repeat("x", size))) //nolint:forbidigo // a test on loopback
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // the test is over
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// UL2: a call whose body is too large to be kept gets the target's 401, and the next
// call has a new credential.
func TestRenew_alsoAfterABodyThatIsNotKept(t *testing.T) {
	for _, kind := range []string{"oauth2", "bearer"} {
		t.Run(kind, func(t *testing.T) {
			r := newRotating(t)
			close(r.held)
			file := filepath.Join(t.TempDir(), "secret")
			write := func() {
				if err := os.WriteFile(file, []byte(r.token()), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write()
			auth := ", auth: {type: bearer, secretRef: {filePath: " + file + "}}"
			if kind == "oauth2" {
				auth = ", auth: {type: oauth2, tokenURL: '" + r.tokens + "', clientID: id, secretRef: {filePath: " + file + "}}"
			}
			l := start(t, "targets:\n"+aTarget("crm", r.service, auth))
			if status, _ := l.upload("crm/a", 100<<10); status != 200 {
				t.Fatal("the first token is not taken", status)
			}
			r.version.Add(1)
			write()
			if status, body := l.upload("crm/a", 100<<10); (status != 401 || body != "who?") && (status != 200 || kind == "oauth2") {
				t.Errorf("the call that met the dead token: %d %q", status, body)
			}
			if status, body := l.upload("crm/a", 100<<10); status != 200 {
				t.Errorf("the call after it: %d %q", status, body)
			}
		})
	}
}

// UL2: a silent token server does not delay the answer beyond the call's time.
func TestRenew_givesTheAnswerWhereNoTokenComes(t *testing.T) {
	for name, size := range map[string]int{"a body that is kept": 10, "a body that is not": 100 << 10} {
		t.Run(name, func(t *testing.T) {
			r := newRotating(t)
			t.Setenv("FISO_TEST_CLIENT", "secret")
			l := start(t, "targets:\n"+aTarget("crm", r.service, ", timeout: 2s, auth: {type: oauth2, tokenURL: '"+r.tokens+"', clientID: id, secretRef: {envVar: FISO_TEST_CLIENT}}"))
			if status, _ := l.upload("crm/a", size); status != 200 {
				t.Fatal("the first token is not taken", status)
			}
			r.version.Add(1)
			began := time.Now()
			if status, body := l.upload("crm/a", size); status != 401 || body != "who?" {
				t.Errorf("%d %q after %v", status, body, time.Since(began))
			}
			close(r.held)
			eventually(t, "the other token", func() bool { status, _ := l.upload("crm/a", size); return status == 200 })
		})
	}
}
