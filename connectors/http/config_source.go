package http

import (
	"cmp"
	"errors"
	"net"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/lsm/fiso/common/config"
)

// SourceConfig is the configuration of a Source. A zero field takes the default in its
// tag.
type SourceConfig struct {
	Listen string         `yaml:"listen" default:":8080" doc:"Address to listen on, as host:port or :port. Sources with the same address share one listener, each with its path."`
	Path   string         `yaml:"path" default:"/" doc:"Path of this source, matched exactly."`
	Hosts  config.Strings `yaml:"hosts" doc:"Names a request may give as its host, without port. Default: any, and on a loopback address only loopback names."`

	Auth SourceAuth `yaml:"auth" secret:"true" doc:"What a caller must present."`
	TLS  config.TLS `yaml:"tls" doc:"Certificate of the listener; with caFile, callers must present one too."`

	MaxBodyBytes   config.Bytes `yaml:"maxBodyBytes" default:"1MiB" doc:"Largest body of a request; more is answered with 413."`
	MaxBatchEvents int          `yaml:"maxBatchEvents" default:"1000" doc:"Most events in one batch; more are answered with 413."`
	MaxRequests    int          `yaml:"maxRequests" default:"1024" doc:"Most requests at once whose events are not settled, and as many on their way; more are answered with 503 and Retry-After."`

	MaxBufferedBytes config.Bytes `yaml:"maxBufferedBytes" default:"64MiB" doc:"Most bytes of requests, headers included, read and not settled; at least one body. Further callers wait, for readTimeout at most, then are answered with 503 and Retry-After."`
	MaxConnections   int          `yaml:"maxConnections" default:"1024" doc:"Most connections of the listener; one more takes the place of one that is idle or slow, or waits. Never more than half of the descriptors that the process may have. The same for all sources of a listener."`

	AnswerTimeout  time.Duration `yaml:"answerTimeout" default:"60s" doc:"Longest time a caller waits for its events to be settled; then it is told 503, while the work goes on."`
	ReadTimeout    time.Duration `yaml:"readTimeout" default:"30s" doc:"Longest time to read one request, headers included. The same for all sources of a listener."`
	HeaderTimeout  time.Duration `yaml:"headerTimeout" default:"10s" doc:"Longest time to read the headers of a request. The same for all sources of a listener."`
	IdleTimeout    time.Duration `yaml:"idleTimeout" default:"120s" doc:"A connection without a request is closed after this time. The same for all sources of a listener."`
	MaxHeaderBytes config.Bytes  `yaml:"maxHeaderBytes" default:"64KiB" doc:"Largest header of a request. The same for all sources of a listener."`
}

// SourceAuth is the credential that a caller must present. A secret from a file is read
// again when the file changes.
type SourceAuth struct {
	Type     string          `yaml:"type" default:"none" enum:"none|bearer|basic|hmac" doc:"Kind of proof."`
	Token    config.Secret   `yaml:"token" doc:"The token of type bearer."`
	Tokens   []config.Secret `yaml:"tokens" doc:"Further tokens of type bearer, any of which will do, for a rotation without a gap."`
	Username string          `yaml:"username" doc:"The user of type basic."`
	Password config.Secret   `yaml:"password" doc:"The password of type basic."`

	Secret          config.Secret   `yaml:"secret" doc:"The shared secret of type hmac."`
	Secrets         []config.Secret `yaml:"secrets" doc:"Further secrets of type hmac, any of which will do, for a rotation without a gap."`
	Header          string          `yaml:"header" secret:"false" doc:"The header that holds the signature of type hmac; default X-Hub-Signature-256, as GitHub sends it."`
	Algorithm       string          `yaml:"algorithm" default:"sha256" enum:"sha256|sha512" doc:"Hash of type hmac."`
	Encoding        string          `yaml:"encoding" default:"hex" enum:"hex|base64" doc:"How the signature is written."`
	Prefix          string          `yaml:"prefix" blanks:"keep" doc:"Text that may stand before the signature; default the algorithm and =, as in sha256=."`
	TimestampHeader string          `yaml:"timestampHeader" secret:"false" doc:"Header with the time of signing in Unix seconds, against replays; the signed text is then time, a dot and the body."`
	Tolerance       time.Duration   `yaml:"tolerance" default:"5m" doc:"How far that time may be from now."`
}

