package temporal

import (
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/config"
)

func TestSourceConfig_hasDefaults(t *testing.T) {
	s, err := NewSource(SourceConfig{ClientConfig: ClientConfig{Address: "temporal.infra:7233"}, TaskQueue: "events"}, SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if c := s.cfg; c.Namespace != "default" || c.MaxInFlight != 256 || c.Heartbeat != 10*time.Second || c.Codec.Timeout != 5*time.Second {
		t.Errorf("the defaults are %+v", c)
	}
	if s.opts.Name != "events" || s.opts.DrainTimeout != 20*time.Second {
		t.Errorf("the name is %q and the drain timeout %v, want events and 20s", s.opts.Name, s.opts.DrainTimeout)
	}
}

func TestSourceConfig_saysWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*SourceConfig)
		want   string
	}{
		"no address":      {func(c *SourceConfig) { c.Address = "" }, "address is required"},
		"scheme":          {func(c *SourceConfig) { c.Address = "https://temporal:7233" }, "address: not an address; write host:port, such as temporal.infra:7233"},
		"no task queue":   {func(c *SourceConfig) { c.TaskQueue = "" }, "taskQueue: is missing; write a name"},
		"long task queue": {func(c *SourceConfig) { c.TaskQueue = strings.Repeat("q", 1001) }, "taskQueue: has 1001 bytes; the server takes at most 1000"},
		"queue of server": {func(c *SourceConfig) { c.TaskQueue = "/_sys/x" }, "taskQueue: names that begin with /_sys/ belong to the server; write another one"},
		"no slots":        {func(c *SourceConfig) { c.MaxInFlight = -1 }, "maxInFlight: must be from 1 to 100000"},
		"too many slots":  {func(c *SourceConfig) { c.MaxInFlight = 100_001 }, "maxInFlight: must be from 1 to 100000"},
		"heartbeat":       {func(c *SourceConfig) { c.Heartbeat = time.Millisecond }, "heartbeat: 1ms is too short; the least is 10ms"},
		"key without tls": {func(c *SourceConfig) { c.Auth.APIKey = config.NewSecret("x") }, "auth: a credential must not travel in plain text; add tls: {enabled: true}"},
		"codec":           {func(c *SourceConfig) { c.Codec.Endpoint = "codec:80" }, "codec.endpoint: not a URL without a query; write one such as https://codec:8081"},
		"codec with user": {func(c *SourceConfig) { c.Codec.Endpoint = "https://a:b@codec" }, "codec.endpoint: a URL must not hold a user or password"},
		"codec timeout":   {func(c *SourceConfig) { c.Codec = Codec{Endpoint: "https://codec", Timeout: -1} }, "codec.timeout: must be more than 0, such as 5s"},
		"two credentials": {func(c *SourceConfig) {
			c.TLS.Enabled = true
			c.Auth = ClientAuth{APIKey: config.NewSecret("x"), OAuth2: OAuth2{TokenURL: "https://login", ClientID: "a", ClientSecret: config.NewSecret("b")}}
		}, "auth.oauth2: the token is either the API key or one of an OAuth2 server; leave apiKey or oauth2 out"},
		"certificate only": {func(c *SourceConfig) { c.TLS.CertFile = "c.pem" }, "certFile: a certificate needs its key: add keyFile"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := SourceConfig{ClientConfig: ClientConfig{Address: "h:1"}, TaskQueue: "q"}
			c.change(&cfg)
			_, err := NewSource(cfg, SourceOptions{})
			if want := "temporal source: " + c.want; err == nil || err.Error() != want {
				t.Errorf("NewSource returned %v, want %q", err, want)
			}
		})
	}
}

// The keys are those of the documentation, and a file is read strictly.
func TestSourceConfig_isReadFromAFile(t *testing.T) {
	var file struct {
		Source SourceConfig `yaml:"source"`
	}
	text := `source:
  address: temporal.infra:7233
  namespace: orders
  tls: {enabled: true, serverName: temporal}
  auth: {apiKey: s3cret}
  taskQueue: events
  maxInFlight: 32
  heartbeat: 5s
  codec: {endpoint: "https://codec/", timeout: 2s}
`
	if err := config.Decode("flow.yaml", []byte(text), &file); err != nil {
		t.Fatal(err)
	}
	c := file.Source
	if c.Namespace != "orders" || c.TaskQueue != "events" || c.MaxInFlight != 32 || c.Codec.Timeout != 2*time.Second || c.TLS.ServerName != "temporal" {
		t.Errorf("the configuration is %+v", c)
	}
}
