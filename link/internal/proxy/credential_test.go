package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/lsm/fiso/common/http1"
)

// numbered is a credential that changes with each renewal.
type numbered struct {
	mu      sync.Mutex
	n       int
	seen    []string // bodies as Apply saw them
	renewed []string // credentials of the attempts that were answered 401
}

func (c *numbered) Apply(_ context.Context, out *http1.Outgoing) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, fmt.Sprintf("%s/%d", out.Kept, out.Length))
	out.Header.Set("Authorization", fmt.Sprint("Bearer ", c.n))
	return nil
}

func (c *numbered) Renew(_ context.Context, out *http1.Outgoing) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.renewed = append(c.renewed, out.Header.Get("Authorization"))
	c.n++
	return true
}

func (c *numbered) Owns(field string) bool { return http1.Same(field, "Authorization") }

// golang/go#50580: fields that Connection names are dropped before the credential is
// added, not after.
func TestProxy_renewsTheCredentialOnceAfterA401(t *testing.T) {
	for _, test := range []struct {
		name   string
		body   io.Reader
		takes  string // the credential that the target accepts
		status int
		seen   string
	}{
		{"and the call goes through", strings.NewReader("hello"), "Bearer 1", 200, "hello/5 hello/5"},
		{"and no more than once", strings.NewReader("hello"), "none", 401, "hello/5 hello/5"},
		{"with a body that streams, as long as it is small", io.MultiReader(strings.NewReader("hel"), strings.NewReader("lo")), "Bearer 1", 200, "/-1 hello/-1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var mu sync.Mutex
			var got []string
			up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				mu.Lock()
				got = append(got, string(b))
				mu.Unlock()
				if fmt.Sprint(r.Header["Authorization"]) != "["+test.takes+"]" {
					w.WriteHeader(401)
				}
			})
			to := newTarget(t, up, "")
			cred := &numbered{}
			to.Credential = cred
			addr := serve(t, &Proxy{}, to)
			req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+addr+"/link/crm/", test.body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer theirs")
			req.Header.Set("Connection", "authorization")
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close() // empty
			mu.Lock()
			defer mu.Unlock()
			if resp.StatusCode != test.status || strings.Join(got, " ") != "hello hello" {
				t.Errorf("answered %d; the target got %q", resp.StatusCode, got)
			}
			if seen := strings.Join(cred.seen, " "); seen != test.seen || strings.Join(cred.renewed, " ") != "Bearer 0" {
				t.Errorf("the credential saw the bodies %q, and was renewed after %q", seen, cred.renewed)
			}
		})
	}
}
