package temporal

import (
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/config/configtest"
)

// decode reads a configuration as fiso-flow does.
func decode(text string) (SinkConfig, error) {
	var c SinkConfig
	err := config.Decode("flow.yaml", []byte(text), &c, config.Interpolate(), config.Env(func(name string) (string, bool) {
		return map[string]string{"KEY": canary}[name], name == "KEY"
	}))
	return c, err
}

const fullConfig = `
address: temporal.infra:7233
namespace: shop
tls: {caFile: ca.pem, certFile: cert.pem, keyFile: key.pem, serverName: temporal}
auth: {apiKey: "${KEY}"}
action: start
reuse: allowFailed
onConflict: reject
int64: string
perWorkflow: {maxPerSecond: 2.5}
timeouts: {execution: 24h, run: 1h, task: 20s, attempt: 3s}
retry: {initialInterval: 2s, backoffCoefficient: 1.5, maximumInterval: 1m, maximumAttempts: 3, nonRetryableErrorTypes: [Bad]}
startDelay: 5m
codec: {endpoint: "https://codec:8081/{namespace}", timeout: 2s, tls: {caFile: ca.pem}}
`

func TestSinkConfig_readsEveryKey(t *testing.T) {
	c, err := decode(fullConfig)
	if err != nil {
		t.Fatal(err)
	}
	if c.Namespace != "shop" || c.Reuse != ReuseAllowFailed || c.PerWorkflow.MaxPerSecond != 2.5 || c.Timeouts.Attempt != 3*time.Second || c.Retry.NonRetryable[0] != "Bad" || c.StartDelay != 5*time.Minute {
		t.Errorf("the configuration is %+v", c)
	}
	if c, err = decode("address: temporal:7233"); err != nil || c.Action != ActionStart || c.Namespace != "default" || c.Timeouts.Attempt != 10*time.Second || c.Codec.Timeout != 5*time.Second {
		t.Errorf("the defaults are %+v, %v", c, err)
	}
	if c, err = decode("address: '[::1]:7233'\nauth: {oauth2: {tokenURL: 'https://login/token', clientID: a, clientSecret: '${KEY}', scopes: [a, b]}}"); err != nil || c.Auth.OAuth2.ClientID != "a" {
		t.Errorf("with oauth2 it is %+v, %v", c, err)
	}
}

func TestSinkConfig_refusesWhatCannotWork(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{"namespace: a", "address"},
		{"address: temporal", "host:port"},
		{"address: temporal:0", "host:port"},
		{"address: http://temporal:7233", "host:port"},
		{"namespace: " + strings.Repeat("x", 1001), "namespace: has 1001 bytes; the server takes at most 1000"},
		{"namespace: /_sys/a", "namespace: names that begin with /_sys/ belong to the server"},
		{"action: cancel", "signalWithStart"},
		{"action: signal\nreuse: allow", "reuse: has no effect with action: signal"},
		{"action: signalWithStart\nonConflict: accept", "onConflict: has no effect"},
		{"onNotFound: retry", "onNotFound: has no effect with action: start"},
		{"action: signal\ntimeouts: {execution: 1h}", "timeouts.execution: has no effect"},
		{"action: signal\ntimeouts: {run: 1h}", "timeouts.run: has no effect"},
		{"action: signal\ntimeouts: {task: 1h}", "timeouts.task: has no effect"},
		{"action: signal\nretry: {maximumAttempts: 2}", "retry: has no effect"},
		{"action: signal\nstartDelay: 1m", "startDelay: has no effect"},
		{"action: updateWithStart\nstartDelay: 1m", "refuses to delay a workflow with an update"},
		{"action: signalWithStart\nretry: {maximumAttempts: 2}", "a run after the first would not get the signal"},
		{"timeouts: {attempt: -1s}", "must be more than 0"},
		{"timeouts: {run: -1s}", "must not be negative"},
		{"perWorkflow: {maxPerSecond: -1}", "between 0.001 and 1000"},
		{"perWorkflow: {maxPerSecond: 1001}", "between 0.001 and 1000"},
		{"retry: {backoffCoefficient: 0.5}", "at least 1"},
		{"retry: {maximumAttempts: -1}", "or a number of runs"},
		{"retry: {initialInterval: 2m, maximumInterval: 1m}", "must not be less than initialInterval"},
		{"codec: {endpoint: codec}", "not a URL without a query"},
		{"codec: {endpoint: 'https://codec/?a=b'}", "not a URL without a query"},
		{"codec: {endpoint: 'https://u:p@codec/'}", "must not hold a user or password"},
		{"codec: {endpoint: 'http://codec/', tls: {enabled: true}}", "need an https endpoint"},
		{"codec: {endpoint: 'http://codec/', timeout: -1s}", "codec.timeout: must be more than 0"},
		{"codec: {tls: {enabled: true}}", "TLS settings and no endpoint"},
		{"auth: {apiKey: a}", "auth: a credential must not travel in plain text"},
		{"address: 10.0.0.1:7233\nauth: {apiKey: a}", "must not travel in plain text"},
		{"auth: {oauth2: {clientID: a}}", "auth.oauth2.tokenURL: not a URL"},
		{"auth: {oauth2: {tokenURL: 'https://a'}}", "oauth2 needs clientID"},
		{"auth: {oauth2: {tokenURL: 'https://a', clientID: a}}", "oauth2 needs clientSecret"},
		{"auth: {oauth2: {tokenURL: 'https://u:p@a', clientID: a, clientSecret: b}}", "must not hold a user or password"},
		{"auth: {apiKey: a, oauth2: {tokenURL: 'https://a', clientID: a, clientSecret: b}}", "leave apiKey or oauth2 out"},
	} {
		text := row.text
		if !strings.Contains(text, "address:") && row.want != "address" {
			text = "address: temporal:7233\n" + text
		}
		if _, err := decode(text); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%q: %v; want %q", row.text, err, row.want)
		}
	}
	for _, c := range []SinkConfig{{WaitFor: "admitted", Action: ActionUpdateWithStart}, {WaitFor: WaitAccepted, Action: ActionStart}} {
		c.Address = "temporal:7233"
		config.Defaults(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "update.waitFor") {
			t.Errorf("waitFor %s with action %s: %v", c.WaitFor, c.Action, err)
		}
	}
}

func TestSinkConfig_showsNoSecretInAnError(t *testing.T) {
	t.Parallel() // it takes a second
	configtest.ShowsNothingSpoilt(t, fullConfig, 10, func(text string) error {
		_, err := decode(text)
		return err
	})
}
