package plan

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/config/configtest"
)

// The canary is in every place of a flow file that may hold a credential.
var withCanaries = map[string]string{
	"kafka to http": `name: orders
source:
  type: kafka
  config:
    brokers: [kafka:9092]
    topic: orders
    consumerGroup: g
    sasl:
      mechanism: PLAIN
      username: CANARY
      password: CANARY
    tls:
      keyFile: CANARY
      certFile: /etc/cert.pem
filter: 'data.region == "eu"'
transform:
  cel: '{"id": data.id}'
sink:
  type: http
  config:
    url: http://orders/x?key=CANARY
    headers:
      X-Team: CANARY
      X-Other: "CANARY"
    auth:
      type: basic
      username: CANARY
      password: 'CANARY'
    retryOn: [409]
errorHandling:
  maxRetries: 5
`,
	"http to kafka": `name: orders
source:
  type: http
  config:
    listen: :8080
    auth:
      type: bearer
      tokens: [CANARY, "CANARY"]
      token: CANARY
    tls: {certFile: /c.pem, keyFile: CANARY}
sink: {type: kafka, config: {brokers: [kafka:9092], topic: t, sasl: {mechanism: OAUTHBEARER, token: CANARY, extensions: [a=CANARY]}, linger: 5ms}}
errorHandling:
  deadLetter: {type: kafka, config: {brokers: [kafka:9092], sasl: {mechanism: SCRAM-SHA-256, username: u, password: CANARY}}}
`,
	"a FlowDefinition in one line": `{apiVersion: fiso.io/v1alpha1, kind: FlowDefinition, metadata: {name: orders}, spec: ` +
		`{source: {type: http, config: {auth: {type: hmac, secret: CANARY, secrets: [CANARY]}}}, ` +
		`sink: {type: http, config: {url: "http://o:80/x?key=CANARY", headers: {A: CANARY, B: b}, auth: {type: apiKey, key: CANARY}}}, errorHandling: {onExhausted: block}}}
`,
}

// U11, U20: the faults of a flow file show no credential, whatever the fault is.
func TestParse_showsNoCredentialOfASpoiltFile(t *testing.T) {
	t.Setenv("FISO_SECRETS_DIR", t.TempDir())
	for name, text := range withCanaries {
		t.Run(name, func(t *testing.T) {
			text := strings.ReplaceAll(text, "CANARY", configtest.Canary)
			b, err := Parse("f.yaml", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			e, err := b.Explain()
			if shown := configtest.Shown(fmt.Sprintf("%+v", e)); shown != "" || err != nil {
				t.Errorf("the explanation shows it: %s, %v", shown, err)
			}
			configtest.ShowsNothingSpoilt(t, text, 300, func(text string) error {
				_, err := Parse("f.yaml", []byte(text))
				return err
			})
		})
	}
}
