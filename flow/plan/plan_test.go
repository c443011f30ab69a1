package plan

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/lsm/fiso/common/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// printed is the flow of section 3.1 of the contract, verbatim.
const printed = `name: order-events
source:
  type: kafka                     # kafka | grpc | http | (connectors to come)
  config:
    brokers: [kafka.infra.svc:9092]   # list, or one comma-separated string
    topic: orders                 # or topics: [a, b], or topicsPattern: "^orders-.*"
    consumerGroup: fiso-order-flow
    startOffset: latest           # earliest | latest | a number | an RFC 3339 time
transform:
  cel: '{"order_id": data.legacy_id, "timestamp": time, "status": data.order_status}'
sink:
  type: http
  config:
    url: http://order-service:8080/callbacks/order-result
    method: POST
errorHandling:
  deadLetterTopic: fiso-dlq-order-events     # default fiso-dlq-{flow}
  maxRetries: 5
  backoff: exponential            # exponential | linear | constant
`

const (
	kafkaIn = "source: {type: kafka, config: {brokers: 'b:9092', topic: orders, consumerGroup: g}}\n"
	httpIn  = "source: {type: http, config: {listen: '127.0.0.1:0', path: /in}}\n"
	out     = "sink: {type: stdout}\n"
)

func parsed(t *testing.T, text string) *Plan {
	t.Helper()
	b, err := Parse("flow.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParse_takesTheFlowOfTheContractAsPrinted(t *testing.T) {
	b := parsed(t, printed)
	if b.Name() != "order-events" || b.Paused() || !b.Guarantees().Redelivers || b.ManyStreams() || b.DrainTimeout().String() != "20s" ||
		len(b.Files()) != 0 || b.process == nil {
		t.Errorf("plan = %+v", b)
	}
	e := b.explain()
	for what, c := range map[string][2]string{
		"source":       {e.Source, "kafka: topic orders of kafka.infra.svc:9092, as consumer group fiso-order-flow; without a commit from latest"},
		"sink":         {e.Sink, "http: POST http://order-service:8080/callbacks/order-result, CloudEvents in structured mode"},
		"dead letters": {e.DeadLetters, "Kafka topic fiso-dlq-order-events of kafka.infra.svc:9092, created when it is missing"},
		"transform":    {e.Transform, `{"order_id": data.legacy_id, "timestamp": time, "status": data.order_status}`},
	} {
		if c[0] != c[1] {
			t.Errorf("%s = %q", what, c[0])
		}
	}
	if len(e.Retries) != 5 || e.Retries[1].Min.String() != "320ms" || e.Retries[1].Max.String() != "480ms" {
		t.Errorf("retries = %+v", e.Retries)
	}
}

func TestParse_showsTheFaultsOfAllParts(t *testing.T) {
	_, err := Parse("flow.yaml", []byte(`name: orders
pauesd: true
source: {type: kafka, config: {brokers: b, topc: orders, consumerGroup: g, startOffset: yesterday}}
filter: data.region = "eu"
transform: {cel: 'dta.x'}
sink: {type: http, config: {url: "ftp://x"}}
errorHandling: {deadLetter: {type: file}}
cloudevents: {extensions: {tenantId: data.t}}
`))
	faults, ok := errors.AsType[config.Errors](err)
	if !ok {
		t.Fatalf("error = %v", err)
	}
	lines := map[int]bool{}
	last := 0
	for _, f := range faults {
		lines[f.Pos.Line] = true
		if f.Pos.Line < last {
			t.Errorf("line %d after line %d", f.Pos.Line, last)
		}
		last = f.Pos.Line
	}
	for line := 2; line <= 8; line++ {
		if !lines[line] {
			t.Errorf("no fault in line %d", line)
		}
	}
	for _, want := range []string{`did you mean "paused"`, `"topic"`, "yesterday", "http or https", "path", "tenantId"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %q:\n%v", want, err)
		}
	}
}