// Validate joins all faults of the configuration.
func (c *SourceConfig) Validate() error {
	var faults []error
	fault := func(bad bool, key, format string, args ...any) {
		if bad {
			faults = append(faults, config.Fault(key, format, args...))
		}
	}
	_, port, err := net.SplitHostPort(c.Listen)
	fault(err != nil || port == "" || port != "0" && !validPort(port), "listen", "write host:port or :port, such as :8080")
	fault(!validPath(c.Path), "path", "write a URL path that begins with /, has no query and no . or .. segments, such as /events")
	for _, host := range c.Hosts {
		fault(host == "" || strings.ContainsAny(host, "/ "), "hosts", "%q is not a host name; write it without scheme and path", host)
	}
	fault(!c.TLS.IsZero() && c.TLS.CertFile == "" && c.TLS.KeyFile == "", "tls.certFile", "a listener with TLS needs certFile and keyFile")
	for _, d := range []struct {
		key   string
		value int64
	}{
		{"maxBodyBytes", int64(c.MaxBodyBytes)}, {"maxBatchEvents", int64(c.MaxBatchEvents)},
		{"maxRequests", int64(c.MaxRequests)}, {"maxBufferedBytes", int64(c.MaxBufferedBytes)}, {"maxConnections", int64(c.MaxConnections)},
		{"maxHeaderBytes", int64(c.MaxHeaderBytes)},
		{"answerTimeout", int64(c.AnswerTimeout)}, {"readTimeout", int64(c.ReadTimeout)},
		{"headerTimeout", int64(c.HeaderTimeout)}, {"idleTimeout", int64(c.IdleTimeout)},
	} {
		fault(d.value <= 0, d.key, "must be more than 0")
	}
	fault(c.MaxHeaderBytes > 1<<20, "maxHeaderBytes", "must not be more than 1MiB")
	fault(c.MaxBodyBytes > 1<<30, "maxBodyBytes", "must not be more than 1GiB")
	return errors.Join(append(faults, c.Auth.validate())...)
}

// validPath reports whether p is a path that a request can match exactly.
func validPath(p string) bool {
	u, err := url.Parse(p)
	if err != nil || u.EscapedPath() != p || u.Path != p || !strings.HasPrefix(p, "/") {
		return false // it has a query or percent-encoded characters
	}
	return path.Clean(p) == strings.TrimSuffix(p, "/") || p == "/"
}

// validate joins all faults of the block. Keys are named as in the configuration file.
func (a *SourceAuth) validate() error {
	bearer, hmac := len(a.Tokens) > 0, len(a.Secrets) > 0
	faults := checkAuthFields(a.Type, []authField{
		{"token", authBearer, !a.Token.IsZero(), !bearer},
		{"tokens", authBearer, bearer, false},
		{"username", authBasic, a.Username != "", true},
		{"password", authBasic, !a.Password.IsZero(), true},
		{"secret", authHMAC, !a.Secret.IsZero(), !hmac},
		{"secrets", authHMAC, hmac, false},
		{"header", authHMAC, a.Header != "", false},
		{"prefix", authHMAC, a.Prefix != "", false},
		{"timestampHeader", authHMAC, a.TimestampHeader != "", false},
	})
	faults = append(faults, checkUsername(a.Username))
	for key, header := range map[string]string{"auth.header": a.Header, "auth.timestampHeader": a.TimestampHeader} {
		if header != "" && !validToken(header) {
			faults = append(faults, config.Fault(key, "not a header name; use letters, digits and -"))
		}
	}
	if a.TimestampHeader != "" && strings.EqualFold(a.TimestampHeader, cmp.Or(a.Header, defaultSignatureHeader)) {
		faults = append(faults, config.Fault("auth.timestampHeader", "this header already holds the signature; name another one"))
	}
	if a.Type == authHMAC && a.Tolerance <= 0 {
		faults = append(faults, config.Fault("auth.tolerance", "must be more than 0, such as 5m"))
	}
	return errors.Join(faults...)
}
