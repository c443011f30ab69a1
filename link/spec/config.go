package spec

import (
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/connectors/kafka"
)

// Config is a configuration file of fiso-link.
type Config struct {
	ListenAddr     string           `yaml:"listenAddr" default:"127.0.0.1:3500" doc:"Where applications call. A change needs a restart."`
	MetricsAddr    string           `yaml:"metricsAddr" default:":9091" doc:"Where /healthz, /readyz and /metrics listen. A change needs a restart."`
	Targets        []Target         `yaml:"targets" required:"true" doc:"What can be called, each as /link/{name}/…; [] for nothing."`
	AllowedHosts   config.Strings   `yaml:"allowedHosts" doc:"Host names, beside loopback ones, under which a loopback listener may be called."`
	AllowedOrigins config.Strings   `yaml:"allowedOrigins" doc:"Origins, as https://app.example.com, whose web pages may call; any other cross-site request is refused."`
	MaxConnections int              `yaml:"maxConnections" default:"4096" doc:"Most connections of applications at once; above it, connections without a call are closed to make room."`
	MaxHeaderBytes config.Bytes     `yaml:"maxHeaderBytes" default:"32KiB" doc:"Largest head of a request; above it the answer is 431. A change needs a restart."`
	DrainTimeout   time.Duration    `yaml:"drainTimeout" default:"20s" doc:"How long calls under way may take at the end, and streams of a target that was changed or removed."`
	AsyncBrokers   config.Strings   `yaml:"asyncBrokers" doc:"Kafka brokers of targets with async, and of those with protocol kafka, as host:port."`
	AsyncTLS       config.TLS       `yaml:"asyncTLS" doc:"TLS to those brokers."`
	AsyncSASL      kafka.SASLConfig `yaml:"asyncSASL" secret:"true" doc:"How to authenticate to those brokers."`
	Vault          *Vault           `yaml:"vault" doc:"The Vault that vaultRef reads from."`
}

// Target is one destination: an entry of targets, or the spec of a LinkTarget. It is
// not modified after Parse.
type Target struct {
	Name              string         `yaml:"name" required:"true" doc:"Name in the path /link/{name}/…: lower-case letters, digits and dashes."`
	Protocol          string         `yaml:"protocol" default:"https" enum:"http|https|h2c|grpc|kafka" doc:"Protocol that the target speaks: http (HTTP/1.1), https (HTTP/1.1; calls of gRPC in HTTP/2), h2c (HTTP/2 without TLS), grpc (HTTP/2, with TLS where tls is given or the port is 443), kafka (a POST is published)."`
	Host              string         `yaml:"host" doc:"Host name or address, with or without a port. It is also the Host that the target sees."`
	Port              int            `yaml:"port" doc:"Port, where host has none; default 443 with TLS, else 80."`
	BasePath          string         `yaml:"basePath" doc:"Put before the path of every call, as /services; allowedPaths does not see it."`
	SRV               string         `yaml:"srv" doc:"Name of DNS SRV records that list the endpoints; host stays the Host that the target sees."`
	Endpoints         config.Strings `yaml:"endpoints" doc:"Addresses to call, as host:port, instead of those that host resolves to."`
	TLS               config.TLS     `yaml:"tls" doc:"TLS to the target: own authorities, a client certificate, another server name."`
	Proxy             *Proxy         `yaml:"proxy" doc:"Outbound proxy that the target is reached through. None: it is connected to directly, whatever the environment says."`
	Auth              Auth           `yaml:"auth" secret:"true" doc:"The credential that every call gets."`
	CircuitBreaker    CircuitBreaker `yaml:"circuitBreaker" doc:"When to stop calling a target that fails."`
	Retry             Retry          `yaml:"retry" doc:"Which calls are made again, how often and when."`
	AllowedPaths      config.Strings `yaml:"allowedPaths" doc:"Patterns of paths that may be called: * is anything within a segment, ** any number of segments. None: every path."`
	AllowedMethods    config.Strings `yaml:"allowedMethods" doc:"Methods that may be called. None: every method but CONNECT and TRACE."`
	EncodedSlashes    string         `yaml:"encodedSlashes" default:"refuse" enum:"refuse|allow" doc:"Whether %2F may stand in a path: allow keeps it within its segment, where it never leads to a parent directory."`
	AllowedCharacters config.Strings `yaml:"allowedCharacters" doc:"Characters at which this target does not cut a path, although some servers do: ? # ; and letters (such as ／, which some servers take for a delimiter). For all other such characters, allowedPaths must also allow the path that a cut leaves."`
	Headers           Headers        `yaml:"headers" secret:"true" doc:"Headers that every call gets or loses."`
	RateLimit         *RateLimit     `yaml:"rateLimit" doc:"Most calls a second; above it the answer is 429."`
	MaxConcurrent     int            `yaml:"maxConcurrent" default:"1024" doc:"Most calls at once; above it the answer is 503."`
	Timeout           time.Duration  `yaml:"timeout" default:"30s" doc:"Longest time of an ordinary call, retries included. Streams (WebSocket, server-sent events, gRPC) are exempt once they run."`
	Timeouts          Timeouts       `yaml:"timeouts" doc:"Parts of a call that have a limit of their own."`
	Async             *Async         `yaml:"async" doc:"Calls that ask for it (Prefer: respond-async) are made later, through Kafka."`
	Kafka             *Kafka         `yaml:"kafka" doc:"Where a target of protocol kafka publishes."`
	MaxAnswerHead     config.Bytes   `yaml:"maxResponseHeaderBytes" default:"64KiB" doc:"Largest head of an answer; above it the call is answered 502."`
}

