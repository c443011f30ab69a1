package kafkatest

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// properties returns a broker's server.properties. Clients connect to the listener
// EXTERNAL, with the security that the test asks for; brokers and the test's Admin to
// INTERNAL, with none.
func (c *Processes) properties(b *broker) string {
	n := strconv.Itoa(len(c.brokers))
	isr := strconv.Itoa(min(2, len(c.brokers)))
	var voters []string
	for _, v := range c.brokers {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", v.id, v.quorum))
	}
	listeners := fmt.Sprintf("EXTERNAL://127.0.0.1:%d,INTERNAL://127.0.0.1:%d", b.external, b.internal)
	advertised := listeners
	if c.opts.Advertised != "" {
		advertised = strings.Replace(listeners, "EXTERNAL://127.0.0.1:", "EXTERNAL://"+c.opts.Advertised+":", 1)
	}
	p := map[string]string{
		"process.roles": "broker,controller", "node.id": strconv.Itoa(b.id),
		"controller.quorum.voters":  strings.Join(voters, ","),
		"controller.listener.names": "CONTROLLER", "inter.broker.listener.name": "INTERNAL",
		"listeners":                                        listeners + fmt.Sprintf(",CONTROLLER://127.0.0.1:%d", b.quorum),
		"advertised.listeners":                             advertised,
		"listener.security.protocol.map":                   "CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT,EXTERNAL:" + c.protocol(),
		"log.dirs":                                         b.file("data"),
		"auto.create.topics.enable":                        "false",
		"default.replication.factor":                       n,
		"min.insync.replicas":                              isr,
		"offsets.topic.replication.factor":                 n,
		"offsets.topic.num.partitions":                     "3",
		"transaction.state.log.replication.factor":         n,
		"transaction.state.log.min.isr":                    isr,
		"transaction.state.log.num.partitions":             "3",
		"share.coordinator.state.topic.replication.factor": n,
		"share.coordinator.state.topic.min.isr":            isr,
		"group.initial.rebalance.delay.ms":                 "0",
		"group.min.session.timeout.ms":                     "1000",
		"log.retention.check.interval.ms":                  "1000",
		"log.cleaner.enable":                               "true",
	}
	if c.opts.SASL {
		c.saslProperties(p)
	}
	if c.opts.TLS {
		p["ssl.keystore.type"], p["ssl.truststore.type"] = "PEM", "PEM"
		p["ssl.keystore.location"], p["ssl.truststore.location"] = c.Certs.broker, c.Certs.CA
		if c.opts.ClientCerts {
			p["listener.name.external.ssl.client.auth"] = "required"
		}
	}
	maps.Copy(p, c.opts.Config)
	var out strings.Builder
	for _, key := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&out, "%s=%s\n", key, p[key])
	}
	return out.String()
}

func (c *Processes) protocol() string {
	switch {
	case c.opts.SASL && c.opts.TLS:
		return "SASL_SSL"
	case c.opts.SASL:
		return "SASL_PLAINTEXT"
	case c.opts.TLS:
		return "SSL"
	default:
		return "PLAINTEXT"
	}
}

func (c *Processes) saslProperties(p map[string]string) {
	const module = "org.apache.kafka.common.security."
	p["sasl.enabled.mechanisms"] = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER"
	const external = "listener.name.external."
	p[external+"plain.sasl.jaas.config"] = fmt.Sprintf("%splain.PlainLoginModule required user_%s=%q;", module, User, Password)
	for _, m := range []string{"scram-sha-256", "scram-sha-512"} {
		p[external+m+".sasl.jaas.config"] = module + "scram.ScramLoginModule required;"
	}
	p[external+"oauthbearer.sasl.jaas.config"] = module + `oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`
}

// UnsecuredToken returns an OAUTHBEARER token for User, valid for life, that the
// brokers of Real accept without verification.
func UnsecuredToken(life time.Duration) string {
	enc := base64.RawURLEncoding.EncodeToString
	now := time.Now()
	claims := fmt.Sprintf(`{"sub":%q,"iat":%d,"exp":%d}`, User, now.Unix()-1, now.Add(life).Unix())
	return enc([]byte(`{"alg":"none"}`)) + "." + enc([]byte(claims)) + "."
}
