package proxy

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/target"
)

func TestRecord_saysWhatBecameOfACall(t *testing.T) {
	took := trip(func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
		time.Sleep(time.Second)
		return answer(404, "x"), nil
	})
	for name, test := range map[string]struct {
		method, path string
		up           trip
		want         CallRecord
	}{
		"an answer":           {"GET", "/link/crm/", took, CallRecord{Target: "crm", Method: "GET", Status: 404, Mode: "sync", Duration: time.Second, Attempts: 1}},
		"a method of its own": {"X-CANARY", "/link/crm/", took, CallRecord{Target: "crm", Method: "OTHER", Status: 404, Mode: "sync", Duration: time.Second, Attempts: 1}},
		"no target": {"GET", "/link/canary/", took, CallRecord{
			Method: "GET", Status: 404, Code: call.UnknownTarget, Mode: "sync", Detail: "there is no target of that name; the configuration lists them under targets",
		}},
		"the caller left": {"PUT", "/link/crm/", failing(http1.ReasonGone, errBroken), CallRecord{Target: "crm", Method: "PUT", Status: 499, Mode: "sync", Attempts: 1}},
		"events":          {"GET", "/link/crm/", always(200, "x", "Content-Type", "text/event-stream"), CallRecord{Target: "crm", Method: "GET", Status: 200, Mode: "stream", Attempts: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				to := newTargetOf(t, "", target.Parts{Transport: test.up})
				if _, record := makeCall(t.Context(), to, request(test.method, test.path, "")); record != test.want {
					t.Errorf("got  %+v\nwant %+v", record, test.want)
				}
			})
		})
	}
}

func TestRecord_isOfTheApplicationsLeavingWhereverItShows(t *testing.T) {
	failAt := func(n int) *failingWriter { return &failingWriter{left: n} }
	for n, name := range []string{"head", "flush", "write", "flush of a part", "write of the next"} {
		t.Run(name, func(t *testing.T) {
			a := answer(200, "")
			a.Body = &parts{}
			to := newTargetOf(t, "", target.Parts{Transport: trip(func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
				return a, nil
			})})
			w := failAt(n)
			if record := serveTo(t.Context(), to, w, request("GET", "/link/crm/", "")); record.Status != 499 || record.Code != "" || w.left != -1 {
				t.Error(record, w.left)
			}
		})
	}
}

// failingWriter fails permanently after n uses.
type failingWriter struct {
	recorder
	left int
}

func (w *failingWriter) use() error {
	if w.left == 0 {
		w.left--
		return errBroken
	}
	w.left--
	return nil
}

func (w *failingWriter) Head(int, http1.Header, int64) error { w.begun = true; return w.use() }
func (w *failingWriter) Write(p []byte) (int, error)         { return len(p), w.use() }
func (w *failingWriter) Flush() error                        { return w.use() }

// parts is a body that is read byte by byte.
type parts struct{}

func (*parts) Read(p []byte) (int, error) { return copy(p, "x"), nil }
func (*parts) Close() error               { return nil }

func TestProxy_worksWithoutAnObserver(t *testing.T) {
	to := newTargetOf(t, "", target.Parts{Transport: always(200, "x")})
	w := &recorder{}
	(&Proxy{Target: only(to)}).ServeCall(t.Context(), w, request("GET", "/link/crm/", ""))
	if w.status != 200 || w.body.String() != "x" || !w.ended {
		t.Error(w)
	}
}

// L6, https://github.com/golang/go/issues/81320: interim answers lose what is about
// the connection. L10, CVE-2024-45336: redirects are the application's to follow.
func TestProxy_passesInterimAnswersRedirectsAndTrailersOn(t *testing.T) {
	to := newTargetOf(t, "", target.Parts{Transport: trip(func(_ context.Context, _ string, _ *http1.Outgoing, interim func(int, http1.Header)) (*http1.Answer, error) {
		interim(103, header("Link", "</a>"))
		a := answer(302, "moved", "Location", "https://elsewhere.example/")
		a.Trailer = func() http1.Header { return header("X-T", "1") }
		a.Ready = func() bool { return true }
		return a, nil
	})})
	w, record := makeCall(t.Context(), to, request("GET", "/link/crm/", ""))
	// L10: a redirect is the application's to follow.
	if !slices.Equal(w.interims, []int{103}) || w.status != 302 || w.header.Get("Location") == "" || w.trailer.Get("X-T") != "1" || record.Attempts != 1 {
		t.Error(w, record)
	}
	if w.flushes != 0 {
		t.Errorf("it was flushed %d times although more was there", w.flushes)
	}
}

// The trailer of a request is forwarded if its framing can carry one.
func TestProxy_passesTheTrailerOfARequestOn(t *testing.T) {
	for name, test := range map[string]struct {
		settings string
		length   int64
		http2    bool
		want     bool
	}{
		"chunks to HTTP/1.1":          {"", -1, false, true},
		"a length to HTTP/1.1":        {"", 0, false, false},
		"to HTTP/2":                   {"protocol: h2c", -1, false, true},
		"from HTTP/2, with no length": {"", -1, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			var got bool
			to := newTargetOf(t, test.settings, target.Parts{Transport: trip(func(_ context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
				got = out.Trailer != nil
				return answer(200, ""), nil
			})})
			r := request("POST", "/link/crm/", "")
			r.Length, r.HTTP2 = test.length, test.http2
			if makeCall(t.Context(), to, r); got != test.want {
				t.Errorf("the trailer goes on: %v", got)
			}
		})
	}
}
