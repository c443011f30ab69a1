package spec

import "testing"

// UL9: RFC 9110, section 7.2. Host lacked a configured port, and the brackets of an
// IPv6 address.
func TestTarget_theHostThatItSeesHasThePortAndBrackets(t *testing.T) {
	for name, test := range map[string]struct {
		target Target
		want   string
	}{
		"a name":                          {Target{Protocol: "https", Host: "api.example"}, "api.example"},
		"a port beside it":                {Target{Protocol: "https", Host: "api.example", Port: 8443}, "api.example:8443"},
		"a port in it":                    {Target{Protocol: "http", Host: "api.example:8080"}, "api.example:8080"},
		"the default port beside it":      {Target{Protocol: "https", Host: "api.example", Port: 443}, "api.example"},
		"the default port in it":          {Target{Protocol: "http", Host: "api.example:80"}, "api.example"},
		"another protocol's default":      {Target{Protocol: "http", Host: "api.example", Port: 443}, "api.example:443"},
		"gRPC with TLS":                   {Target{Protocol: "grpc", Host: "api.example", Port: 443}, "api.example"},
		"an IPv6 address":                 {Target{Protocol: "http", Host: "::1"}, "[::1]"},
		"one with a port beside it":       {Target{Protocol: "http", Host: "::1", Port: 8080}, "[::1]:8080"},
		"one in brackets":                 {Target{Protocol: "h2c", Host: "[::1]"}, "[::1]"},
		"one in brackets, with a port":    {Target{Protocol: "h2c", Host: "[::1]:8080"}, "[::1]:8080"},
		"one with a zone, which is local": {Target{Protocol: "http", Host: "fe80::1%eth0", Port: 8080}, "[fe80::1]:8080"},
	} {
		if got := test.target.Authority(); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