// SecretRef names the place of a secret, in exactly one of its forms. The secret is
// read when it is needed, read again when it changes, and never shown.
type SecretRef struct {
	FilePath string    `yaml:"filePath" file:"true" doc:"File that holds it, without a byte order mark and the line break at its end; followed when it changes."`
	EnvVar   string    `yaml:"envVar" doc:"Environment variable that holds it, read in the same way."`
	VaultRef *VaultRef `yaml:"vaultRef" doc:"Secret in Vault that holds it."`
	Name     string    `yaml:"name" doc:"Kubernetes Secret that holds it, read from $FISO_SECRETS_DIR/name/key."`
	Key      string    `yaml:"key" doc:"Key in that Secret."`
}

// VaultRef names a field of a secret in Vault.
type VaultRef struct {
	Path string `yaml:"path" required:"true" doc:"Path as the API has it: secret/data/crm for KV version 2, database/creds/app for dynamic ones."`
	Key  string `yaml:"key" required:"true" doc:"Field of the secret."`
	Role string `yaml:"role" doc:"Role to log in with for this secret, instead of vault.auth.role."`
}

// Auth configures the credential of calls. The README says which keys each type uses.
type Auth struct {
	Type            string            `yaml:"type" default:"none" enum:"none|bearer|apiKey|basic|oauth2|mtls|sigv4" doc:"Kind of credential."`
	SecretRef       *SecretRef        `yaml:"secretRef" secret:"true" doc:"bearer: the token. apiKey: the key. basic: the password. oauth2: the client secret. sigv4: the secret access key."`
	Header          string            `yaml:"header" secret:"false" doc:"apiKey: header that carries the key; default X-API-Key, unless query is given."`
	Query           string            `yaml:"query" secret:"false" doc:"apiKey: query parameter that carries the key; the caller's own is removed."`
	Username        string            `yaml:"username" doc:"basic: the user."`
	TokenURL        string            `yaml:"tokenURL" doc:"oauth2: where tokens are fetched with client credentials."`
	ClientID        string            `yaml:"clientID" doc:"oauth2: the client's id."`
	Scopes          config.Strings    `yaml:"scopes" doc:"oauth2: scopes to ask for."`
	Audience        string            `yaml:"audience" doc:"oauth2: audience to ask for."`
	Params          map[string]string `yaml:"params" doc:"oauth2: further parameters of the request for a token, as resource."`
	TokenType       string            `yaml:"tokenType" secret:"false" doc:"oauth2: what the server says as token_type of a bearer token, where it is not Bearer, as BearerToken."`
	TLS             config.TLS        `yaml:"tls" secret:"false" doc:"oauth2: TLS to tokenURL: own authorities, a client certificate, another server name."`
	Proxy           *Proxy            `yaml:"proxy" secret:"false" doc:"oauth2: outbound proxy that tokenURL is reached through. None: it is connected to directly."`
	ClientAuth      string            `yaml:"clientAuth" default:"basic" enum:"basic|post" doc:"oauth2: whether id and secret go in the Authorization header or in the form."`
	AccessKeyRef    *SecretRef        `yaml:"accessKeyRef" secret:"true" doc:"sigv4: the access key id."`
	SessionTokenRef *SecretRef        `yaml:"sessionTokenRef" secret:"true" doc:"sigv4: the session token of temporary credentials."`
	Region          string            `yaml:"region" secret:"false" doc:"sigv4: AWS region, as eu-central-1."`
	Service         string            `yaml:"service" secret:"false" doc:"sigv4: AWS service, as execute-api."`
}