func TestParse_refuses(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"a batch for http outside batch mode", "name: a\n" + kafkaIn + "sink: {type: http, config: {url: 'http://x/'}}\ndelivery: {batch: {maxEvents: 3}}\n", "sink.config.mode: a batch needs mode: batch"},
		{"a kafka dead letter without brokers", "name: a\n" + httpIn + out + "errorHandling: {deadLetter: {type: kafka, config: {topic: x}}}\n", "brokers"},
		{"no source settings", "name: a\nsource: {type: kafka}\n" + out, "brokers"},
		{"not YAML", "name: [", "flow.yaml"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := Parse("flow.yaml", []byte(tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error lacks %q: %v", tc.want, err)
			}
		})
	}
}

// The keys decide between a swap, which moves no partition, and a replacement, which does.
func TestKeys_tellWhatAReloadHasToReplace(t *testing.T) {
	base := "name: a\n" + kafkaIn + "sink: {type: http, config: {url: 'http://x/', headers: {b: '1', a: '2'}, auth: {type: bearer, token: abcd}}}\n"
	b := parsed(t, base)
	for _, tc := range []struct {
		name, text      string
		source, version bool // whether the key changes
	}{
		{"only written differently", "# a comment\n\n" + strings.Replace(base, "{b: '1', a: '2'}", "{a: '2', b: '1'}", 1), false, false},
		{"a default written out", base + "delivery: {maxInFlight: 1024}\n", false, false},
		{"paused", base + "paused: true\n", false, false},
		{"the filter", base + "filter: 'true'\n", false, true},
		{"the transform", base + "transform: {fields: {a: data.a}}\n", false, true},
		{"an attribute", base + "cloudevents: {type: '\"x\"'}\n", false, true},
		{"the sink's url", strings.Replace(base, "http://x/", "http://y/", 1), false, true},
		{"a header", strings.Replace(base, "'2'", "'3'", 1), false, true},
		{"a secret", strings.Replace(base, "abcd", "efgh", 1), false, true},
		{"the retries", base + "errorHandling: {maxRetries: 7}\n", false, true},
		{"the dead letter topic", base + "errorHandling: {deadLetterTopic: x}\n", false, true},
		{"the sink's name", strings.Replace(base, "sink: {", "sink: {name: n, ", 1), false, true},
		{"the topic", strings.Replace(base, "topic: orders", "topic: other", 1), true, false},
		{"the brokers", strings.Replace(base, "b:9092", "c:9092", 1), true, true}, // also of the dead letters
		{"the order", base + "delivery: {ordering: none}\n", true, false},
		{"maxInFlight", base + "delivery: {maxInFlight: 7}\n", true, false},
		{"the drain", base + "delivery: {drainTimeout: 7s}\n", true, true}, // also limits how long a dead letter is tried
	} {
		t.Run(tc.name, func(t *testing.T) {
			other := parsed(t, tc.text)
			if got := other.SourceKey() != b.SourceKey(); got != tc.source {
				t.Errorf("source differs: %v", got)
			}
			if got := other.VersionKey() != b.VersionKey(); got != tc.version {
				t.Errorf("version differs: %v", got)
			}
		})
	}
}

// A part that uses a secret reads the rotated file itself: the consumer must not restart.
func TestKeys_stayWhenASecretIsRotated(t *testing.T) {
	dir := t.TempDir()
	token, topic := filepath.Join(dir, "token"), filepath.Join(dir, "topic")
	put(t, token, "one")
	put(t, topic, "orders")
	text := "name: a\nsource: {type: kafka, config: {brokers: b, topic: '${file:" + topic + "}', consumerGroup: g, sasl: {mechanism: OAUTHBEARER, token: '${file:" + token + "}'}}}\n" + out
	b := parsed(t, text)
	if !slices.Equal(b.Files(), []string{token, topic}) {
		t.Errorf("files = %v", b.Files())
	}
	put(t, token, "two")
	if parsed(t, text).SourceKey() != b.SourceKey() {
		t.Error("a rotated secret is a change")
	}
	put(t, topic, "other")
	if parsed(t, text).SourceKey() == b.SourceKey() {
		t.Error("a changed ${file:} is none")
	}
	if strings.Contains(b.explain().Source, "one") {
		t.Error("the explanation shows the secret")
	}
}

