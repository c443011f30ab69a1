package spec

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/config"
)

// The example of the specification, with its omissions filled in.
const example = `
listenAddr: "127.0.0.1:3500"
metricsAddr: ":9091"
targets:
  - name: crm
    protocol: https
    host: api.salesforce.com
    auth:
      type: bearer
      secretRef:
        filePath: /secrets/crm-token
    circuitBreaker: {enabled: true, failureThreshold: 5, successThreshold: 2, resetTimeout: "30s"}
    retry: {maxAttempts: 3, backoff: exponential, initialInterval: "200ms", maxInterval: "30s", jitter: 0.2}
    allowedPaths: [/api/v2/**]
    allowedMethods: [GET, POST]
    headers: {set: {X-Team: orders}, remove: [Cookie]}
    rateLimit: {requestsPerSecond: 100, burst: 20}
    maxConcurrent: 256
    timeout: 10s
asyncBrokers: [kafka.infra.svc:9092]
vault: {address: "https://vault:8200", auth: {method: kubernetes, role: orders}}
`

func parse(t *testing.T, text string) (*Config, error) {
	t.Helper()
	return Parse("config.yaml", []byte(text), config.Env(func(string) (string, bool) { return "", false }))
}

func TestParse_readsTheExampleOfTheContract(t *testing.T) {
	c, err := parse(t, example)
	if err != nil {
		t.Fatal(err)
	}
	crm := &c.Targets[0]
	if host, port := crm.Address(); host != "api.salesforce.com" || port != 443 || !crm.UsesTLS() || crm.HTTP2() {
		t.Errorf("it is called at %s:%d", host, port)
	}
	if crm.Timeout != 10*time.Second || crm.Auth.SecretRef.FilePath != "/secrets/crm-token" || crm.Timeouts.Connect != 5*time.Second {
		t.Errorf("got %+v", crm)
	}
	if len(crm.Retry.On) != 7 || crm.Retry.MaxBodyBytes != 64<<10 || c.DrainTimeout != 20*time.Second {
		t.Errorf("defaults: %+v, %v", crm.Retry, c.DrainTimeout)
	}
}

func TestTarget_Address(t *testing.T) {
	for name, test := range map[string]struct {
		target Target
		host   string
		port   int
	}{
		"http":           {Target{Protocol: "http", Host: "a"}, "a", 80},
		"https":          {Target{Protocol: "https", Host: "a"}, "a", 443},
		"a port in host": {Target{Protocol: "https", Host: "a:8443"}, "a", 8443},
		"a port beside":  {Target{Protocol: "http", Host: "a", Port: 8080}, "a", 8080},
		"h2c":            {Target{Protocol: "h2c", Host: "a"}, "a", 80},
		"grpc":           {Target{Protocol: "grpc", Host: "a"}, "a", 80},
		"grpc with TLS":  {Target{Protocol: "grpc", Host: "a", TLS: config.TLS{Enabled: true}}, "a", 443},
		"grpc on 443":    {Target{Protocol: "grpc", Host: "a:443"}, "a", 443},
		"IPv6":           {Target{Protocol: "http", Host: "[::1]:81"}, "::1", 81},
		"IPv6, no port":  {Target{Protocol: "http", Host: "::1"}, "::1", 80},
		"IPv6, brackets": {Target{Protocol: "http", Host: "[::1]"}, "::1", 80},
	} {
		t.Run(name, func(t *testing.T) {
			if host, port := test.target.Address(); host != test.host || port != test.port {
				t.Errorf("got %s %d", host, port)
			}
		})
	}
}

