package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/lsm/fiso/link/internal/discovery"
	"github.com/lsm/fiso/link/spec"
)

// later sends a call to be made later.
func (l *link) later(t *testing.T, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+l.calls+"/link/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Prefer", "respond-async")
	resp, err := http.DefaultClient.Do(req) //nolint:forbidigo // a test on loopback, bounded by its own end
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// ledger is an upstream that counts requests, by body.
type ledger struct {
	mu    sync.Mutex
	times map[string]int
	gate  chan struct{} // closed: calls go through
}

func newLedger(t *testing.T) (*ledger, string) {
	t.Helper()
	g := &ledger{times: map[string]int{}, gate: make(chan struct{})}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		<-g.gate
		g.mu.Lock()
		defer g.mu.Unlock()
		g.times[string(b)]++
		if strings.HasPrefix(string(b), "bad") {
			w.WriteHeader(http.StatusConflict)
		}
	}))
	t.Cleanup(s.Close)
	return g, s.Listener.Addr().String()
}

func (g *ledger) count() (calls, twice int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, n := range g.times {
		calls++
		if n > 1 {
			twice++
		}
	}
	return calls, twice
}

func withKafka(c *kafkatest.Cluster, targets string) string {
	return "asyncBrokers: [" + strings.Join(c.Brokers(), ",") + "]\ntargets:\n" + targets
}

func TestServer_makesCallsLaterAndPublishes(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"calls": 2, "orders": 1}})
	up, address := newLedger(t)
	close(up.gate)
	l := start(t, withKafka(c, aTarget("crm", address, ", async: {topic: calls}")+"  - {name: orders, protocol: kafka, kafka: {topic: orders}}\n"))
	for _, body := range []string{"good", "bad"} {
		if code, answer := l.later(t, "crm/a", body); code != 202 || !strings.Contains(answer, `"id"`) {
			t.Errorf("%d %s", code, answer)
		}
	}
	if code, answer := l.later(t, "orders", "x"); code != 200 || answer != `{"topic":"orders","partition":0,"offset":0}`+"\n" {
		t.Errorf("%d %s", code, answer)
	}
	l.shows(
		`fiso_link_requests_total{method="POST",mode="async",status="202",target="crm"} 2`, `fiso_link_requests_total{method="POST",mode="delivery",status="200",target="crm"} 1`,
		`fiso_link_requests_total{method="POST",mode="delivery",status="409",target="crm"} 1`, `fiso_link_requests_total{method="POST",mode="publish",status="200",target="orders"} 1`,
		`fiso_link_dlq_total{code="SINK_REJECTED",target="crm"} 1`, `fiso_link_async_held{target="crm"} 0`, `fiso_link_consumer_lag{partition="0",target="crm"} 0`, `fiso_link_consumer_lag{partition="1",target="crm"} 0`,
	)
	if code, body := get(t, "http://"+l.admin+"/readyz?verbose"); code != 200 || !strings.Contains(body, "[ok] accepted calls of crm") {
		t.Errorf("%d %s", code, body)
	}
}

// While a target with calls in flight is changed, nothing is lost, no call is made
// twice, and calls are accepted.
func TestServer_swapsTheWorkerOfAChangedTarget(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"calls": 2}})
	up, address := newLedger(t)
	version := func(n int) string {
		return withKafka(c, aTarget("crm", address, fmt.Sprintf(", headers: {set: {X-V: '%d'}}, async: {topic: calls, maxInFlight: 4}", n)))
	}
	close(up.gate)
	l := start(t, version(0))
	total := 0
	accept := func(n int) {
		for range n {
			total++
			if code, answer := l.later(t, "crm/a", fmt.Sprint("call ", total)); code != 202 {
				t.Fatal(code, answer)
			}
		}
	}
	accept(50)
	l.write(version(1))
	l.shows(`fiso_link_reloads_total{status="success"} 1`)
	accept(50)
	l.write(version(2))
	accept(50)
	eventually(t, "all calls", func() bool { n, _ := up.count(); return n == total })
	l.shows(`fiso_link_consumer_lag{partition="0",target="crm"} 0`, `fiso_link_consumer_lag{partition="1",target="crm"} 0`)
	if _, twice := up.count(); twice > 0 {
		t.Errorf("%d calls were made twice", twice)
	}
}

