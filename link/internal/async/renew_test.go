package async

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lsm/fiso/common/http1"
)

// UL2: a stored call whose body is too large to be kept for a retry still renews the
// credential after a 401.
func TestWorker_renewsTheCredentialOfACallThatIsNotKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "retry: {maxBodyBytes: 1KiB, initialInterval: 1ms, maxInterval: 5ms}\nasync: {topic: calls}", map[string]int32{"calls": 1})
	cred := &renewable{}
	w.to.Credential = cred
	w.answers(func(_ int, rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "token-1" {
			rw.WriteHeader(401)
		}
	})
	w.accept("POST", "/link/crm/", strings.Repeat("x", 2<<10))
	w.work()
	w.settled(1)
	if got := w.seen(); len(got) != 2 || len(got[1].body) != 2<<10 || len(w.buried) != 0 || cred.n.Load() != 1 {
		t.Errorf("%d calls, dead letters %v, %d renewals", len(got), w.buried, cred.n.Load())
	}
}

// renewable is a credential that changes with each renewal.
type renewable struct{ n atomic.Int64 }

func (c *renewable) Apply(_ context.Context, out *http1.Outgoing) error {
	out.Header.Set("Authorization", fmt.Sprint("token-", c.n.Load()))
	return nil
}
func (c *renewable) Renew(context.Context, *http1.Outgoing) bool { c.n.Add(1); return true }
func (*renewable) Owns(field string) bool                        { return http1.Same(field, "Authorization") }
