package grpc

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/lsm/fiso/common/config"
)

// Compressions of a sink.
const (
	CompressionNone = "none"
	CompressionGzip = "gzip"
)

// SinkConfig is the configuration of a Sink. A zero field takes the default in its tag.
type SinkConfig struct {
	Target string `yaml:"target" required:"true" doc:"The server: host:port, dns:///host:port (the same), or unix:///path. Streams are spread over all addresses of the name."`
	Flow   string `yaml:"flow" doc:"The flow of the receiver, sent as metadata fiso-flow; needed if several flows share the address."`

	TLS  config.TLS `yaml:"tls" doc:"TLS to the server: own authority, client certificate."`
	Auth SinkAuth   `yaml:"auth" secret:"true" doc:"The credential to present."`

	Streams        int           `yaml:"streams" default:"4" doc:"Streams side by side. Events with the same key always use the same one."`
	Timeout        time.Duration `yaml:"timeout" default:"1m" doc:"Longest time for one event, from waiting for credit to its result. The receiver answers when the event is settled, so allow for its retries."`
	ConnectTimeout time.Duration `yaml:"connectTimeout" default:"5s" doc:"Longest time to open a stream: connect, TLS, and the receiver's Settings."`
	Keepalive      time.Duration `yaml:"keepalive" default:"5m" doc:"A connection without traffic is pinged after this time. Many servers disconnect clients that ping more often than every 5m."`
	MaxStreamAge   time.Duration `yaml:"maxStreamAge" default:"30m" doc:"A stream older than this is replaced, a tenth sooner or later: the new one presents the current token, and may reach another server."`
	Compression    string        `yaml:"compression" default:"none" enum:"none|gzip" doc:"Compression of events."`
	MaxEventBytes  config.Bytes  `yaml:"maxEventBytes" default:"4MiB" doc:"Largest event to send, serialized. The receiver's own limit counts, too."`
}

// SinkAuth is the credential that a sink presents. A token from a file is read again
// when the file changes: the next stream presents it.
type SinkAuth struct {
	Type           string        `yaml:"type" default:"none" enum:"none|bearer" doc:"Kind of credential."`
	Token          config.Secret `yaml:"token" doc:"The token of type bearer."`
	AllowPlaintext bool          `yaml:"allowPlaintext" secret:"false" doc:"Send the token without TLS to another machine, for example because a sidecar encrypts."`
}

const (
	authNone   = "none"
	authBearer = "bearer"
)

// Validate joins all faults of the configuration.
func (c *SinkConfig) Validate() error {
	return errors.Join(c.validateTarget(), c.validateFlow(), c.validateAuth(), c.validateLimits())
}

func (c *SinkConfig) validateTarget() error {
	if c.Target == "" {
		return nil // reported by the tag required
	}
	t, err := parseTarget(c.Target)
	if err != nil {
		return config.Fault("target", "%v", err)
	}
	if t.scheme == "unix" && !c.TLS.IsZero() && c.TLS.ServerName == "" {
		return config.Fault("tls.serverName", "a socket has no host name to expect in the certificate; add serverName")
	}
	return nil
}

// validateFlow refuses what cannot be sent as metadata.
func (c *SinkConfig) validateFlow() error {
	if !printableASCII(c.Flow) {
		return config.Fault("flow", "a flow name has printable ASCII characters only")
	}
	return nil
}

func (c *SinkConfig) validateAuth() error {
	switch {
	case c.Auth.Type != authBearer && !c.Auth.Token.IsZero():
		return config.Fault("auth.token", "token belongs to type: bearer, and type is none")
	case c.Auth.Type != authBearer:
		return nil
	case c.Auth.Token.IsZero():
		return config.Fault("auth.token", "type: bearer needs token")
	}
	t, err := parseTarget(c.Target)
	if err == nil && !t.local() && c.TLS.IsZero() && !c.Auth.AllowPlaintext {
		return config.Fault("auth.type", "without TLS, everybody on the network can read the token; add tls: {enabled: true}, or allowPlaintext: true if a sidecar encrypts")
	}
	return nil
}

func (c *SinkConfig) validateLimits() error {
	var faults []error
	for _, d := range []struct {
		key          string
		value, least time.Duration
	}{
		{"timeout", c.Timeout, time.Millisecond}, {"connectTimeout", c.ConnectTimeout, time.Millisecond},
		{"keepalive", c.Keepalive, 10 * time.Second}, {"maxStreamAge", c.MaxStreamAge, time.Second},
	} {
		if d.value < d.least {
			faults = append(faults, config.Fault(d.key, "%v is too small; the least is %v", d.value, d.least))
		}
	}
	if c.Streams < 1 || c.Streams > 256 {
		faults = append(faults, config.Fault("streams", "must be between 1 and 256"))
	}
	if c.MaxEventBytes < 1 || c.MaxEventBytes > 1<<30 {
		faults = append(faults, config.Fault("maxEventBytes", "must be between 1 and 1GiB"))
	}
	return errors.Join(faults...)
}

// target is a parsed target.
type target struct {
	scheme  string // dns or unix
	dns     string // the DNS server of dns://server/host:port; "": the system's
	address string // host:port, or the path of a socket
	host    string // of dns
}

// parseTarget reads what gRPC takes as a target, as far as this sink supports it.
func parseTarget(text string) (target, error) {
	scheme, _, hasScheme := strings.Cut(text, ":")
	switch {
	case scheme == "unix" && strings.HasPrefix(text, "unix:"):
		path := strings.TrimPrefix(strings.TrimPrefix(text, "unix:"), "//")
		if path == "" || strings.HasPrefix(text, "unix://") && path[0] != '/' {
			return target{}, errors.New("write a socket as unix:///absolute/path")
		}
		return target{scheme: "unix", address: path, host: "localhost"}, nil
	case hasScheme && scheme != "dns" && strings.Contains(text, "://"):
		return target{}, errors.New("write host:port, dns:///host:port or unix:///path; whether TLS is used is set by tls")
	}
	t := target{scheme: "dns", address: text}
	if strings.HasPrefix(text, "dns:") && strings.Count(text, ":") > 1 {
		u, err := url.Parse(text)
		if err != nil {
			return target{}, errors.New("not a target; write one such as dns:///orders:9000")
		}
		t.dns, t.address = u.Host, strings.TrimPrefix(u.Path, "/")+u.Opaque
	}
	host, port, err := net.SplitHostPort(t.address)
	if err != nil || host == "" || strings.ContainsAny(host, " /@") {
		return target{}, errors.New("write host and port, such as orders:9000 or dns:///orders:9000")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return target{}, errors.New("the port is not valid; write one from 1 to 65535")
	}
	t.host = host
	return t, nil
}

// network is that of net.Dial.
func (t *target) network() string {
	if t.scheme == "unix" {
		return "unix"
	}
	return "tcp"
}

// local reports whether what is sent stays on this machine.
func (t *target) local() bool {
	ip, err := netip.ParseAddr(t.host)
	return t.scheme == "unix" || strings.EqualFold(t.host, "localhost") || err == nil && ip.IsLoopback()
}

// printableASCII reports whether s can be a value of metadata.
func printableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