// U16: a faulty file was parsed again every few seconds, because the files that it refers to were
// not known.
func TestRefers_namesTheFilesOfAFlowThatIsRefused(t *testing.T) {
	text := []byte("name: orders\nfilter: '('\nsource: {type: kafka, config: {brokers: [b:9092], topic: \"${file:/t}\", consumerGroup: g, sasl: {password: {secretRef: {name: n, key: k}}}}}\nsink: {type: stdout}\n")
	if _, err := Parse("f.yaml", text); err == nil {
		t.Fatal("the flow passes")
	}
	if got := ReferencedFiles("f.yaml", text); !slices.Equal(got, []string{"/etc/fiso/secrets/n/k", "/t"}) {
		t.Errorf("got %q", got)
	}
	for name, text := range map[string]string{"no YAML": "{file:", "no reference": "name: a\n"} {
		if got := ReferencedFiles("f.yaml", []byte(text)); got != nil {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestParseDir_readsWholeFlows(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "a.yaml"), "name: a\n"+kafkaIn+out)
	put(t, filepath.Join(dir, "b.yaml"), "name: b\n"+kafkaIn+"filter: '1 +'\n"+out)
	flows, err := ParseDir(dir)
	if len(flows) != 1 || flows[0].Name() != "a" || flows[0].File != filepath.Join(dir, "a.yaml") {
		t.Errorf("flows = %+v", flows)
	}
	faults, ok := errors.AsType[config.Errors](err)
	if !ok || len(faults) != 1 || faults[0].Code != config.CodeCEL || faults[0].Pos.Line != 3 {
		t.Errorf("faults = %v", err)
	}
}

func TestExplain_tellsEverySetting(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       []string
	}{
		{"a minimal flow", "name: a\n" + kafkaIn + out, []string{"the data stays unchanged", "key: events of one key", "after events of 20 messages in a row have failed", "becomes a dead letter", "1024 events"}},
		{"partition, block and off", "name: a\n" + httpIn + out + "delivery: {ordering: partition}\nerrorHandling: {onExhausted: block, stopTheLine: {consecutive: 0}}\n",
			[]string{"partition: events of a partition", "block: ", `"stopTheLine":"off"`, "none: an event that cannot be delivered is held", "POST to /in on 127.0.0.1:0"}},
		{"none, drop, fields and a batch", "name: a\npaused: true\n" + httpIn + "filter: data.x > 1\ntransform: {fields: {a: data.a, b: data.b}}\nsink: {type: http, config: {url: 'http://x/', mode: batch}}\ndelivery: {ordering: none, batch: {maxEvents: 7}}\nerrorHandling: {onExhausted: drop, maxRetries: 0, deadLetter: {type: file, config: {path: /var/dlq}}}\n",
			[]string{"none: all events", "drop: ", "2 fields", "up to 7 events or 1MiB, or what has arrived after 50ms", "file /var/dlq", `"retries":[]`, `"paused":true`, "data.x \\u003e 1"}},
		{"a batch nobody asked for, topics and a Kafka sink", "name: a\nsource: {type: kafka, config: {brokers: b, topics: [x, y], consumerGroup: g}}\nsink: {type: http, config: {url: 'http://x/', mode: batch}}\n",
			[]string{"up to 100 events or 1MiB, or what has arrived after 50ms", "topics x, y"}},
		{"no more than may be in flight", "name: a\n" + kafkaIn + "sink: {type: kafka, config: {brokers: c, topic: out}}\ndelivery: {maxInFlight: 30}\n", []string{"up to 30 events or 1MiB"}},
		{"a pattern and a Kafka sink", "name: a\nsource: {type: kafka, config: {brokers: b, topicsPattern: '^o', consumerGroup: g}}\nsink: {type: kafka, config: {brokers: c, topic: out}}\nerrorHandling: {maxRetries: 99, deadLetter: {type: kafka, config: {brokers: d}}}\n",
			[]string{"topics that match ^o", "kafka: topic out of c, CloudEvents in binary mode", "up to 500 events or 1MiB, or what has arrived after 4ms, or at once while nothing is in flight", "Kafka topic fiso-dlq-a of d"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text, err := json.Marshal(parsed(t, tc.text).explain())
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range tc.want {
				if !strings.Contains(string(text), want) {
					t.Errorf("lacks %q: %s", want, text)
				}
			}
		})
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