func TestTarget_UsesTLS(t *testing.T) {
	on := config.TLS{Enabled: true}
	for name, test := range map[string]struct {
		target Target
		tls    bool
	}{
		"http":               {Target{Protocol: "http", Host: "a", Port: 443}, false},
		"https":              {Target{Protocol: "https", Host: "a:80"}, true},
		"h2c":                {Target{Protocol: "h2c", Host: "a:443"}, false},
		"grpc":               {Target{Protocol: "grpc", Host: "a"}, false},
		"grpc with tls":      {Target{Protocol: "grpc", Host: "a:80", TLS: on}, true},
		"grpc on 443":        {Target{Protocol: "grpc", Host: "a", Port: 443}, true},
		"grpc on 443 beside": {Target{Protocol: "grpc", Host: "a:443"}, true},
		"grpc elsewhere":     {Target{Protocol: "grpc", Host: "a:4433"}, false},
	} {
		if got := test.target.UsesTLS(); got != test.tls {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Every fault says what to write instead.
func TestParse_saysWhatIsWrong(t *testing.T) {
	target := func(s string) string { return "targets:\n  - name: crm\n    host: crm.example\n    " + s + "\n" }
	for name, test := range map[string]struct{ text, want string }{
		"an unknown key":            {target("allowedPath: [/a]"), `did you mean "allowedPaths"?`},
		"a name":                    {"targets: [{name: CRM, host: a}]", `"CRM" is not a name for a target`},
		"an empty key":              {"asyncBrokers: [a:1]\n" + target("async: {topic: a, key: ''}"), "targets[0].async.key: the expression is empty"},
		"a key without a value":     {"asyncBrokers: [a:1]\ntargets: [{name: a, protocol: kafka, kafka: {topic: a, key: }}]", "targets[0].kafka.key: the expression is empty"},
		"a URL":                     {"targets:\n  - name: a\n    url: http://x\n", "    ^^^ write host (and protocol, port and basePath), as in host: api.example.com"},
		"a base URL":                {"targets: [{name: a, baseURL: 'http://x'}]", "^^^^^^^ write host (and protocol,"},
		"one target without a list": {"targets: {name: a, host: a}", "targets: expected a list, found a mapping\n  1 | targets: {name: a, host: a}\n    |          ^ write - before it"},
		"no targets":                {"listenAddr: 127.0.0.1:3500", `missing key "targets"`},
		"no name":                   {"targets: [{host: a}]", `missing key "name"`},
		"a name twice":              {"targets: [{name: a, host: a}, {name: a, host: b}]", `"a" is also the name of targets[0]`},
		"no host":                   {"targets: [{name: a}]", "targets[0].host: missing"},
		"a URL for a host":          {"targets: [{name: a, host: 'https://a'}]", "write the host alone"},
		"no host at all":            {"targets: [{name: a, host: 'a b'}]", `"a b" is not a host`},
		"an empty label":            {"targets: [{name: a, host: 'a..b'}]", "is not a host"},
		"a port beyond":             {"targets: [{name: a, host: 'a:70000'}]", "is not a host"},
		"two ports":                 {"targets: [{name: a, host: 'a:80', port: 81}]", "host has a port already"},
		"a port out of bounds":      {target("port: 70000"), "70000 is out of bounds"},
		"srv and endpoints":         {target("srv: _http._tcp.a\n    endpoints: ['a:1']"), "keep one of the two"},
		"an endpoint without port":  {target("endpoints: [a]"), `endpoints[0]: "a" is not an endpoint`},
		"TLS for http":              {target("protocol: http\n    tls: {enabled: true}"), "protocol http has no TLS"},
		"TLS for h2c":               {target("protocol: h2c\n    tls: {enabled: true}"), "protocol h2c has no TLS; write protocol: https, or grpc"},
		"gRPC without POST":         {target("protocol: grpc\n    allowedMethods: [GET]"), "allowedMethods: calls of gRPC are POST: add it"},
		"gRPC, later":               {"asyncBrokers: [a:1]\n" + target("protocol: grpc\n    async: {topic: a}"), "async: a call of gRPC cannot be made later"},
		"gRPC with a query":         {target("protocol: grpc\n    auth: {type: apiKey, query: k, secretRef: {envVar: A}}"), "auth.query: a call of gRPC has no query; write header"},
		"a protocol":                {target("protocol: htps"), `did you mean "https"?`},
		"an address":                {"listenAddr: '3500'", `"3500" is not an address to listen on`},
		"a pattern":                 {target("allowedPaths: [/ok, api]"), "allowedPaths[1]: the path does not begin with a slash"},
		"a character":               {target("allowedCharacters: ['#', '/']"), "allowedCharacters[1]: write ?, #, ; or letters, in quotes"},
		"a proxy with a password":   {target("proxy: {url: 'http://u:CANARY@p:1'}"), "proxy.url: has more than scheme, host and port; the user goes into username, the password into secretRef"},
		"a proxy of another kind":   {target("proxy: {url: 'socks5://p:1'}"), "proxy.url: is not a URL: write a complete one, as http://proxy:3128"},
		"a proxy's user":            {target("proxy: {url: 'http://p:1', username: u}"), "proxy.username: username and secretRef go together"},
		"a proxy's odd user":        {target("proxy: {url: 'http://p:1', username: 'u:p', secretRef: {envVar: A}}"), "proxy.username: a user name for basic has no colon"},
		"a proxy without a place":   {target("proxy: {noProxy: a}"), `missing key "url" in targets[0].proxy`},
		"an environment, and more":  {target("proxy: {url: environment, noProxy: a}"), "proxy.url: environment takes everything from the environment"},
		"a proxy's Vault":           {target("proxy: {url: 'http://p:1', username: u, secretRef: {vaultRef: {path: a, key: b}}}"), "proxy.secretRef: vaultRef needs the block vault"},
		"a token's proxy":           {target("auth: {type: bearer, secretRef: {envVar: A}, proxy: {url: environment}}"), "auth.proxy: is not used by auth of type bearer"},
		"a token's proxy's Vault":   {target("auth: {type: oauth2, tokenURL: 'https://a/t', clientID: c, secretRef: {envVar: A}, proxy: {url: 'http://p:1', username: u, secretRef: {vaultRef: {path: a, key: b}}}}"), "auth.proxy.secretRef: vaultRef needs the block vault"},
		"Vault's proxy's Vault":     {"vault: {address: 'https://v', auth: {method: approle, roleID: r, secretID: {envVar: A}}, proxy: {url: 'http://p:1', username: u, secretRef: {vaultRef: {path: a, key: b}}}}\n" + target(""), "vault.proxy.secretRef: cannot come from Vault"},
		"a proxy to Kafka":          {"asyncBrokers: [a:1]\ntargets: [{name: a, protocol: kafka, kafka: {topic: b}, proxy: {url: environment}}]", "proxy: connections to Kafka do not use an HTTP proxy; remove it"},
		"a method":                  {target("allowedMethods: [get]"), "write it in capitals"},
		"CONNECT":                   {target("allowedMethods: [CONNECT]"), "never forwarded"},
		"a base path that climbs":   {target("basePath: /a/.."), "basePath: the path has a segment of dots"},
		"a base path with a slash":  {target("basePath: /a/"), "write it as /a"},
		"a header name":             {target("headers: {set: {'a long name': c}}"), `headers.set.a long name: "a long name" is not a header name`},
		"a header of ours":          {target("headers: {remove: [Transfer-Encoding]}"), "is set by fiso-link itself"},
		"a header value":            {target(`headers: {set: {a: "b\nc"}}`), "cannot contain a line break"},
		"a reason to retry":         {target("retry: {on: [connekt]}"), `"connekt" is not a reason to retry`},
		"too many attempts":         {target("retry: {maxAttempts: 100}"), "100 is out of bounds"},
		"intervals":                 {target("retry: {initialInterval: 1m}"), "1m0s is more than maxInterval, 30s"},
		"a share":                   {target("circuitBreaker: {failureRatio: 2}"), "2 is not a share"},
		"a rate":                    {target("rateLimit: {requestsPerSecond: 0}"), "0 is not a rate"},
		"a timeout":                 {target("timeout: 0s"), "0s is out of bounds"},
		"a head that fits nothing":  {target("maxResponseHeaderBytes: 100"), "100 is out of bounds: from 1024 to 1048576"},
		"no life of a connection":   {target("timeouts: {idleConnection: 0s}"), "0s is out of bounds: from 1ms"},
		"bearer without a token":    {target("auth: {type: bearer}"), "auth of type bearer needs it"},
		"a key of another type":     {target("auth: {type: bearer, username: u, secretRef: {envVar: A}}"), "username: is not used by auth of type bearer"},
		"header and query":          {target("auth: {type: apiKey, header: A, query: a, secretRef: {envVar: A}}"), "keep one of the two"},
		"a user name":               {target("auth: {type: basic, username: 'a:b', secretRef: {envVar: A}}"), "has no colon"},
		"a token URL":               {target("auth: {type: oauth2, tokenURL: a, clientID: b, secretRef: {envVar: A}}"), "tokenURL: is not a URL"},
		"a parameter with a key":    {target("auth: {type: oauth2, tokenURL: 'https://a/t', clientID: b, secretRef: {envVar: A}, params: {client_secret: x}}"), "auth.params: client_secret cannot be set here: write it as secretRef, with clientAuth: post"},
		"TLS of a plain token URL":  {target("auth: {type: oauth2, tokenURL: 'http://a/t', clientID: b, secretRef: {envVar: A}, tls: {caFile: /ca}}"), "auth.tls: tokenURL is not fetched by TLS"},
		"parameters of a bearer":    {target("auth: {type: bearer, secretRef: {envVar: A}, params: {a: b}}"), "auth.params: is not used by auth of type bearer"},
		"mtls without certificate":  {target("auth: {type: mtls}"), "presents the certificate of tls.certFile"},
		"a secret from nowhere":     {target("auth: {type: bearer, secretRef: {}}"), "names no secret"},
		"a secret from two places":  {target("auth: {type: bearer, secretRef: {envVar: A, filePath: /a}}"), "in more than one way"},
		"half a Kubernetes Secret":  {target("auth: {type: bearer, secretRef: {name: a}}"), "both name and key"},
		"a secret in no Vault":      {target("auth: {type: bearer, secretRef: {vaultRef: {path: a, key: b}}}"), "needs the block vault"},
		"Vault without a role":      {"vault: {address: 'https://v', auth: {method: kubernetes}}", "role: missing: the method kubernetes needs it"},
		"approle without its ids":   {"vault: {address: 'https://v', auth: {method: approle}}", "secretID: missing"},
		"Vault's way in from Vault": {"vault: {address: 'https://v', auth: {method: token, tokenRef: {vaultRef: {path: a, key: b}}}}", "the login at Vault needs it"},
		"a port of Vault":           {"vault: {address: 'https://v:99999', auth: {method: token}}", "vault.address: has an invalid port: write one from 1 to 65535"}, // U11
		"a port of a token server":  {target("auth: {type: oauth2, clientID: c, secretRef: {envVar: A}, tokenURL: 'https://a:0/t'}"), "auth.tokenURL: has an invalid port"},
		"a text that a comma ends":  {target("headers: {set: {A: b,c}}"), "headers.set.A: a comma ends a text inside of { }"},
		"an address of Vault":       {"vault: {address: v, auth: {method: token}}", "is not a URL"},
		"async without brokers":     {target("async: {topic: a}"), "name the brokers in asyncBrokers"},
		"an async topic":            {target("async: {topic: 'a b'}"), `"a b" is not a name of a Kafka topic`},
		"kafka without a topic":     {"asyncBrokers: [a:1]\ntargets: [{name: a, protocol: kafka}]", "add kafka: {topic: …}"},
		"kafka with all the rest":   {"asyncBrokers: [a:1]\ntargets: [{name: a, protocol: kafka, host: a, kafka: {topic: a}, async: {topic: b}, auth: {type: basic}}]", "has no host"},
		"a broker":                  {"asyncBrokers: ['kafka://a:1']", "asyncBrokers[0]: \"kafka://a:1\" is not a broker: write host:port"},
		"a broker's port":           {"asyncBrokers: [a:abc]", "asyncBrokers[0]: \"a:abc\" is not a broker: write host:port"},
		"a port with a sign":        {"listenAddr: ':+3500'", "listenAddr: \":+3500\" is not an address to listen on"},
		"a target's port":           {"targets: [{name: a, host: 'a:+80'}]", "targets[0].host"},
		"a broker's port, too high": {"asyncBrokers: [a:99999]", "asyncBrokers[0]: \"a:99999\" is not a broker: write host:port"},
		"a login without a user":    {"asyncBrokers: [a:1]\nasyncSASL: {mechanism: PLAIN, password: x}", "asyncSASL.username: is required for PLAIN"},
		"a topic for two":           {"asyncBrokers: [a:1]\ntargets: [{name: a, host: a, async: {topic: t}}, {name: b, host: b, async: {topic: t}}]", "targets[1].async.topic: t holds the calls of targets[0] already"},
		"replies among requests":    {target("async: {topic: a, replyTopic: a}"), "a reply would be read as one"},
		"letters among requests":    {target("async: {topic: a, deadLetterTopic: a}"), "a dead letter would be retried forever"},
		"letters among others'":     {"asyncBrokers: [a:1]\ntargets: [{name: a, host: a, async: {topic: t, deadLetterTopic: u}}, {name: b, host: b, async: {topic: u}}]", "targets[0].async.deadLetterTopic: u holds the requests of targets[1] and must hold nothing else"},
		"letters by default there":  {"asyncBrokers: [a:1]\ntargets: [{name: a, host: a, async: {topic: t}}, {name: b, host: b, async: {topic: t-dlq}}]", "targets[0].async.topic: t-dlq holds the requests of targets[1]"},
		"replies among others'":     {"asyncBrokers: [a:1]\ntargets: [{name: a, host: a, async: {topic: t}}, {name: b, host: b, async: {topic: u, replyTopic: t}}]", "targets[1].async.replyTopic: t holds the requests of targets[0]"},
		"publishing among requests": {"asyncBrokers: [a:1]\ntargets: [{name: a, host: a, async: {topic: t}}, {name: b, protocol: kafka, kafka: {topic: t}}]", "targets[1].kafka.topic: t holds the requests of targets[0]"},
		"a long topic":              {target("async: {topic: " + strings.Repeat("a", 248) + "}"), "the name of its dead letter topic is too long"},
		"a topic of dots":           {target("async: {topic: ..}"), `".." is not a name of a Kafka topic`},
		"a key that is no CEL":      {target("async: {topic: a, key: order-id}"), `a literal text needs quotes: '"order-id"'`},
		"a key of kafka":            {"asyncBrokers: [a:1]\ntargets: [{name: a, protocol: kafka, kafka: {topic: a, key: dat.id}}]", "undeclared reference to 'dat'"},
		"a short timeout":           {target("async: {topic: a, timeout: 1ms}"), "1ms is out of bounds: from 1s"},
		"too much at once":          {target("async: {topic: a, maxInFlight: 5000}"), "5000 is out of bounds"},
		"a line":                    {target("async: {topic: a, stopTheLine: {consecutive: -1}}"), "consecutive: -1 is out of bounds"},
		"a topic of http":           {target("kafka: {topic: a}"), "belongs to protocol: kafka"},
		"no YAML":                   {"targets: [", "config.yaml:1:"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(t, test.text)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestParse_takesEveryKindOfCredential(t *testing.T) {
	for _, auth := range []string{
		"{type: none}", "{type: bearer, secretRef: {envVar: A}}", "{type: apiKey, secretRef: {name: a, key: b}}", "{type: apiKey, query: k, secretRef: {filePath: /a}}",
		"{type: basic, username: u, secretRef: {envVar: A}}", "{type: oauth2, tokenURL: 'https://a/t', clientID: c, clientAuth: post, secretRef: {envVar: A}}",
		"{type: oauth2, tokenURL: 'https://a/t', clientID: c, secretRef: {envVar: A}, params: {resource: 'https://a'}, tokenType: BearerToken, tls: {caFile: /ca}}",
		"{type: sigv4, region: r, service: s, accessKeyRef: {envVar: A}, secretRef: {envVar: A}}",
		"{type: bearer, secretRef: {vaultRef: {path: secret/data/a, key: b, role: r}}}",
	} {
		if _, err := parse(t, "vault: {address: 'https://v', auth: {method: approle, roleID: r, secretID: {envVar: A}}}\ntargets: [{name: a, host: a, auth: "+auth+"}]"); err != nil {
			t.Errorf("%s: %v", auth, err)
		}
	}
	if _, err := parse(t, "targets: [{name: a, host: a, auth: {type: mtls}, tls: {certFile: /a, keyFile: /b}}]"); err != nil {
		t.Error(err)
	}
}

// A change elsewhere in the file does not change a target.
func TestParse_aTargetIsTheSameWhereverItStands(t *testing.T) {
	const targets = "asyncBrokers: [a:1]\ntargets: [{name: a, host: a, async: {topic: a, key: data.id}}, {name: b, protocol: kafka, kafka: {topic: b, key: data.id}}]\n"
	one, errOne := parse(t, targets)
	two, errTwo := parse(t, "# moved\n\nmaxConnections: 5\n"+targets)
	if errOne != nil || errTwo != nil || !reflect.DeepEqual(one.Targets, two.Targets) {
		t.Error(errOne, errTwo)
	}
	if key := one.Targets[0].RecordKey(); key.Value != "data.id" || one.Targets[1].RecordKey() != key || !(&Target{}).RecordKey().IsZero() {
		t.Error(key)
	}
}

func TestAsync_namesWhatItIsNotTold(t *testing.T) {
	a := Async{Topic: "calls"}
	if a.Group("crm") != "fiso-link-crm" || a.DeadLetters() != "calls-dlq" {
		t.Error(a.Group("crm"), a.DeadLetters())
	}
	if a = (Async{ConsumerGroup: "g", DeadLetterTopic: "d"}); a.Group("crm") != "g" || a.DeadLetters() != "d" {
		t.Error(a.Group("crm"), a.DeadLetters())
	}
}

func TestConfig_connectsToTheBrokersAsItIsTold(t *testing.T) {
	c, err := parse(t, "targets: []\nasyncBrokers: 'a:1,b:2'\nasyncTLS: {enabled: true}\nasyncSASL: {mechanism: PLAIN, username: u, password: p}\n")
	if err != nil {
		t.Fatal(err)
	}
	if b := c.Brokers(); len(b.Brokers) != 2 || !b.TLS.Enabled || b.SASL.Username != "u" || b.ClientID != "fiso-link" {
		t.Errorf("%+v", b)
	}
}

// U25: and it takes references, as the file does.
func TestSchema_isJSON(t *testing.T) {
	text, err := json.Marshal(Schema())
	if err != nil || !strings.Contains(string(text), "circuitBreaker") || !strings.Contains(string(text), `"pattern":"\\$\\{"`) {
		t.Error(string(text), err)
	}
}

// F19, https://github.com/kubernetes/kubernetes/issues/83253 and
// https://github.com/go-yaml/yaml/issues/666: no file is a bomb, and none panics.
func FuzzParse(f *testing.F) {
	f.Add(example)
	f.Add("targets: [{name: a, host: 'a:b:c', endpoints: [x], allowedPaths: ['/%']}]")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parse(t, text)
		if err != nil {
			return
		}
		for i := range c.Targets {
			if host, port := c.Targets[i].Address(); c.Targets[i].Protocol != "kafka" && (host == "" || port < 1 || port > 65535) {
				t.Errorf("a target at %q:%d was taken", host, port)
			}
		}
	})
}
