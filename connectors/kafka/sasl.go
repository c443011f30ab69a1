package kafka

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// mechanism returns c for franz-go, or nil when there is none. franz-go calls it for
// every authentication, so a rotated password or token is used from the next connection
// on.
func (c *SASLConfig) mechanism() sasl.Mechanism {
	conf := *c
	switch conf.Mechanism {
	case MechanismPlain:
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			pass, err := conf.Password.Reveal()
			return plain.Auth{User: conf.Username, Pass: pass}, err
		})
	case MechanismSCRAM256:
		return scram.Sha256(conf.scram)
	case MechanismSCRAM512:
		return scram.Sha512(conf.scram)
	case MechanismOAUTHBEARER:
		bearer := conf.bearer()
		return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			token, err := bearer.Reveal()
			return oauth.Auth{Token: strings.TrimSpace(token), Extensions: conf.extensions()}, err
		})
	default:
		return nil
	}
}

func (c *SASLConfig) scram(context.Context) (scram.Auth, error) {
	pass, err := c.Password.Reveal()
	return scram.Auth{User: c.Username, Pass: pass}, err
}

func (c *SASLConfig) extensions() map[string]string {
	if len(c.Extensions) == 0 {
		return nil
	}
	all := make(map[string]string, len(c.Extensions))
	for _, e := range c.Extensions {
		name, value, _ := strings.Cut(e, "=")
		all[name] = value
	}
	return all
}
