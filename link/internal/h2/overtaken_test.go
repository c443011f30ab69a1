package h2

import (
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"github.com/lsm/fiso/link/internal/call"
)

// UL12: calls that a connection left unserved are not left unserved again and again:
// new connections begin with as many streams as this one served, and then get more.
func TestPool_aTargetThatGoesAwayAfterEachRequestGetsOneAtATime(t *testing.T) {
	const parallel = 20
	var well atomic.Bool // the target stops going away
	var all sync.WaitGroup
	var begun atomic.Int32
	addr := target(t, func(p *peer) {
		_, s := p.awaitHead()
		if s == 0 {
			return
		}
		if begun.Add(1) == 1 {
			for range parallel - 1 {
				p.awaitHead() // all requests are on this connection
			}
		}
		p.headers(s, true, ":status", "200")
		if well.Load() {
			answering(p)
			return
		}
		_ = p.WriteGoAway(s, http2.ErrCodeNo, nil) // a failure shows in the transport
		p.drain()
	})
	tr := transport(t, TransportConfig{})
	var unserved atomic.Int32
	for range parallel {
		all.Go(func() {
			for {
				a, err := tr.RoundTrip(t.Context(), addr, out("POST"), nil)
				if err == nil {
					_, err = read(t, a, err)
				}
				if err == nil {
					return
				}
				if r, sent := reason(t, err); r != call.ReasonUnserved || sent {
					t.Error(err, sent)
					return
				}
				unserved.Add(1)
			}
		})
	}
	all.Wait()
	// One or two more requests may arrive between an answer and its GOAWAY. If each
	// connection began with all waiting calls, the number would be 190.
	if n := unserved.Load(); n < parallel-1 || n >= 2*parallel {
		t.Errorf("%d were left unserved", n)
	}
	well.Store(true)
	for range 10 {
		must(t, tr, addr)
	}
	tr.pool.mu.Lock()
	defer tr.pool.mu.Unlock()
	if at := tr.pool.endpoints[addr]; at == nil || at.streams != 0 {
		t.Error("connections to a target that is well again begin with few streams", at)
	}
}
