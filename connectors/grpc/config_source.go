package grpc

import (
	"cmp"
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/lsm/fiso/common/config"
)

// SourceConfig is the configuration of a Source. A zero field takes the default in its
// tag.
type SourceConfig struct {
	Listen string `yaml:"listen" default:":50051" doc:"Address to listen on, as host:port or :port. Sources with the same address share one listener; producers name the flow in the metadata fiso-flow."`

	Auth SourceAuth `yaml:"auth" secret:"true" doc:"What a producer must present."`
	TLS  config.TLS `yaml:"tls" doc:"Certificate of the listener; with caFile, producers must present one too. The same for all sources of a listener."`

	MaxInFlight      int          `yaml:"maxInFlight" default:"1024" doc:"Most events of a stream without a result: its credit. A Publish may hold as many events."`
	MaxInFlightBytes config.Bytes `yaml:"maxInFlightBytes" default:"4MiB" doc:"Most bytes of events of a stream without a result: its credit in bytes; never more than maxBufferedBytes."`

	MaxEventBytes    config.Bytes  `yaml:"maxEventBytes" default:"1MiB" doc:"Largest event, as it is sent; a larger one is answered with INVALID_ARGUMENT. The same for all sources of a listener."`
	MaxBufferedBytes config.Bytes  `yaml:"maxBufferedBytes" default:"64MiB" doc:"Most bytes of events of all streams, received and not settled; at least one event. Further ones are answered with RESOURCE_EXHAUSTED. As many again for messages that have not arrived in full. The same for all sources of a listener."`
	MaxStreams       int           `yaml:"maxStreams" default:"1024" doc:"Most streams and calls of the listener at once; one more is answered with RESOURCE_EXHAUSTED. The same for all sources of a listener."`
	MaxConnections   int           `yaml:"maxConnections" default:"1024" doc:"Most connections of the listener; one more takes the place of one without a call, or waits. The same for all sources of a listener."`
	MaxHeaderBytes   config.Bytes  `yaml:"maxHeaderBytes" default:"16KiB" doc:"Largest header of a call, with its metadata. The same for all sources of a listener."`
	WriteTimeout     time.Duration `yaml:"writeTimeout" default:"30s" doc:"A producer that takes longer to read a result is disconnected."`
	MaxStreamAge     time.Duration `yaml:"maxStreamAge" default:"1h" doc:"A stream is drained after this time, a tenth more or less, so that its producer connects and authenticates again. The same for all sources of a listener, because connections age with it."`
}

// SourceAuth is the credential that a producer must present. A secret from a file is
// read again when the file changes.
type SourceAuth struct {
	Type   string          `yaml:"type" default:"none" enum:"none|bearer" doc:"Kind of proof. bearer: the metadata authorization is Bearer and a token."`
	Token  config.Secret   `yaml:"token" doc:"The token of type bearer."`
	Tokens []config.Secret `yaml:"tokens" doc:"Further tokens of type bearer, any of which will do, for a rotation without a gap."`
}

const sourceBearer = "bearer"

// Validate joins all faults of the configuration.
func (c *SourceConfig) Validate() error {
	var faults []error
	fault := func(bad bool, key, format string, args ...any) {
		if bad {
			faults = append(faults, config.Fault(key, format, args...))
		}
	}
	_, port, err := net.SplitHostPort(c.Listen)
	n, numErr := strconv.ParseUint(port, 10, 16)
	fault(err != nil || numErr != nil || strconv.FormatUint(n, 10) != port, "listen", "write host:port or :port, such as :50051")
	fault(!c.TLS.IsZero() && c.TLS.CertFile == "" && c.TLS.KeyFile == "", "tls.certFile", "a listener with TLS needs certFile and keyFile")
	for _, limit := range []struct {
		key        string
		value, max int64
		text       string
	}{
		{"maxInFlight", int64(c.MaxInFlight), 1 << 20, "1048576"},
		{"maxInFlightBytes", int64(c.MaxInFlightBytes), 1 << 40, "1TiB"},
		{"maxEventBytes", int64(c.MaxEventBytes), 256 << 20, "256MiB"},
		{"maxBufferedBytes", int64(c.MaxBufferedBytes), 1 << 40, "1TiB"},
		{"maxStreams", int64(c.MaxStreams), 1 << 20, "1048576"},
		{"maxConnections", int64(c.MaxConnections), 1 << 20, "1048576"},
		{"maxHeaderBytes", int64(c.MaxHeaderBytes), 1 << 20, "1MiB"},
		{"writeTimeout", int64(c.WriteTimeout), 0, ""},
		{"maxStreamAge", int64(c.MaxStreamAge), 0, ""},
	} {
		fault(limit.value <= 0, limit.key, "must be more than 0")
		fault(limit.max > 0 && limit.value > limit.max, limit.key, "must not be more than %s", limit.text)
	}
	return errors.Join(append(faults, c.Auth.validate())...)
}

// validate joins all faults of the block. Keys are named as in the configuration file.
func (a *SourceAuth) validate() error {
	var faults []error
	hasToken := !a.Token.IsZero()
	if a.Type == sourceBearer && !hasToken && len(a.Tokens) == 0 {
		faults = append(faults, config.Fault("auth.token", "type: bearer needs token"))
	}
	if a.Type != sourceBearer {
		const text = "%s belongs to type: bearer, and type is %s"
		if hasToken {
			faults = append(faults, config.Fault("auth.token", text, "token", cmp.Or(a.Type, "none")))
		}
		if len(a.Tokens) > 0 {
			faults = append(faults, config.Fault("auth.tokens", text, "tokens", cmp.Or(a.Type, "none")))
		}
	}
	return errors.Join(faults...)
}

// sourceSettings is the part of a configuration that belongs to the listener.
type sourceSettings struct {
	tls                              config.TLS
	maxEvent, maxBuffered, maxHeader config.Bytes
	maxStreams, maxConnections       int
	maxStreamAge                     time.Duration
}

func (c *SourceConfig) settings() sourceSettings {
	return sourceSettings{
		tls: c.TLS, maxEvent: c.MaxEventBytes, maxBuffered: c.MaxBufferedBytes, maxHeader: c.MaxHeaderBytes,
		maxStreams: c.MaxStreams, maxConnections: c.MaxConnections, maxStreamAge: c.MaxStreamAge,
	}
}

// firstDifference returns the first key in which two settings differ, or "".
func (s sourceSettings) firstDifference(o sourceSettings) string {
	switch {
	case s.tls != o.tls:
		return "tls"
	case s.maxEvent != o.maxEvent:
		return "maxEventBytes"
	case s.maxBuffered != o.maxBuffered:
		return "maxBufferedBytes"
	case s.maxHeader != o.maxHeader:
		return "maxHeaderBytes"
	case s.maxStreams != o.maxStreams:
		return "maxStreams"
	case s.maxConnections != o.maxConnections:
		return "maxConnections"
	case s.maxStreamAge != o.maxStreamAge:
		return "maxStreamAge"
	}
	return ""
}

// ListenerDifference returns the first key that keeps two sources from sharing a
// listener, or "".
func (c *SourceConfig) ListenerDifference(other *SourceConfig) string {
	return c.settings().firstDifference(other.settings())
}
