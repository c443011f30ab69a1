package proxy

import (
	"testing"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/target"
)

// L9: https://github.com/golang/go/issues/23993,
// https://github.com/modelcontextprotocol/go-sdk/issues/760
func TestGuard_keepsWebPagesOut(t *testing.T) {
	g := Guard{Loopback: true, Hosts: []string{"link.test", "other.test:3500"}, Origins: []string{"https://app.example.com"}}
	const ok = call.Code("")
	for name, test := range map[string]struct {
		host   string
		fields []string
		want   call.Code
	}{
		"localhost":                      {"localhost:3500", nil, ok},
		"in capitals, without a port":    {"LocalHost", nil, ok},
		"127.0.0.1":                      {"127.0.0.1:3500", nil, ok},
		"another of 127/8":               {"127.8.8.8", nil, ok},
		"IPv6":                           {"[::1]:3500", nil, ok},
		"IPv6 without a port":            {"[::1]", nil, ok},
		"IPv4 within IPv6":               {"[::ffff:127.0.0.1]:3500", nil, ok},
		"a configured name":              {"LINK.test:3500", nil, ok},
		"a configured name and port":     {"other.test:3500", nil, ok},
		"that name with another port":    {"other.test:3501", nil, call.HostNotAllowed},
		"a name that resolves to us":     {"evil.example:3500", nil, call.HostNotAllowed},
		"localhost as a label":           {"localhost.evil.example", nil, call.HostNotAllowed},
		"127.0.0.1 as a label":           {"127.0.0.1.evil.example:3500", nil, call.HostNotAllowed},
		"an address of the network":      {"10.0.0.1:3500", nil, call.HostNotAllowed},
		"any address":                    {"0.0.0.0:3500", nil, call.HostNotAllowed},
		"no host":                        {"", nil, call.HostNotAllowed},
		"a decimal address":              {"2130706433", nil, call.HostNotAllowed},
		"own origin":                     {"localhost:3500", []string{"Origin", "http://localhost:3500"}, ok},
		"an allowed origin":              {"localhost:3500", []string{"Origin", "https://app.example.com", "Sec-Fetch-Site", "cross-site"}, ok},
		"the same, the other way round":  {"localhost:3500", []string{"sec-fetch-site", "cross-site", "origin", "https://APP.example.com"}, ok},
		"another origin":                 {"localhost:3500", []string{"Origin", "https://evil.example"}, call.OriginNotAllowed},
		"another port":                   {"localhost:3500", []string{"Origin", "http://localhost:8080"}, call.OriginNotAllowed},
		"no origin to speak of":          {"localhost:3500", []string{"Origin", "null"}, call.OriginNotAllowed},
		"an empty origin":                {"localhost:3500", []string{"Origin", ""}, call.OriginNotAllowed},
		"an origin that is no URL":       {"localhost:3500", []string{"Origin", "http://[::1"}, call.OriginNotAllowed},
		"an allowed origin and another":  {"localhost:3500", []string{"Origin", "https://app.example.com", "Origin", "https://evil.example"}, call.OriginNotAllowed},
		"a page of another site":         {"localhost:3500", []string{"Sec-Fetch-Site", "cross-site"}, call.OriginNotAllowed},
		"a page of the same site":        {"localhost:3500", []string{"Sec-Fetch-Site", "same-site"}, call.OriginNotAllowed},
		"a relation yet to be invented":  {"localhost:3500", []string{"Sec-Fetch-Site", "x"}, call.OriginNotAllowed},
		"a page of ours":                 {"localhost:3500", []string{"Sec-Fetch-Site", "same-origin"}, ok},
		"what the user typed":            {"localhost:3500", []string{"Sec-Fetch-Site", "none"}, ok},
		"X-Forwarded-Host does not help": {"evil.example", []string{"X-Forwarded-Host", "localhost", "Forwarded", "host=localhost"}, call.HostNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			got, detail := g.refuse(&http1.Request{Host: test.host, Header: header(test.fields...)})
			if got != test.want || (detail == "") != (got == ok) {
				t.Errorf("got %q, %q; want %q", got, detail, test.want)
			}
		})
	}
}

func TestGuard_takesAnyHostBeyondLoopback(t *testing.T) {
	var g Guard
	if code, _ := g.refuse(&http1.Request{Host: "fiso-link.prod:3500"}); code != "" {
		t.Error(code)
	}
	if code, _ := g.refuse(&http1.Request{Host: "fiso-link.prod:3500", Header: header("Origin", "https://evil.example")}); code != call.OriginNotAllowed {
		t.Error(code)
	}
}

// L8: https://github.com/oauth2-proxy/oauth2-proxy/issues/3506
func TestProxy_decidesNothingByWhatTheCallerSaysOfItself(t *testing.T) {
	lies := []string{
		"X-Forwarded-Host", "localhost", "X-Forwarded-For", "127.0.0.1", "X-Forwarded-Proto", "https", "X-Forwarded-Uri", "/link/crm/public/a",
		"X-Forwarded-Prefix", "/public", "Forwarded", "host=localhost", "X-Original-URL", "/link/crm/public/a", "X-Rewrite-URL", "/link/crm/public/a",
		"X-HTTP-Method-Override", "GET", "X-Method-Override", "GET", "X-HTTP-Method", "GET", "X-Real-IP", "127.0.0.1",
	}
	to := newTargetOf(t, "allowedPaths: [/public/**]\nallowedMethods: [GET]", target.Parts{Transport: always(200, "")})
	for name, test := range map[string]struct {
		method, path, host string
		want               call.Code
	}{
		"path":   {"GET", "/link/crm/admin", "localhost", call.PathNotAllowed},
		"method": {"DELETE", "/link/crm/public/a", "localhost", call.MethodNotAllowed},
		"host":   {"GET", "/link/crm/public/a", "evil.example", call.HostNotAllowed},
		"target": {"GET", "/link/other/public/a", "localhost", call.UnknownTarget},
		"none":   {"GET", "/link/crm/public/a", "localhost", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(test.method, test.path, "", lies...)
			r.Host = test.host
			if _, record := makeCall(t.Context(), to, r); record.Code != test.want {
				t.Errorf("got %q", record.Code)
			}
		})
	}
}