// A stop lets calls in flight finish, and the next start continues from there.
func TestServer_stopsAndGoesOn(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"calls": 1}})
	up, address := newLedger(t)
	close(up.gate)
	targets := withKafka(c, aTarget("crm", address, ", async: {topic: calls}"))
	l := start(t, targets)
	for i := range 200 {
		if code, answer := l.later(t, "crm/a", fmt.Sprint("call ", i)); code != 202 {
			t.Fatal(code, answer)
		}
	}
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	start(t, targets)
	eventually(t, "all calls", func() bool { n, _ := up.count(); return n == 200 })
	if _, twice := up.count(); twice > 0 {
		t.Errorf("%d calls were made twice", twice)
	}
}

func TestServer_aTargetThatGoesTakesItsWorkerAlong(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"calls": 1}})
	_, address := newLedger(t)
	l := start(t, withKafka(c, aTarget("crm", address, ", async: {topic: calls}")))
	l.shows(`fiso_link_async_held{target="crm"} 0`)
	l.write("targets: []\n")
	eventually(t, "the worker to be gone", func() bool {
		_, metrics := get(t, "http://"+l.admin+"/metrics")
		return !strings.Contains(metrics, "fiso_link_async_held{")
	})
}

func TestCheck_triesTheTopicsOfATarget(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"calls": 1, "answers": 1, "orders": 1}})
	up := upstream(t, "a")
	for name, test := range map[string]struct {
		targets string
		steps   []string // the last one fails where it begins with "!"
	}{
		"async":            {aTarget("x", up, ", async: {topic: calls, replyTopic: answers}"), []string{"Kafka: topic calls", "Kafka: consumer group fiso-link-x", "Kafka: topic answers", "OPTIONS /"}},
		"no topic":         {aTarget("x", up, ", async: {topic: missing}"), []string{"!Kafka: topic missing", "OPTIONS /"}},
		"no reply topic":   {aTarget("x", up, ", async: {topic: calls, replyTopic: missing}"), []string{"Kafka: topic calls", "!Kafka: topic missing"}},
		"publishing":       {"  - {name: x, protocol: kafka, kafka: {topic: orders}}\n", []string{"Kafka: topic orders"}},
		"nothing to go to": {"  - {name: x, protocol: kafka, kafka: {topic: missing}}\n", []string{"!Kafka: topic missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := spec.Parse("c.yaml", []byte(withKafka(c, test.targets)))
			if err != nil {
				t.Fatal(err)
			}
			steps, err := Check(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]bool{}
			for _, s := range steps {
				got[s.Name] = s.Err == nil
			}
			for _, want := range test.steps {
				bare := strings.TrimPrefix(want, "!")
				if ok, tried := got[bare]; !tried || ok != (bare == want) {
					t.Errorf("%s: tried %v, ok %v; all: %v", bare, tried, ok, steps)
				}
			}
		})
	}
}

func TestTargetSet_buildsNothingWithoutCertificatesThatAreThere(t *testing.T) {
	for name, targets := range map[string]string{"async": aTarget("x", "a:1", ", async: {topic: calls}"), "publishing": "  - {name: x, protocol: kafka, kafka: {topic: orders}}\n"} {
		cfg, err := spec.Parse("c.yaml", []byte("asyncBrokers: [a:1]\nasyncTLS: {caFile: /nowhere/ca.pem}\ntargets:\n"+targets))
		if err != nil {
			t.Fatal(err)
		}
		steps, err := Check(t.Context(), cfg)
		if err != nil || len(steps) != 1 || steps[0].Err == nil || !strings.Contains(steps[0].Err.Error(), "/nowhere/ca.pem") {
			t.Errorf("%s: %v, %v", name, steps, err)
		}
	}
}

func TestSameBrokers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := func() kafka.ClientConfig {
		return kafka.ClientConfig{Brokers: config.Strings{"a:1"}, SASL: kafka.SASLConfig{Mechanism: "PLAIN", Username: "u", Password: config.NewSecret("p")}}
	}
	read := base()
	if _, err := read.SASL.Password.Reveal(); err != nil {
		t.Fatal(err)
	}
	if !sameBrokers(base(), read) {
		t.Error("a secret that was read is another one")
	}
	for name, change := range map[string]func(*kafka.ClientConfig){
		"brokers":   func(c *kafka.ClientConfig) { c.Brokers = config.Strings{"b:1"} },
		"tls":       func(c *kafka.ClientConfig) { c.TLS.Enabled = true },
		"mechanism": func(c *kafka.ClientConfig) { c.SASL.Mechanism = "SCRAM-SHA-256" },
		"password":  func(c *kafka.ClientConfig) { c.SASL.Password = config.NewSecret("q") },
		"a file":    func(c *kafka.ClientConfig) { c.SASL.Password = config.SecretFile(file) },
	} {
		c := base()
		change(&c)
		if sameBrokers(base(), c) {
			t.Errorf("%s: it is the same", name)
		}
	}
	one, two := base(), base()
	one.SASL.Password, two.SASL.Password = config.SecretFile(file), config.SecretFile(file)
	if !sameBrokers(one, two) {
		t.Error("the same file is another one")
	}
}

