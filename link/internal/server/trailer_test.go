package server

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// trailing answers with the request's trailer as it received it, and with a trailer of
// its own.
func trailing(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	w.Header().Set("Trailer", "Content-Digest, X-Sum")
	w.Header().Set("X-Sum", "of the head")
	w.WriteHeader(200)
	fmt.Fprintf(w, "%s %v TE=%s", b, r.Trailer, r.Header.Get("TE"))
	w.Header().Set("Content-Digest", "sha-256=:eA==:")
	w.Header().Set("X-Sum", "1")
}

// trailerServer is a Go server, which reads no HTTP/2 trailer that was not announced.
func trailerServer(t *testing.T, h2c bool) string {
	s := httptest.NewUnstartedServer(http.HandlerFunc(trailing))
	if h2c {
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// UL9: RFC 9110, sections 6.5, 6.6.2 and 10.1.4. Trailer was removed, so that Go
// servers saw no trailer of a request over HTTP/2; TE was removed for HTTP/1.1 targets;
// and digests were dropped.
func TestTrailers_passBothWaysOverEveryProtocol(t *testing.T) {
	l := start(t, "targets:\n"+aTarget("one", trailerServer(t, false), "")+
		fmt.Sprintf("  - {name: two, protocol: h2c, host: crm.example, endpoints: ['%s']}\n", trailerServer(t, true)))
	one := &http.Transport{}
	t.Cleanup(one.CloseIdleConnections)
	long := strings.Repeat("x", 100<<10)
	for _, row := range []struct {
		name, target, body string
		by                 *http.Transport
		length             bool // the body has a length, so HTTP/1.1 has no trailer
		want               string
	}{
		{"HTTP/1.1 to HTTP/1.1", "one", "hello", one, false, "map[Content-Digest:[a] X-Up:[42]]"},
		{"HTTP/1.1 to HTTP/2", "two", "hello", one, false, "map[Content-Digest:[a] X-Up:[42]]"},
		{"HTTP/2 to HTTP/1.1", "one", "hello", http2Client(t), false, "map[Content-Digest:[a] X-Up:[42]]"},
		{"HTTP/2 to HTTP/2", "two", "hello", http2Client(t), false, "map[Content-Digest:[a] X-Up:[42]]"},
		{"HTTP/2 to HTTP/2, a body that streams", "two", long, http2Client(t), false, "map[Content-Digest:[a] X-Up:[42]]"},
		{"HTTP/2 to HTTP/2, a length", "two", "hello", http2Client(t), true, "map[Content-Digest:[a] X-Up:[42]]"},
		{"HTTP/2 to HTTP/2, a length of a body that streams", "two", long, http2Client(t), true, "map[Content-Digest:[a] X-Up:[42]]"},
		{"HTTP/2 to HTTP/1.1, a length", "one", "hello", http2Client(t), true, "map[]"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+l.calls+"/link/"+row.target+"/", io.MultiReader(strings.NewReader(row.body)))
			if err != nil {
				t.Fatal(err)
			}
			if row.length {
				r.ContentLength = int64(len(row.body))
			}
			r.Header.Set("TE", "trailers")
			r.Trailer = http.Header{"X-Up": {"42"}, "Content-Digest": {"a"}}
			resp, err := row.by.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }() // it is read below
			if _, ok := resp.Trailer["Content-Digest"]; !ok {
				t.Error("the trailer of the answer is not announced:", resp.Trailer)
			}
			b, err := io.ReadAll(resp.Body)
			if want := row.body + " " + row.want + " TE=trailers"; string(b) != want || err != nil {
				t.Errorf("the target saw %q (%v), want %q", b, err, want)
			}
			if got := fmt.Sprint(resp.Trailer); got != "map[Content-Digest:[sha-256=:eA==:] X-Sum:[1]]" || resp.Header.Get("X-Sum") != "of the head" {
				t.Error("the application saw", got, resp.Header)
			}
		})
	}
}
