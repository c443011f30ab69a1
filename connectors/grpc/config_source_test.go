package grpc

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/config"
)

func TestSourceConfig_namesEveryFault(t *testing.T) {
	for _, row := range []struct {
		name, file string
		want       []string
	}{
		{"only defaults", "{}", nil},
		{"every key", `
listen: 127.0.0.1:50052
auth: {type: bearer, token: abc, tokens: [def]}
tls: {certFile: a, keyFile: b, caFile: c}
maxInFlight: 10
maxInFlightBytes: 1MiB
maxEventBytes: 2MiB
maxBufferedBytes: 10MiB
maxStreams: 10
maxConnections: 10
maxHeaderBytes: 8KiB
writeTimeout: 10s
maxStreamAge: 10m`, nil},
		{"no port", "listen: localhost", []string{"listen"}},
		{"a name for a port", "listen: localhost:http", []string{"listen"}},
		{"a port too large", "listen: localhost:65536", []string{"listen"}},
		{"a port with a sign", "listen: localhost:+1", []string{"listen"}},
		{"any port", "listen: localhost:0", nil},
		{"tls without a certificate", "tls: {caFile: a}", []string{"tls.certFile"}},
		{"nothing is allowed", "maxInFlight: -1\nmaxInFlightBytes: 2TiB\nmaxEventBytes: 1GiB\nmaxBufferedBytes: 2TiB\nmaxStreams: -1\nmaxConnections: -1\nmaxHeaderBytes: 2MiB\nwriteTimeout: -1s\nmaxStreamAge: -1s",
			[]string{"maxInFlight", "maxInFlightBytes", "maxEventBytes", "maxBufferedBytes", "maxStreams", "maxConnections", "maxHeaderBytes", "writeTimeout", "maxStreamAge"}},
		{"bearer without a token", "auth: {type: bearer}", []string{"auth.token"}},
		{"tokens instead of token", "auth: {type: bearer, tokens: [a, b]}", nil},
		{"tokens of no type", "auth: {token: a, tokens: [b]}", []string{"auth.token", "auth.tokens"}},
		{"an unknown type", "auth: {type: basic}", []string{"auth.type"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := config.Decode("flow.yaml", []byte(row.file), new(SourceConfig), config.Interpolate())
			var got []string
			if faults, ok := errors.AsType[config.Errors](err); ok {
				for _, f := range faults {
					got = append(got, f.Key)
					if f.Pos.Line == 0 {
						t.Errorf("fault without a place: %v", f)
					}
				}
			} else if err != nil {
				t.Fatal(err)
			}
			slices.Sort(got)
			slices.Sort(row.want)
			if !slices.Equal(got, row.want) {
				t.Errorf("faults at %q; want %q", got, row.want)
			}
		})
	}
}

func TestNewSource_refusesAConfigurationThatIsNotValid(t *testing.T) {
	_, err := NewSource(SourceConfig{Listen: "x", TLS: config.TLS{CertFile: "a"}}, SourceOptions{})
	if err == nil || !strings.HasPrefix(err.Error(), "grpc source: ") || !strings.Contains(err.Error(), "write host:port or :port, such as :50051") || !strings.Contains(err.Error(), "add keyFile") {
		t.Error(err)
	}
}

func TestSourceConfig_saysWhatKeepsTwoSourcesApart(t *testing.T) {
	a, b := SourceConfig{MaxInFlight: 1, MaxStreams: 1}, SourceConfig{MaxInFlight: 2, MaxStreams: 1}
	if got := a.ListenerDifference(&b); got != "" {
		t.Errorf("different %s; a credit belongs to a flow", got)
	}
	b.MaxStreams = 2
	if got := a.ListenerDifference(&b); got != "maxStreams" {
		t.Errorf("different %q", got)
	}
}
