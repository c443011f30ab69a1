package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/target"
)

// credential adds a field, as real credentials do.
type credential struct {
	field, value string
	renewals     int
	renewed      bool // result of Renew
	apply        func(ctx context.Context) error
	renew        func()
}

func (c *credential) Apply(ctx context.Context, out *http1.Outgoing) error {
	if c.apply != nil {
		if err := c.apply(ctx); err != nil {
			return err
		}
	}
	out.Header.Set(c.field, c.value)
	return nil
}

func (c *credential) Renew(context.Context, *http1.Outgoing) bool {
	c.renewals++
	if c.renew != nil {
		c.renew()
	}
	return c.renewed
}

func (c *credential) Owns(field string) bool {
	return http1.Same(field, c.field) || http1.Same(field, "Authorization")
}

// seen returns the header that the target receives, as "Name: value".
func seen(t *testing.T, settings string, cred target.Credential, r *http1.Request) []string {
	t.Helper()
	var got []string
	to := newTargetOf(t, settings, target.Parts{Credential: cred, Transport: trip(func(_ context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
		for _, f := range out.Header {
			got = append(got, f.Name+": "+f.Value)
		}
		return answer(204, ""), nil
	})})
	if w, _ := makeCall(t.Context(), to, r); w.status != 204 {
		t.Fatal(w.status, w.body.String())
	}
	return got
}