// A worker that fails is logged, and the rest of fiso-link continues.
func TestTargetEntry_saysThatItsWorkerFailed(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"calls": 1}})
	_, address := newLedger(t)
	cfg, err := spec.Parse("c.yaml", []byte(withKafka(c, aTarget("crm", address, ", async: {topic: calls}"))))
	if err != nil {
		t.Fatal(err)
	}
	l := &link{t: t}
	r := newTargetSet(l)
	if err := r.replace(cfg, nil); err != nil {
		t.Fatal(err)
	}
	e := r.entries["crm"]
	ran, stop := context.WithCancel(t.Context())
	stop()
	if err := e.worker.Run(ran); err != nil {
		t.Fatal(err)
	}
	r.startWorkers() // a worker can run only once
	<-e.workerDone
	r.stop()
	if !strings.Contains(l.log.String(), "worker failed") {
		t.Error(l.log.String())
	}
}

func newTargetSet(l *link) *targetSet {
	nobody := func(string, string) {}
	return &targetSet{log: slog.New(slog.NewTextHandler(&l.log, nil)), dns: discovery.SystemDNS(), refreshed: nobody, onDeadLetter: nobody, onUnwritten: nobody, onGap: func(string) {}}
}

// F7: accepted calls that Kafka deleted before they were made are counted and logged.
// https://github.com/confluentinc/parallel-consumer/issues/409
func TestF7_callsThatKafkaDeletedAreCounted(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"calls": 1}})
	up, address := newLedger(t)
	close(up.gate)
	targets := withKafka(c, aTarget("crm", address, ", async: {topic: calls}"))
	l := start(t, targets)
	if code, answer := l.later(t, "crm/a", "made"); code != 202 {
		t.Fatal(code, answer)
	}
	eventually(t, "the call", func() bool { n, _ := up.count(); return n == 1 })
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	if err := c.Produce(t.Context(), &kgo.Record{Topic: "calls"}, &kgo.Record{Topic: "calls"}); err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers()...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	before := kadm.Offsets{}
	before.AddOffset("calls", 0, 3, -1)
	if _, err := kadm.NewClient(cl).DeleteRecords(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	l = start(t, targets)
	l.shows(`fiso_link_source_gaps_total{target="crm"} 1`)
	if code, body := get(t, "http://"+l.admin+"/readyz?verbose"); code != 200 || !strings.Contains(body, "the broker no longer has offset 1") {
		t.Errorf("%d %s", code, body)
	}
}

// Dead letters that cannot be written are reported, and leave the Pod in service.
func TestServer_saysWhatItHolds(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"calls": 1}})
	for _, topic := range []string{"calls-dlq", "answers"} {
		if err := c.CreateTopic(t.Context(), topic, 1, map[string]string{"max.message.bytes": "1"}); err != nil {
			t.Fatal(err)
		}
	}
	up, address := newLedger(t)
	close(up.gate)
	l := start(t, withKafka(c, aTarget("crm", address, ", async: {topic: calls, replyTopic: answers}")))
	for _, body := range []string{"good", "bad"} {
		if code, answer := l.later(t, "crm/a", body); code != 202 {
			t.Fatal(code, answer)
		}
	}
	metrics := l.shows(`fiso_link_async_held{target="crm"} 2`, `fiso_link_dlq_failures_total{target="crm"}`, `fiso_link_reply_failures_total{target="crm"}`)
	if strings.Contains(metrics, "fiso_link_dlq_total{") {
		t.Error("it counts a dead letter that was not written")
	}
	if code, body := get(t, "http://"+l.admin+"/readyz?verbose"); code != 200 || !strings.Contains(body, "[degraded] accepted calls of crm: 1 call(s) held because their dead letter cannot be written") {
		t.Errorf("%d %s", code, body)
	}
}
