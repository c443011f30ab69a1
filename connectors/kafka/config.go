package kafka

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lsm/fiso/common/config"
)

// ClientConfig is what every connection to a Kafka cluster needs.
type ClientConfig struct {
	Brokers  config.Strings `yaml:"brokers" required:"true" doc:"Brokers to ask first, as host:port."`
	TLS      config.TLS     `yaml:"tls" doc:"TLS to the brokers."`
	SASL     SASLConfig     `yaml:"sasl" secret:"true" doc:"How to authenticate to the brokers."`
	ClientID string         `yaml:"clientId" default:"fiso" doc:"Name under which brokers log this client."`
	// These timeouts are the client's; the broker has others.
	DialTimeout    time.Duration `yaml:"dialTimeout" default:"10s" doc:"How long a connection may take to open."`
	MetadataMaxAge time.Duration `yaml:"metadataMaxAge" default:"1m" doc:"How often to look for new partitions, and new topics of a pattern."`
}

// Validate reports everything that is wrong with c.
func (c *ClientConfig) Validate() error {
	var faults []error
	if len(c.Brokers) == 0 {
		faults = append(faults, config.Fault("brokers", "name at least one broker, as host:port"))
	}
	for i, b := range c.Brokers {
		if err := checkBroker(b); err != nil {
			faults = append(faults, config.Fault(fmt.Sprintf("brokers[%d]", i), "%v", err))
		}
	}
	faults = append(faults, atLeast("dialTimeout", c.DialTimeout, time.Millisecond), atLeast("metadataMaxAge", c.MetadataMaxAge, time.Second))
	return errors.Join(append(faults, c.SASL.ValidateAt("sasl"))...)
}

// SASL mechanisms.
const (
	MechanismPlain       = "PLAIN"
	MechanismSCRAM256    = "SCRAM-SHA-256"
	MechanismSCRAM512    = "SCRAM-SHA-512"
	MechanismOAUTHBEARER = "OAUTHBEARER"
)

var mechanisms = []string{MechanismPlain, MechanismSCRAM256, MechanismSCRAM512, MechanismOAUTHBEARER}

// SASLConfig is how to authenticate. Secrets are read for every authentication, so a
// rotated secret is used at the next connection.
type SASLConfig struct {
	Mechanism  string         `yaml:"mechanism" enum:"PLAIN|SCRAM-SHA-256|SCRAM-SHA-512|OAUTHBEARER" doc:"How to authenticate; nothing: not at all."`
	Username   string         `yaml:"username" doc:"User, for PLAIN and SCRAM."`
	Password   config.Secret  `yaml:"password" doc:"Password, for PLAIN and SCRAM."`
	Token      config.Secret  `yaml:"token" doc:"Token, for OAUTHBEARER."`
	TokenFile  string         `yaml:"tokenFile" file:"true" doc:"File that holds the token, for OAUTHBEARER; read for every authentication."`
	Extensions config.Strings `yaml:"extensions" doc:"SASL extensions as name=value, for OAUTHBEARER."`
}

// ValidateAt reports everything that is wrong with c, as faults of the keys
// below at. ClientConfig.Validate calls it.
func (c *SASLConfig) ValidateAt(at string) error {
	var faults []error
	fault := func(key, format string, args ...any) {
		faults = append(faults, config.Fault(at+"."+key, format, args...))
	}
	switch c.Mechanism {
	case "":
		if c.Username != "" || !c.Password.IsZero() || !c.Token.IsZero() || c.TokenFile != "" {
			fault("mechanism", "is missing; write one of %s", strings.Join(mechanisms, ", "))
		}
	case MechanismPlain, MechanismSCRAM256, MechanismSCRAM512:
		if c.Username == "" {
			fault("username", "is required for %s", c.Mechanism)
		}
		if c.Password.IsZero() {
			fault("password", "is required for %s", c.Mechanism)
		}
	case MechanismOAUTHBEARER:
		if c.Token.IsZero() == (c.TokenFile == "") {
			fault("token", "OAUTHBEARER needs either token or tokenFile")
		}
	default:
		fault("mechanism", "%q is unknown; write one of %s", c.Mechanism, strings.Join(mechanisms, ", "))
	}
	for _, e := range c.Extensions {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" || name == "auth" {
			fault("extensions", "%q is not an extension; write name=value", e)
		}
	}
	return errors.Join(faults...)
}

// bearer returns the OAUTHBEARER token, from token or tokenFile.
func (c *SASLConfig) bearer() config.Secret {
	if c.TokenFile == "" {
		return c.Token
	}
	return config.SecretFile(c.TokenFile)
}

func oneOf(key, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return config.Fault(key, "%q is unknown; write one of %s", value, strings.Join(allowed, ", "))
}

func atLeast[T ~int64](key string, value, least T) error {
	if value >= least {
		return nil
	}
	return config.Fault(key, "%v is too small; the least is %v", value, least)
}
