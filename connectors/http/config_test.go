package http

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/config"
)

func sinkConfig(url string) SinkConfig { return SinkConfig{URL: url} }

func sourceConfig() SourceConfig { return SourceConfig{Listen: "127.0.0.1:0"} }

// keysOf returns the keys of the faults in order.
func keysOf(t *testing.T, file string, v any) []string {
	t.Helper()
	err := config.Decode("flow.yaml", []byte(file), v, config.Interpolate())
	var keys []string
	if faults, ok := errors.AsType[config.Errors](err); ok {
		for _, f := range faults {
			keys = append(keys, f.Key)
			if f.Pos.Line == 0 || strings.Contains(f.Error(), "canary") {
				t.Errorf("fault without a place, or with a secret: %v", f)
			}
		}
	} else if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestSinkConfig_namesEveryFault(t *testing.T) {
	for _, row := range []struct {
		name, file string
		want       []string
	}{
		{"a minimal sink", "url: http://orders/x", nil},
		{"everything", `
url: https://orders:8443/x?v=1
method: PUT
mode: batch
auth: {type: apiKey, key: abc, header: X-Key}
headers: {X-Team: orders, user-agent: mine}
tls: {serverName: orders}
timeout: 10s
retryOn: [409, 3xx]
rejectOn: [501, "5XX"]`, nil},
		{"no url", "mode: binary", []string{"url"}},
		{"a broken url", `url: "http://[::1"`, []string{"url"}},
		{"no scheme", "url: orders:8080", []string{"url"}},
		{"another scheme", "url: ftp://orders/", []string{"url"}},
		{"a password", "url: http://u:p@orders/", []string{"url"}},
		{"no host", "url: http:///x", []string{"url"}},
		{"port alone", "url: http://:80/x", []string{"url"}},
		{"an odd host", "url: http://or$ders/x", []string{"url"}},
		{"a fragment", "url: http://orders/x#y", []string{"url"}},
		{"a bad character", `url: "http://orders/x?a=ü"`, []string{"url"}},
		{"tls without https", "url: http://orders\ntls: {enabled: true}", []string{"tls"}},
		{"unknown values", "url: http://o\nmode: json\nmethod: GET\nauth: {type: digest}", []string{"mode", "method", "auth.type"}},
		{"limits", "url: http://o\ntimeout: -1s\nconnectTimeout: -1s\nidleTimeout: -1s\nmaxConnectionAge: -1s\nmaxConnections: -1", []string{"timeout", "connectTimeout", "idleTimeout", "maxConnectionAge", "maxConnections"}},
		{"too many connections", "url: http://o\nmaxConnections: 70000", []string{"maxConnections"}},
		{"auth lacks", "url: http://o\nauth: {type: basic}", []string{"auth.username", "auth.password"}},
		{"auth of another type", "url: http://o\nauth: {token: abc, query: x}", []string{"auth.token", "auth.query"}},
		{"key twice", "url: http://o\nauth: {type: apiKey, key: abc, query: x, header: y}", []string{"auth.query"}},
		{"key in our header", "url: http://o\nauth: {type: apiKey, key: abc, header: Host}", []string{"auth.header"}},
		{"headers of ours", "url: http://o\nheaders: {Host: a, content-type: b, Transfer-Encoding: c, Idempotency-Key: d, Ce-Id: e, Proxy-Authorization: f}",
			[]string{"headers.Host", "headers.content-type", "headers.Transfer-Encoding", "headers.Idempotency-Key", "headers.Ce-Id", "headers.Proxy-Authorization"}},
		{"headers that are none", "url: http://o\nheaders: {\"a b\": x, \"\": y, X-A: \"l\\nb\"}", []string{"headers.a b", "headers.", "headers.X-A"}},
		{"a header twice", "url: http://o\nheaders: {X-A: a, x-a: b}", []string{"headers.x-a"}},
		{"a header of auth", "url: http://o\nauth: {type: bearer, token: abc}\nheaders: {authorization: x}", []string{"headers.authorization"}},
		{"key header by default", "url: http://o\nauth: {type: apiKey, key: abc}\nheaders: {x-api-key: x}", []string{"headers.x-api-key"}},
		{"statuses that are none", "url: http://o\nretryOn: [200, 2xx, 6xx, abc, 600, 429]", []string{"retryOn[0]", "retryOn[1]", "retryOn[2]", "retryOn[3]", "retryOn[4]"}},
		{"statuses in both lists", "url: http://o\nretryOn: [409, 4xx]\nrejectOn: [409, 501]", []string{"rejectOn[0]"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := keysOf(t, row.file, new(SinkConfig))
			slices.Sort(got)
			slices.Sort(row.want)
			if !slices.Equal(got, row.want) {
				t.Errorf("faults at %q; want %q", got, row.want)
			}
		})
	}
}

func TestSourceConfig_namesEveryFault(t *testing.T) {
	for _, row := range []struct {
		name, file string
		want       []string
	}{
		{"only defaults", "{}", nil},
		{"every key", `
listen: 127.0.0.1:8081
path: /events/orders/
hosts: [orders.example]
auth: {type: hmac, secret: abc, secrets: [def], header: X-Sig, algorithm: sha512, encoding: base64, prefix: v1=, timestampHeader: X-Time, tolerance: 1m}
tls: {certFile: a, keyFile: b, caFile: c}
maxBodyBytes: 2MiB`, nil},
		{"listen", "listen: 8080", []string{"listen"}},
		{"paths", "path: events", []string{"path"}},
		{"path with a query", "path: /a?b", []string{"path"}},
		{"path with ..", "path: /a/../b", []string{"path"}},
		{"path with two slashes", "path: //a", []string{"path"}},
		{"path that is escaped", "path: /a%20b", []string{"path"}},
		{"path that does not parse", "path: \"/%zz\"", []string{"path"}},
		{"hosts", "hosts: [\"http://a\"]", []string{"hosts"}},
		{"tls without a certificate", "tls: {caFile: a}", []string{"tls.certFile"}},
		{"limits", "maxBodyBytes: 2GiB\nmaxHeaderBytes: 2MiB\nmaxRequests: -1\nmaxBatchEvents: -1\nanswerTimeout: -1s\nreadTimeout: -1s\nheaderTimeout: -1s\nidleTimeout: -1s",
			[]string{"maxBodyBytes", "maxHeaderBytes", "maxRequests", "maxBatchEvents", "answerTimeout", "readTimeout", "headerTimeout", "idleTimeout"}},
		{"bearer without a token", "auth: {type: bearer}", []string{"auth.token"}},
		{"hmac without a secret", "auth: {type: hmac, tolerance: -1s}", []string{"auth.secret", "auth.tolerance"}},
		{"tokens instead of token", "auth: {type: bearer, tokens: [a, b]}", nil},
		{"auth of another type", "auth: {type: basic, username: a, password: b, token: c, header: d}", []string{"auth.token", "auth.header"}},
		{"one header for signature and time", "auth: {type: hmac, secret: a, timestampHeader: x-hub-signature-256}", []string{"auth.timestampHeader"}},
		{"header with a blank", "auth: {type: hmac, secret: a, header: \"a b\"}", []string{"auth.header"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := keysOf(t, row.file, new(SourceConfig))
			slices.Sort(got)
			slices.Sort(row.want)
			if !slices.Equal(got, row.want) {
				t.Errorf("faults at %q; want %q", got, row.want)
			}
		})
	}
}

func TestNew_refusesAConfigurationThatIsAtFault(t *testing.T) {
	for name, cfg := range map[string]SinkConfig{
		"url is required":     {},
		"scheme must be http": {URL: "ftp://x"},
		"read caFile":         {URL: "https://x", TLS: config.TLS{CAFile: "/does/not/exist"}},
		"add keyFile":         {URL: "https://x", TLS: config.TLS{CertFile: "/does/not/exist"}},
		"retryOn[0]: 200":     {URL: "https://x", RetryOn: []Statuses{{200, 200}}},
		"rejectOn[0]: 5-7":    {URL: "https://x", RejectOn: []Statuses{{5, 7}}},
	} {
		if _, err := NewSink(cfg, SinkOptions{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error is %v; want %q in it", err, name)
		}
	}
	if _, err := NewSource(SourceConfig{Path: "x"}, SourceOptions{}); err == nil || !strings.Contains(err.Error(), "begins with /") {
		t.Errorf("error is %v", err)
	}
}

func TestConfig_faultsSayWhatToWrite(t *testing.T) {
	err := config.Decode("flow.yaml", []byte("url: http://user:canary@orders/"), new(SinkConfig))
	if err == nil || !strings.Contains(err.Error(), "use auth: {type: basic") || !strings.Contains(err.Error(), "flow.yaml:1:") {
		t.Errorf("error is %v", err)
	}
}

func TestStatuses_marshalAsTheyUnmarshal(t *testing.T) {
	for _, text := range []string{"429", "5xx"} {
		var s Statuses
		if err := s.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if back, err := s.MarshalText(); err != nil || string(back) != text {
			t.Errorf("%s became %s (%v)", text, back, err)
		}
	}
}
