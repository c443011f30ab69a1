package kafka

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/config"
)

func sourceConfig(change func(*SourceConfig)) error {
	c := SourceConfig{ClientConfig: ClientConfig{Brokers: []string{"b:9092"}}, Topic: "t", ConsumerGroup: "g"}
	config.Defaults(&c)
	change(&c)
	return c.Validate()
}

func TestSourceConfig_Validate(t *testing.T) {
	if err := sourceConfig(func(*SourceConfig) {}); err != nil {
		t.Errorf("the least configuration with defaults: %v", err)
	}
	for want, change := range map[string]func(*SourceConfig){
		"name at least one broker":  func(c *SourceConfig) { c.Brokers = nil },
		"is a URL; write host:port": func(c *SourceConfig) { c.Brokers = []string{"kafka://b"} },
		"a broker's name is empty":  func(c *SourceConfig) { c.Brokers = []string{" "} },
		`"b:" is not an address`:    func(c *SourceConfig) { c.Brokers = []string{"b:"} },
		`"g " has blanks around it, which would be part of the group's name; remove them`: func(c *SourceConfig) { c.ConsumerGroup = "g " },
		"consumerGroup":                            func(c *SourceConfig) { c.ConsumerGroup = "" },
		"exactly one of topic":                     func(c *SourceConfig) { c.Topics = []string{"u"} },
		"a topic's name is empty":                  func(c *SourceConfig) { c.Topic, c.Topics = "", []string{""} },
		"is not a regular expression":              func(c *SourceConfig) { c.Topic, c.TopicsPattern = "", "(" },
		`"soon" is not a position`:                 func(c *SourceConfig) { c.StartOffset = "soon" },
		`"-1" is not a position`:                   func(c *SourceConfig) { c.StartOffset = "-1" },
		"onOffsetOutOfRange":                       func(c *SourceConfig) { c.OnOffsetOutOfRange = "latest" },
		"isolation":                                func(c *SourceConfig) { c.Isolation = "strong" },
		"must be longer than heartbeatInterval":    func(c *SourceConfig) { c.HeartbeatInterval = time.Hour },
		"fetchMaxBytes: 2GiB is too large":         func(c *SourceConfig) { c.FetchMaxBytes = 2 << 30 },
		"rebalanceTimeout: 1ms is too small":       func(c *SourceConfig) { c.RebalanceTimeout = time.Millisecond },
		"sasl.mechanism":                           func(c *SourceConfig) { c.SASL.Mechanism = "KERBEROS" },
		"sasl.mechanism: is missing":               func(c *SourceConfig) { c.SASL.Username = "u" },
		"sasl.username: is required for PLAIN":     func(c *SourceConfig) { c.SASL.Mechanism = "PLAIN" },
		"sasl.password: is required for SCRAM":     func(c *SourceConfig) { c.SASL.Mechanism, c.SASL.Username = "SCRAM-SHA-512", "u" },
		"OAUTHBEARER needs either":                 func(c *SourceConfig) { c.SASL.Mechanism = "OAUTHBEARER" },
		`sasl.extensions: "x" is not an extension`: func(c *SourceConfig) { c.SASL.Extensions = []string{"x"} },
	} {
		if err := sourceConfig(change); err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(want, "sasl.extensions: ")) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
	for _, ok := range []string{"earliest", "latest", "0", "42", "2026-01-02T15:04:05Z", "2026-01-02T15:04:05+02:00"} {
		if err := sourceConfig(func(c *SourceConfig) { c.StartOffset = StartOffset(ok) }); err != nil {
			t.Errorf("startOffset %s: %v", ok, err)
		}
	}
	for _, ok := range []string{"b", "b:1", "[::1]:9092"} {
		if err := sourceConfig(func(c *SourceConfig) { c.Brokers = []string{ok} }); err != nil {
			t.Errorf("broker %s: %v", ok, err)
		}
	}
}

func TestConfig_allFaultsAreReported(t *testing.T) {
	err := (&SourceConfig{}).Validate()
	for _, want := range []string{"brokers", "topic", "consumerGroup", "startOffset"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

func TestSinkConfig_Validate(t *testing.T) {
	for want, change := range map[string]func(*SinkConfig){
		"":                             func(*SinkConfig) {},
		"topic":                        func(c *SinkConfig) { c.Topic = "" },
		"mode":                         func(c *SinkConfig) { c.Mode = "batch" },
		"compression":                  func(c *SinkConfig) { c.Compression = "rar" },
		"maxMessageBytes":              func(c *SinkConfig) { c.MaxMessageBytes = 100 },
		"deliveryTimeout":              func(c *SinkConfig) { c.DeliveryTimeout = time.Millisecond },
		"maxBuffered: 0 is too small":  func(c *SinkConfig) { c.MaxBuffered = 0 },
		"maxBufferedBytes: 1 is too s": func(c *SinkConfig) { c.MaxBufferedSize = 1 },
	} {
		c := SinkConfig{ProducerConfig: ProducerConfig{ClientConfig: ClientConfig{Brokers: []string{"b"}}}, Topic: "t"}
		config.Defaults(&c)
		change(&c)
		err := c.Validate()
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestNew_refusesWhatCannotWork(t *testing.T) {
	if _, err := NewSource(SourceConfig{}, SourceOptions{}); err == nil {
		t.Error("NewSource took an empty configuration")
	}
	if _, err := NewSink(SinkConfig{}, ProducerOptions{}); err == nil {
		t.Error("NewSink took an empty configuration")
	}
	if _, err := NewProducer(ProducerConfig{}, ProducerOptions{}); err == nil {
		t.Error("NewProducer took an empty configuration")
	}
}

// U20: an emptied file became an empty token.
func TestSASL_aTokenIsReadAgainAndAnEmptiedOneStays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	c := SASLConfig{Mechanism: MechanismOAUTHBEARER, TokenFile: file}
	synctest.Test(t, func(t *testing.T) {
		bearer := c.bearer()
		if _, err := bearer.Reveal(); err == nil || err.Error() != "read secret: open "+file+": no such file or directory" {
			t.Errorf("no file: %v", err)
		}
		for _, step := range []struct{ content, want string }{{"one\n", "one"}, {"two\n", "two"}, {"", "two"}, {"three", "three"}} {
			if err := os.WriteFile(file, []byte(step.content), 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second) // virtual
			if got, err := bearer.Reveal(); got != step.want || err != nil {
				t.Errorf("token %q, %v; want %q", got, err, step.want)
			}
		}
	})
}

func TestSASL_mechanismsAskTheSecretEachTime(t *testing.T) {
	missing := config.SecretFile(filepath.Join(t.TempDir(), "none"))
	for _, name := range mechanisms {
		c := SASLConfig{Mechanism: name, Username: "u", Password: missing, Token: missing}
		m := c.mechanism()
		if m.Name() != name {
			t.Errorf("%s: mechanism is %s", name, m.Name())
		}
		if _, _, err := m.Authenticate(t.Context(), "host"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v, want the error of the secret's file", name, err)
		}
		c.Password, c.Token, c.Extensions = secret("p"), secret("t"), []string{"traceId=1"}
		_, first, err := c.mechanism().Authenticate(t.Context(), "host")
		if err != nil || len(first) == 0 {
			t.Errorf("%s: %q, %v", name, first, err)
		}
		if name == MechanismOAUTHBEARER && !strings.Contains(string(first), "traceId=1") {
			t.Errorf("extensions are missing in %q", first)
		}
	}
	if m := (&SASLConfig{}).mechanism(); m != nil {
		t.Errorf("no mechanism is %v", m)
	}
}
