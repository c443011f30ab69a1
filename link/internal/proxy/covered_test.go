package proxy

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/http1"
)

// covering is a credential that signs the body too, unless the caller sends its hash.
type covering struct {
	numbered
	kept []string
}

func (c *covering) CoversBody(h http1.Header) bool { return !h.Has("X-Hash") }

func (c *covering) Apply(ctx context.Context, out *http1.Outgoing) error {
	what := "unseen"
	if out.Kept != nil {
		what = string(out.Kept)
	}
	c.mu.Lock()
	c.kept = append(c.kept, what)
	c.mu.Unlock()
	return c.numbered.Apply(ctx, out)
}

// UL6: a signature that covers the body gets the whole body, even if its length is not
// known in advance, up to retry.maxBodyBytes.
func TestProxy_readsABodyAheadThatTheCredentialCovers(t *testing.T) {
	for _, test := range []struct{ name, body, hash, seen string }{
		{"within the bound", "hello", "", "hello"},
		{"at the bound", "12345678", "", "12345678"},
		{"empty", "", "", ""},
		{"above the bound", "123456789", "", "unseen"},
		{"not needed", "hello", "x", "unseen"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := make(chan string, 1)
			up := upstream(t, func(_ http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				got <- string(b)
			})
			to := newTarget(t, up, "retry: {maxBodyBytes: 8}")
			cred := &covering{}
			to.Credential = cred
			// A reader of unknown type, so that net/http sends chunks.
			req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+serve(t, &Proxy{}, to)+"/link/crm/", io.MultiReader(strings.NewReader(test.body)))
			if err != nil {
				t.Fatal(err)
			}
			if test.hash != "" {
				req.Header.Set("X-Hash", test.hash)
			}
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close() // empty
			if body := <-got; resp.StatusCode != 200 || body != test.body || !slices.Equal(cred.kept, []string{test.seen}) {
				t.Errorf("%d: the target got %q, and the credential saw %q", resp.StatusCode, body, cred.kept)
			}
		})
	}
}
