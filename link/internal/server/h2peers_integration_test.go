//go:build integration

package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// overNode starts a fiso-link server whose target is a Node.js server that speaks
// HTTP/2.
func overNode(t *testing.T) *link {
	return start(t, fmt.Sprintf("targets:\n  - {name: node, protocol: h2c, host: crm.example, endpoints: ['%s']}\n", servedBy(t, "h2-server.js")))
}

// UL12: a server that closes its connection after each request fails no call, and
// serves none twice: streams above the last one that a GOAWAY names are sent again.
func TestRealNode_thatGoesAwayAfterEachRequestFailsNoPOST(t *testing.T) {
	l := overNode(t)
	const rounds, parallel = 5, 30
	client := plainClient(t)
	var all sync.WaitGroup
	for round := range rounds {
		for i := range parallel {
			all.Go(func() {
				body := fmt.Sprintf("%d-%d", round, i)
				r, err := client.Post("http://"+l.calls+"/link/node/a", "text/plain", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = r.Body.Close() }() // it was read
				if got, err := io.ReadAll(r.Body); r.StatusCode != 200 || string(got) != body || err != nil {
					t.Error(r.StatusCode, string(got), err)
				}
			})
		}
		all.Wait()
	}
	_, text := l.call("node/served")
	served := map[string]int{}
	if err := json.Unmarshal([]byte(text), &served); err != nil {
		t.Fatal(err, text)
	}
	for body, n := range served {
		if n != 1 {
			t.Errorf("%s was served %d times", body, n)
		}
	}
	if len(served) != rounds*parallel {
		t.Errorf("%d were served", len(served))
	}
}

// UL12: an answer that comes before the body was read reaches the application, however
// much of the body is in flight.
func TestRealNode_anAnswerBeforeTheBodyWasReadIsNotLost(t *testing.T) {
	l := overNode(t)
	overH2 := &http.Client{Transport: http2Client(t)}
	for range 5 {
		for _, size := range []int{1 << 10, 300_000, 1_000_000, 5_000_000} {
			for name, c := range map[string]*http.Client{"HTTP/1.1": plainClient(t), "HTTP/2": overH2} {
				r, err := c.Post("http://"+l.calls+"/link/node/full", "text/plain", bytes.NewReader(make([]byte, size)))
				if err != nil {
					t.Errorf("%s, %d bytes: %v", name, size, err)
					continue
				}
				if body, err := io.ReadAll(r.Body); r.StatusCode != 413 || string(body) != "too much" || err != nil {
					t.Errorf("%s, %d bytes: %d %q %v", name, size, r.StatusCode, body, err)
				}
				_ = r.Body.Close() // it was read
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			out, err := foreign(ctx, t, "h2-client.js", "http://"+l.calls+"/link/node/full", fmt.Sprint(size)).CombinedOutput()
			cancel()
			if got := strings.TrimSpace(string(out)); got != "413 too much" || err != nil {
				t.Errorf("Node, %d bytes: %q %v", size, got, err)
			}
		}
	}
}
