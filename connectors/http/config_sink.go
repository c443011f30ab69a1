package http

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/lsm/fiso/common/config"
)

// Modes of a sink: how an event becomes a request.
const (
	ModeStructured = "structured" // one event, all of it in the body as JSON
	ModeBinary     = "binary"     // attributes in ce- headers, data as the body
	ModeBatch      = "batch"      // a JSON array of events
)

// SinkConfig is the configuration of a Sink. A zero field takes the default in its tag.
type SinkConfig struct {
	URL    string `yaml:"url" required:"true" doc:"Where to send, http or https."`
	Method string `yaml:"method" default:"POST" enum:"POST|PUT|PATCH" doc:"Method of the request."`
	Mode   string `yaml:"mode" default:"structured" enum:"structured|binary|batch" doc:"How an event becomes a request: all in one JSON body, attributes in ce- headers, or many events in a JSON array."`

	Auth    SinkAuth          `yaml:"auth" secret:"true" doc:"The credential to present."`
	Headers map[string]string `yaml:"headers" secret:"true" doc:"Headers added to every request, by name."`
	TLS     config.TLS        `yaml:"tls" doc:"TLS settings for an https URL: own authority, client certificate."`

	Timeout        time.Duration `yaml:"timeout" default:"30s" doc:"Longest time for one request, from waiting for a connection to the end of the answer."`
	ConnectTimeout time.Duration `yaml:"connectTimeout" default:"5s" doc:"Longest time to connect, TLS included."`
	IdleTimeout    time.Duration `yaml:"idleTimeout" default:"30s" doc:"A connection without work is closed after this time."`
	MaxAge         time.Duration `yaml:"maxConnectionAge" default:"5m" doc:"A connection older than this is replaced, so that a change in DNS is noticed."`
	MaxConnections int           `yaml:"maxConnections" default:"1024" doc:"Most connections open at once; further calls wait for one."`

	RetryOn  []Statuses `yaml:"retryOn" doc:"Statuses to try again, beside 408, 425, 429 and 5xx; a code such as 409 or a class such as 4xx."`
	RejectOn []Statuses `yaml:"rejectOn" doc:"Statuses that reject an event for good, beside other 4xx and 3xx; a code such as 501 or a class such as 5xx."`
}

// Validate joins all faults of the configuration.
func (c *SinkConfig) Validate() error {
	faults := []error{c.validateURL(), c.Auth.validate(), c.validateLimits()}
	faults = append(faults, validateHeaders(c.Headers, c.Auth.headerName())...)
	_, err := newVerdicts(c.RetryOn, c.RejectOn)
	return errors.Join(append(faults, err)...)
}

func (c *SinkConfig) validateURL() error {
	u, err := url.Parse(c.URL)
	switch {
	case c.URL == "":
		return nil // reported by the tag required
	case err != nil:
		// url.Error quotes the whole URL, which may hold a password.
		return config.Fault("url", "not a URL; write one such as http://orders:8080/events")
	case u.Scheme != "http" && u.Scheme != "https":
		return config.Fault("url", "the scheme must be http or https; write http://… or https://…")
	case u.User != nil:
		return config.Fault("url", "a URL must not hold a user or password; use auth: {type: basic, username: …, password: …}")
	case u.Hostname() == "" || !plainHost(u.Host):
		return config.Fault("url", "the URL has no valid host; write one such as http://orders:8080/events")
	case !validPort(u.Port()):
		return config.Fault("url", "the port is not valid; write one from 1 to 65535, or none")
	case strings.Contains(c.URL, "#"):
		return config.Fault("url", "a fragment (#…) is never sent to a server; leave it out")
	case !validTarget(u.RequestURI()):
		return config.Fault("url", "the URL holds a character that cannot be sent; percent-encode it")
	case u.Scheme == "http" && !c.TLS.IsZero():
		return config.Fault("tls", "TLS settings need an https URL; write url: https://…")
	}
	return nil
}

// validPort reports whether a port can be dialled. "" is the default port of the
// scheme.
func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

func (c *SinkConfig) validateLimits() error {
	var faults []error
	for _, d := range []struct {
		key   string
		value time.Duration
	}{
		{"timeout", c.Timeout}, {"connectTimeout", c.ConnectTimeout},
		{"idleTimeout", c.IdleTimeout}, {"maxConnectionAge", c.MaxAge},
	} {
		if d.value <= 0 {
			faults = append(faults, config.Fault(d.key, "must be more than 0, such as 10s"))
		}
	}
	if c.MaxConnections < 1 || c.MaxConnections > 65535 {
		faults = append(faults, config.Fault("maxConnections", "must be between 1 and 65535"))
	}
	return errors.Join(faults...)
}
