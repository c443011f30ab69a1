package grpc

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/config/configtest"
)

func TestSinkConfig_namesEveryFault(t *testing.T) {
	for _, row := range []struct {
		name, file string
		want       []string
	}{
		{"a minimal sink", "target: orders:9000", nil},
		{"everything", `
target: dns:///orders:9000
flow: orders
tls: {caFile: /ca.pem, serverName: orders}
auth: {type: bearer, token: canary}
streams: 8
timeout: 10m
connectTimeout: 1s
keepalive: 10s
maxStreamAge: 1h
compression: gzip
maxEventBytes: 1MiB`, nil},
		{"a DNS server", "target: dns://10.0.0.1/orders:9000", nil},
		{"the short form of dns", "target: dns:orders:9000", nil},
		{"a host that is called dns", "target: dns:9000", nil},
		{"IPv6", "target: '[::1]:9000'\nauth: {type: bearer, token: canary}", nil},
		{"a socket", "target: unix:///run/orders.sock\nauth: {type: bearer, token: canary}", nil},
		{"a relative socket", "target: unix:orders.sock", nil},
		{"a socket with TLS", "target: unix:///s\ntls: {enabled: true, serverName: orders}", nil},
		{"a token in plaintext, allowed", "target: orders:9000\nauth: {type: bearer, token: canary, allowPlaintext: true}", nil},
		{"a token to localhost", "target: LOCALHOST:9000\nauth: {type: bearer, token: canary}", nil},
		{"no target", "flow: x", []string{"target"}},
		{"no port", "target: orders", []string{"target"}},
		{"port 0", "target: orders:0", []string{"target"}},
		{"a port above all", "target: orders:70000", []string{"target"}},
		{"no host", "target: ':9000'", []string{"target"}},
		{"another scheme", "target: https://orders:9000", []string{"target"}},
		{"a user", "target: canary@orders:9000", []string{"target"}},
		{"a broken dns target", "target: 'dns://[::1/orders:9000'", []string{"target"}},
		{"no path", "target: 'unix:'", []string{"target"}},
		{"a relative path", "target: unix://run/s", []string{"target"}},
		{"a socket with TLS and no name", "target: unix:///s\ntls: {enabled: true}", []string{"tls.serverName"}},
		{"a flow that cannot be sent", "target: o:1\nflow: größe", []string{"flow"}},
		{"a token in plaintext", "target: orders:9000\nauth: {type: bearer, token: canary}", []string{"auth.type"}},
		{"bearer without a token", "target: orders:9000\nauth: {type: bearer}", []string{"auth.token"}},
		{"a token without bearer", "target: orders:9000\nauth: {token: canary}", []string{"auth.token"}},
		{"an unknown kind", "target: orders:9000\nauth: {type: basic}", []string{"auth.type"}},
		{"bad numbers", "target: orders:9000\nstreams: -1\ntimeout: -1s\nconnectTimeout: -1s\nkeepalive: 1s\nmaxStreamAge: 1ms\nmaxEventBytes: 2GiB",
			[]string{"timeout", "connectTimeout", "keepalive", "maxStreamAge", "streams", "maxEventBytes"}},
		{"an unknown compression", "target: o:1\ncompression: zstd", []string{"compression"}},
		{"half a certificate", "target: o:1\ntls: {certFile: /c.pem}", []string{"tls.certFile"}},
	} {
		err := config.Decode("flow.yaml", []byte(row.file), new(SinkConfig), config.Interpolate())
		var keys []string
		if faults, ok := errors.AsType[config.Errors](err); ok {
			for _, f := range faults {
				keys = append(keys, f.Key)
			}
		} else if err != nil {
			t.Fatal(err)
		}
		slices.Sort(keys)
		want := slices.Sorted(slices.Values(row.want))
		if !slices.Equal(keys, want) {
			t.Errorf("%s: faults %q; want %q\n%v", row.name, keys, want, err)
		}
		if err != nil && strings.Contains(err.Error(), "canary") && row.name != "a user" {
			t.Errorf("%s: a secret is in %v", row.name, err)
		}
	}
}

// G9: grpc/grpc-go#4868. The default keepalive is what servers allow by default.
func TestSinkConfig_defaults(t *testing.T) {
	var c SinkConfig
	if err := config.Decode("flow.yaml", []byte("target: orders:9000"), &c); err != nil {
		t.Fatal(err)
	}
	want := SinkConfig{
		Target: "orders:9000", Auth: SinkAuth{Type: "none"}, Streams: 4, Timeout: time.Minute, ConnectTimeout: 5 * time.Second,
		Keepalive: 5 * time.Minute, MaxStreamAge: 30 * time.Minute, Compression: "none", MaxEventBytes: 4 << 20,
	}
	if c != want {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestSinkConfig_saysWhatToDo(t *testing.T) {
	for file, want := range map[string]string{
		"target: https://orders:9000": "target: write host:port, dns:///host:port or unix:///path; whether TLS is used is set by tls",
		"target: orders":              "target: write host and port, such as orders:9000",
		"target: o:1\nauth: {type: bearer, token: '" + configtest.Canary + "'}": "without TLS, everybody on the network can read the token; add tls: {enabled: true}, or allowPlaintext: true",
		"target: o:1\nkeepalive: 1s": "keepalive: 1s is too small; the least is 10s",
	} {
		err := config.Decode("f.yaml", []byte(file), new(SinkConfig), config.Interpolate())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
		if shown := configtest.ShownBy(err); shown != "" {
			t.Error(shown)
		}
	}
}

func TestNewSink_refusesWhatIsNotValid(t *testing.T) {
	for _, row := range []struct {
		cfg  SinkConfig
		want string
	}{
		{SinkConfig{}, "grpc sink: target is required"},
		{SinkConfig{Target: "orders"}, "grpc sink: target: write host and port"},
		{SinkConfig{Target: "o:1", TLS: config.TLS{CertFile: "/c"}}, "grpc sink: certFile: a certificate needs its key"},
		{SinkConfig{Target: "o:1", TLS: config.TLS{CAFile: "/does/not/exist"}}, "grpc sink: tls: read caFile"},
	} {
		if _, err := NewSink(row.cfg, SinkOptions{}); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("got %v; want %s", err, row.want)
		}
	}
}