// L5, https://github.com/golang/go/issues/50580: fields that Connection names are
// dropped before the credential is added.
func TestHeaders_thatGoOn(t *testing.T) {
	for name, test := range map[string]struct {
		settings string
		cred     target.Credential
		fields   []string
		want     []string
	}{
		"ordinary ones, in their order": {
			fields: []string{"Accept", "a", "X-A", "1", "Cookie", "c=1", "X-A", "2"},
			want:   []string{"Accept: a", "X-A: 1", "Cookie: c=1", "X-A: 2"},
		},
		"none that end with the connection": {
			fields: []string{
				"Connection", "keep-alive", "Keep-Alive", "timeout=5", "Proxy-Connection", "keep-alive", "Proxy-Authorization", "Basic x", "TE", "gzip",
				"Trailer", "X-T", "Upgrade", "h2c", "HTTP2-Settings", "AAA", "Expect", "100-continue", "Host", "evil", "Content-Length", "5",
				"Transfer-Encoding", "chunked", "X-Kept", "1",
			},
			want: []string{"X-Kept: 1"},
		},
		// L5: https://github.com/golang/go/issues/50580
		"Connection takes nothing from the credential": {
			cred:   &credential{field: "X-API-Key", value: "ours"},
			fields: []string{"Connection", "authorization, X-Api-Key,traceparent", "X-API-Key", "theirs", "Authorization", "theirs", "traceparent", "00-1-2-01", "A", "1"},
			want:   []string{"traceparent: 00-1-2-01", "A: 1", "X-API-Key: ours"},
		},
		"no trace, where a rule keeps it from the target": {
			settings: "headers: {remove: [traceparent, tracestate]}",
			fields:   []string{"Traceparent", "00-1-2-01", "Tracestate", "a=b", "A", "1"},
			want:     []string{"A: 1"},
		},
		"Connection takes nothing from the rules": {
			settings: "headers: {set: {X-Team: orders}}",
			fields:   []string{"Connection", "x-team", "X-Team", "theirs"},
			want:     []string{"X-Team: orders"},
		},
		"the target's credential, and none of the caller's": {
			cred:   &credential{field: "Authorization", value: "Bearer ours"},
			fields: []string{"AUTHORIZATION", "Bearer theirs", "authorization", "Basic theirs", "traceparent", "00-1-2-01"},
			want:   []string{"traceparent: 00-1-2-01", "Authorization: Bearer ours"},
		},
		"the caller's, where the target has none": {
			fields: []string{"Authorization", "Bearer theirs", "traceparent", "00-1-2-01", "tracestate", "a=b"},
			want:   []string{"Authorization: Bearer theirs", "traceparent: 00-1-2-01", "tracestate: a=b"},
		},
		"rules set and remove": {
			settings: "headers: {set: {X-B: b, X-A: a}, remove: [Cookie]}",
			fields:   []string{"COOKIE", "c", "x-a", "theirs", "X-C", "c"},
			want:     []string{"X-C: c", "X-A: a", "X-B: b"},
		},
		"a name that merely folds to another": { // the Kelvin sign
			fields: []string{"\u212aeep-Alive", "x"},
			want:   []string{"\u212aeep-Alive: x"},
		},
		"that trailers are understood, to HTTP/2": {
			settings: "protocol: h2c",
			fields:   []string{"TE", "gzip, trailers"},
			want:     []string{"TE: trailers"},
		},
		// UL9: RFC 9110, section 10.1.4.
		"that trailers are understood, to HTTP/1.1": {
			fields: []string{"TE", "gzip, trailers", "Connection", "TE"},
			want:   []string{"TE: trailers"},
		},
		// UL9: RFC 9110, section 6.6.2.
		"what the trailer will have of what goes on": {
			settings: "protocol: h2c\nheaders: {remove: [X-No]}",
			fields:   []string{"Trailer", "X-T, Authorization,X-No, te", "trailer", "Content-Digest"},
			want:     []string{"Trailer: X-T, Content-Digest"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := seen(t, test.settings, test.cred, request("GET", "/link/crm/", "", test.fields...)); !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestHeaders_oneAttemptDoesNotSeeAnothers(t *testing.T) {
	cred := &credential{field: "Authorization", value: "Bearer 1"}
	var got []string
	to := newTargetOf(t, "", target.Parts{Credential: cred, Transport: trip(func(_ context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
		for _, f := range out.Header {
			got = append(got, f.Value)
		}
		cred.value = "Bearer 2"
		return answer(503, ""), nil
	})})
	if _, record := makeCall(t.Context(), to, request("GET", "/link/crm/", "")); record.Attempts != 3 {
		t.Error(record)
	}
	if want := "Bearer 1,Bearer 2,Bearer 2"; strings.Join(got, ",") != want {
		t.Errorf("got %q", got)
	}
}

// L6: https://github.com/golang/go/issues/80416
func TestHeaders_anUpgradeToAnythingElseIsAnOrdinaryCall(t *testing.T) {
	for _, to := range []string{"h2c", "TLS/1.0", "websocketx", "foo"} {
		var upgrade string
		tg := newTargetOf(t, "", target.Parts{Transport: trip(func(_ context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
			upgrade = out.Upgrade + out.Header.Get("Upgrade") + out.Header.Get("Connection")
			return answer(200, "plain"), nil
		})})
		r := request("GET", "/link/crm/", "", "Connection", "Upgrade", "Upgrade", to)
		r.Upgrade = to
		if w, _ := makeCall(t.Context(), tg, r); w.status != 200 || upgrade != "" {
			t.Errorf("%s: %d, the target saw %q", to, w.status, upgrade)
		}
	}
}

// https://github.com/golang/go/issues/81320: interim answers too.
func TestHeaders_ofTheTargetsConnectionDoNotComeBack(t *testing.T) {
	const hop = "Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nTE: x\r\nUpgrade: h2c\r\nX-End: 1\r\n"
	up := rawUpstream(t, func(_ int, c net.Conn, in *bufio.Reader) {
		if _, err := http.ReadRequest(in); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n"+hop+"\r\nHTTP/1.1 200 OK\r\n"+hop+"Content-Length: 0\r\n\r\n")
		}
	})
	c := dial(t, serve(t, &Proxy{}, newTarget(t, up, "")))
	_, _ = io.WriteString(c, "GET /link/crm/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	got, err := io.ReadAll(c)
	if want := "HTTP/1.1 103 Early Hints\r\nX-End: 1\r\n\r\nHTTP/1.1 200 OK\r\nX-End: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"; string(got) != want || err != nil {
		t.Errorf("the application saw %q, %v", got, err)
	}
}

// L5, https://github.com/golang/go/issues/50580: fields that are not forwarded in the
// header are not forwarded in the trailer either.
func TestHeaders_theirRulesHoldForTheTrailerToo(t *testing.T) {
	var got http1.Header
	to := newTargetOf(t, "headers: {set: {X-Team: orders}, remove: [X-Debug]}", target.Parts{
		Credential: &credential{field: "X-API-Key", value: "ours"},
		Transport: trip(func(_ context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
			_, err := sentBody(out)
			got = out.Trailer()
			return answer(204, ""), err
		}),
	})
	r := request("POST", "/link/crm/", "hello")
	r.Length = -1
	r.Trailer = func() http1.Header {
		return header("x-api-key", "theirs", "X-Checksum", "1", "x-team", "other", "X-DEBUG", "1", "Connection", "close", "Authorization", "theirs")
	}
	if w, _ := makeCall(t.Context(), to, r); w.status != 204 {
		t.Fatal(w.status, w.body.String())
	}
	if want := header("X-Checksum", "1"); !slices.Equal(got, want) {
		t.Errorf("the trailer is %v, want %v", got, want)
	}
}

func TestHeaders_aTargetDoesNotSpeakForUs(t *testing.T) {
	to := newTargetOf(t, "", target.Parts{Transport: trip(func(_ context.Context, _ string, _ *http1.Outgoing, interim func(int, http1.Header)) (*http1.Answer, error) {
		h := header("Fiso-Error", "RATE_LIMITED", "Link", "</a>")
		interim(103, h)
		a := answer(503, "busy", "FISO-ERROR", "CIRCUIT_OPEN", "X-A", "1", "fiso-error", "INTERNAL")
		a.Trailer = func() http1.Header { return header("fiso-error", "INTERNAL", "X-Sum", "1") }
		return a, nil
	})})
	w, record := makeCall(t.Context(), to, request("POST", "/link/crm/", ""))
	if w.status != 503 || w.header.Has(call.ErrorField) || w.header.Get("X-A") != "1" || record.Code != "" {
		t.Errorf("%d %v, recorded as %q", w.status, w.header, record.Code)
	}
	if want := header("X-Sum", "1"); !slices.Equal(w.trailer, want) {
		t.Errorf("the trailer is %v", w.trailer)
	}
	if want := header("Link", "</a>"); !slices.Equal(w.informed, want) {
		t.Errorf("the interim answer has %v", w.informed)
	}
}
