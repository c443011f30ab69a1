package temporal

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/lsm/fiso/common/config"
)

// ClientConfig says how to reach a Temporal server.
type ClientConfig struct {
	Address   string     `yaml:"address" required:"true" doc:"Frontend of the Temporal server, as host:port."`
	Namespace string     `yaml:"namespace" default:"default" doc:"Namespace on the server. It must exist."`
	TLS       config.TLS `yaml:"tls" doc:"TLS to the server; with certFile and keyFile, mTLS."`
	Auth      ClientAuth `yaml:"auth" secret:"true" doc:"The credential to present, sent as a bearer token. Needs tls, unless the address is on this machine."`
}

// ClientAuth is the credential of a client: an API key, or a token that an OAuth2 server gives
// for client credentials. Secrets from files are read again when the files change.
type ClientAuth struct {
	APIKey config.Secret `yaml:"apiKey" doc:"API key, or any other bearer token."`
	OAuth2 OAuth2        `yaml:"oauth2" doc:"Token by OAuth2 client credentials (RFC 6749, section 4.4)."`
}

// OAuth2 is a client of an OAuth2 server.
type OAuth2 struct {
	TokenURL     string         `yaml:"tokenURL" secret:"false" doc:"Token endpoint, https or http."`
	ClientID     string         `yaml:"clientID" secret:"false" doc:"The client's name there."`
	ClientSecret config.Secret  `yaml:"clientSecret" doc:"The client's secret."`
	Scopes       config.Strings `yaml:"scopes" secret:"false" doc:"Scopes to ask for."`
	Audience     string         `yaml:"audience" secret:"false" doc:"Audience to ask for, where the server wants one."`
	TLS          config.TLS     `yaml:"tls" doc:"TLS to the token endpoint."`
}

func (o *OAuth2) isZero() bool {
	return o.TokenURL == "" && o.ClientID == "" && o.ClientSecret.IsZero() && len(o.Scopes) == 0 && o.Audience == "" && o.TLS.IsZero()
}

// Validate joins all faults of the configuration.
func (c *ClientConfig) Validate() error {
	faults := []error{checkAddress(c.Address), checkName("namespace", c.Namespace), c.Auth.validate()}
	if !c.Auth.isZero() && c.TLS.IsZero() && !isLoopback(c.Address) {
		faults = append(faults, config.Fault("auth", "a credential must not travel in plain text; add tls: {enabled: true}"))
	}
	return errors.Join(faults...)
}

// isLoopback reports whether an address is on this machine, as that of a proxy beside
// the program.
func isLoopback(address string) bool {
	host, _, _ := net.SplitHostPort(address) // checkAddress reports a fault
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func checkAddress(address string) error {
	if address == "" {
		return nil // reported by the tag required
	}
	host, port, err := net.SplitHostPort(address)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || host == "" || portErr != nil || n == 0 || strings.ContainsAny(host, "/@ ") {
		return config.Fault("address", "not an address; write host:port, such as temporal.infra:7233")
	}
	return nil
}

// checkName checks the name of a namespace or task queue.
func checkName(key, name string) error {
	switch {
	case name == "":
		return config.Fault(key, "is missing; write a name")
	case len(name) > maxID:
		return config.Fault(key, "has %d bytes; the server takes at most %d", len(name), maxID)
	case strings.HasPrefix(name, "/_sys/"):
		return config.Fault(key, "names that begin with /_sys/ belong to the server; write another one")
	}
	return nil
}

func (a *ClientAuth) isZero() bool { return a.APIKey.IsZero() && a.OAuth2.isZero() }

func (a *ClientAuth) validate() error {
	o := &a.OAuth2
	if o.isZero() {
		return nil
	}
	var faults []error
	if !a.APIKey.IsZero() {
		faults = append(faults, config.Fault("auth.oauth2", "the token is either the API key or one of an OAuth2 server; leave apiKey or oauth2 out"))
	}
	u, err := url.Parse(o.TokenURL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		// url.Error quotes the URL, which may hold a password.
		faults = append(faults, config.Fault("auth.oauth2.tokenURL", "not a URL; write one such as https://login.example.com/oauth2/token"))
	} else if u.User != nil {
		faults = append(faults, config.Fault("auth.oauth2.tokenURL", "a URL must not hold a user or password; use clientID and clientSecret"))
	}
	if o.ClientID == "" {
		faults = append(faults, config.Fault("auth.oauth2.clientID", "oauth2 needs clientID"))
	}
	if o.ClientSecret.IsZero() {
		faults = append(faults, config.Fault("auth.oauth2.clientSecret", "oauth2 needs clientSecret"))
	}
	return errors.Join(faults...)
}

// Codec is a server that speaks the remote codec protocol of Temporal.
type Codec struct {
	Endpoint string        `yaml:"endpoint" doc:"URL of the codec server; /encode and /decode are below it. {namespace} in it is replaced."`
	Timeout  time.Duration `yaml:"timeout" default:"5s" doc:"Longest time for one call of the codec server."`
	TLS      config.TLS    `yaml:"tls" doc:"TLS to the codec server."`
}

func (c *Codec) validate() error {
	if c.Endpoint == "" {
		if !c.TLS.IsZero() {
			return config.Fault("codec.endpoint", "the codec has TLS settings and no endpoint; write one such as https://codec:8081")
		}
		return nil
	}
	u, err := url.Parse(c.Endpoint)
	var faults []error
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		faults = append(faults, config.Fault("codec.endpoint", "not a URL without a query; write one such as https://codec:8081"))
	case u.User != nil:
		faults = append(faults, config.Fault("codec.endpoint", "a URL must not hold a user or password"))
	case u.Scheme == "http" && !c.TLS.IsZero():
		faults = append(faults, config.Fault("codec.tls", "TLS settings need an https endpoint"))
	}
	if c.Timeout <= 0 {
		faults = append(faults, config.Fault("codec.timeout", "must be more than 0, such as 5s"))
	}
	return errors.Join(faults...)
}