// CircuitBreaker configures when calls to a target stop.
type CircuitBreaker struct {
	Enabled          bool          `yaml:"enabled" default:"true" doc:"Whether to use a circuit breaker."`
	FailureThreshold int           `yaml:"failureThreshold" default:"5" doc:"Failed calls in a row that open the circuit; a call fails when all its attempts do. Not used with failureRatio."`
	FailureRatio     float64       `yaml:"failureRatio" doc:"Share of failed calls that opens the circuit, from 0 to 1, over the last resetTimeout; 0: failureThreshold counts."`
	MinRequests      int           `yaml:"minRequests" default:"20" doc:"Least number of calls for failureRatio to count."`
	SuccessThreshold int           `yaml:"successThreshold" default:"2" doc:"Successful trials that close the circuit; also how many trials run at once."`
	ResetTimeout     time.Duration `yaml:"resetTimeout" default:"30s" doc:"How long the circuit stays open before trials are let through."`
}

// Retry configures which calls are made again. Without unsafe, only calls that do no
// harm when executed twice are retried: idempotent methods, requests with an
// Idempotency-Key, and attempts of which nothing was sent.
type Retry struct {
	MaxAttempts     int            `yaml:"maxAttempts" default:"3" doc:"Attempts in all; 1: no retry."`
	Backoff         string         `yaml:"backoff" default:"exponential" enum:"exponential|linear|constant" doc:"How the wait between attempts grows."`
	InitialInterval time.Duration  `yaml:"initialInterval" default:"200ms" doc:"Wait before the second attempt."`
	MaxInterval     time.Duration  `yaml:"maxInterval" default:"30s" doc:"Longest wait; a target that asks for more (Retry-After) is not called again."`
	Jitter          float64        `yaml:"jitter" default:"0.2" doc:"Share of the wait that is random, from 0 to 1."`
	Budget          float64        `yaml:"budget" default:"0.2" doc:"Retries, waiting ones included, as a share of the calls under way and of the last ten seconds; 0: none. Three at once are always allowed."`
	On              config.Strings `yaml:"on" default:"connect,timeout,reset,429,502,503,504" doc:"What is retried: connect, timeout, reset, and status codes."`
	Unsafe          bool           `yaml:"unsafe" doc:"Retry every method, also where the target may have acted on the first attempt."`
	MaxBodyBytes    config.Bytes   `yaml:"maxBodyBytes" default:"64KiB" doc:"Largest body that is kept for another attempt; a larger one is streamed, and sent once. Also the largest body that sigv4 hashes."`
}

// Headers are rules for the headers of a call, applied before the credential.
type Headers struct {
	Set    map[string]string `yaml:"set" doc:"Headers to set, whatever the caller sent."`
	Remove config.Strings    `yaml:"remove" secret:"false" doc:"Headers of the caller that are not forwarded."`
}

// RateLimit is a token bucket.
type RateLimit struct {
	RequestsPerSecond float64 `yaml:"requestsPerSecond" required:"true" doc:"Calls a second, in the long run."`
	Burst             int     `yaml:"burst" doc:"Calls that may come at once after a pause; default: requestsPerSecond."`
}

// Timeouts are limits of parts of a call.
type Timeouts struct {
	Connect        time.Duration `yaml:"connect" default:"5s" doc:"To connect, TLS included."`
	ResponseHeader time.Duration `yaml:"responseHeader" doc:"From the end of the request to the head of the answer; default: what timeout leaves."`
	PerAttempt     time.Duration `yaml:"perAttempt" doc:"One attempt until the head of the answer; default: what timeout leaves."`
	Idle           time.Duration `yaml:"idle" default:"5m" doc:"A stream on which nothing moves in either direction."`
	IdleConnection time.Duration `yaml:"idleConnection" default:"90s" doc:"How long an unused connection to the target is kept; set it below the time after which the target, or a proxy in front of it, closes unused connections."`
}

// Async configures calls that are made later.
type Async struct {
	Topic           string        `yaml:"topic" required:"true" doc:"Kafka topic that holds the requests. It must exist."`
	Key             config.Text   `yaml:"key" doc:"CEL expression for the record's key, over headers, path, query, method and data (the body as JSON): calls with the same key are made in order. None: no key, no order."`
	ConsumerGroup   string        `yaml:"consumerGroup" doc:"Consumer group of the workers that make the calls; default fiso-link-{target}."`
	ReplyTopic      string        `yaml:"replyTopic" doc:"Topic that the answers are published to; none: answers are counted and discarded."`
	DeadLetterTopic string        `yaml:"deadLetterTopic" doc:"Topic for requests that cannot be made; default {topic}-dlq."`
	MaxInFlight     int           `yaml:"maxInFlight" default:"64" doc:"Most calls that a worker makes at once."`
	MaxRetries      int           `yaml:"maxRetries" default:"3" doc:"Calls made again after the first one failed with all its attempts, while the target is not away."`
	StopTheLine     StopTheLine   `yaml:"stopTheLine" doc:"Protection against turning a whole topic into dead letters."`
	MaxBodyBytes    config.Bytes  `yaml:"maxBodyBytes" default:"512KiB" doc:"Largest body of a request, and of an answer that is published."`
	Timeout         time.Duration `yaml:"timeout" default:"10s" doc:"Longest time until Kafka has the request; at least 1s."`
}

// StopTheLine holds calls while the target refuses all of them.
type StopTheLine struct {
	Consecutive int `yaml:"consecutive" default:"20" doc:"Number of dead letters in a row, caused by the target, after which further calls wait until one is delivered; 0: off."`
}

// Group returns the consumer group of the target's workers.
func (a *Async) Group(target string) string {
	if a.ConsumerGroup != "" {
		return a.ConsumerGroup
	}
	return "fiso-link-" + target
}

// DeadLetters returns the topic of dead letters.
func (a *Async) DeadLetters() string {
	if a.DeadLetterTopic != "" {
		return a.DeadLetterTopic
	}
	return a.Topic + "-dlq"
}

// Kafka configures where a target of protocol kafka publishes.
type Kafka struct {
	Topic        string        `yaml:"topic" required:"true" doc:"Topic to publish to. It must exist."`
	Key          config.Text   `yaml:"key" doc:"CEL expression for the record's key, over headers, query and data (the body as JSON). None: no key."`
	MaxBodyBytes config.Bytes  `yaml:"maxBodyBytes" default:"512KiB" doc:"Largest body."`
	Timeout      time.Duration `yaml:"timeout" default:"10s" doc:"Longest time until Kafka has the record; at least 1s."`
}

// Brokers returns the settings of connections to Kafka.
func (c *Config) Brokers() kafka.ClientConfig {
	return kafka.ClientConfig{Brokers: c.AsyncBrokers, TLS: c.AsyncTLS, SASL: c.AsyncSASL, ClientID: "fiso-link"}
}

// RecordKey returns the expression for the key of the target's records.
func (t *Target) RecordKey() config.Text {
	switch {
	case t.Async != nil:
		return t.Async.Key
	case t.Kafka != nil:
		return t.Kafka.Key
	}
	return config.Text{}
}

// Vault configures the Vault that vaultRef reads from.
type Vault struct {
	Address   string     `yaml:"address" required:"true" doc:"URL of Vault, as https://vault:8200."`
	Namespace string     `yaml:"namespace" doc:"Namespace, of Vault Enterprise."`
	TLS       config.TLS `yaml:"tls" doc:"TLS to Vault."`
	Proxy     *Proxy     `yaml:"proxy" doc:"Outbound proxy that Vault is reached through. None: it is connected to directly."`
	Auth      VaultAuth  `yaml:"auth" required:"true" secret:"true" doc:"How fiso-link logs in."`
}

// VaultAuth configures the login at Vault.
type VaultAuth struct {
	Method    string     `yaml:"method" required:"true" enum:"kubernetes|approle|token" doc:"How to log in: kubernetes, approle or token."`
	Role      string     `yaml:"role" doc:"kubernetes: the role."`
	Mount     string     `yaml:"mount" doc:"Where the method is mounted; default: its name."`
	TokenFile string     `yaml:"tokenFile" file:"true" doc:"kubernetes: file of the service account's token; default: where Kubernetes mounts it."`
	RoleID    string     `yaml:"roleID" doc:"approle: the role's id."`
	SecretID  *SecretRef `yaml:"secretID" secret:"true" doc:"approle: the secret id, from a file or the environment."`
	TokenRef  *SecretRef `yaml:"tokenRef" secret:"true" doc:"token: the token, from a file or the environment; default: $VAULT_TOKEN."`
}
