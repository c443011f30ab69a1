package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lsm/fiso/delivery/deadletter"
)

// flowOf returns a flow from Kafka to these sinks, followed by more.
func (in *instance) flowOf(sinks, more string) string {
	return fmt.Sprintf(`name: orders
source:
  type: kafka
  config: {brokers: %q, topic: orders, consumerGroup: g, startOffset: earliest, commitInterval: 50ms}
errorHandling: {maxRetries: 1, initialInterval: 1ms, maxInterval: 20ms}
sinks:
%s
%s
`, strings.Join(in.kafka.Brokers(), ","), sinks, more)
}

func (in *instance) sinkEvents(sink, status string) float64 {
	in.t.Helper()
	return in.metric("fiso_flow_sink_events_total", map[string]string{"flow": "orders", "sink": sink, "status": status})
}

// 3.9: a sink that is down holds its own events and stops no other sink. The event is settled
// exactly when all sinks that took it are done.
func TestSinks_oneThatIsAwayStopsNoOther(t *testing.T) {
	in := prepare(t)
	audit := newService(t)
	audit.answers(func(string) int { return 503 })
	in.put("orders.yaml", in.flowOf(fmt.Sprintf(`  - {name: ledger, type: http, config: {url: %q}}
  - {name: audit, when: data.n > 1, type: http, config: {url: %q}}
  - {name: archive, type: kafka, config: {brokers: %q, topic: other}}`, in.service.URL, audit.URL, strings.Join(in.kafka.Brokers(), ",")), "routing: all"))
	in.start(Options{})
	const events = 6
	for n := range events {
		in.produce("orders", "k", fmt.Sprintf(`{"n":%d}`, n))
	}
	in.until("the ledger to have all", func() bool { return in.service.all() == events })
	in.until("the archive to have all", func() bool { return in.sinkEvents("archive", "delivered") == events })
	in.until("the flow to name the sink", func() bool {
		r := in.sup.Report()
		return !r.Ready && strings.Contains(r.Flows[0].Problem, "sink audit: ") && !strings.Contains(r.Flows[0].Problem, "sink ledger")
	})
	in.until("what audit has nothing to do with to be committed", func() bool { return in.committed() == 2 })
	if in.metric("fiso_flow_sink_errors_total", map[string]string{"flow": "orders", "sink": "audit", "class": "unavailable"}) < 1 {
		t.Error("no error of the sink is counted")
	}
	audit.answers(nil)
	in.until("all to be settled", func() bool { return in.committed() == events })
	if in.service.all() != events || audit.all() != events-2 || in.sinkEvents("audit", "delivered") != events-2 {
		t.Errorf("ledger %d, audit %d", in.service.all(), audit.all())
	}
	if n := in.metric("fiso_flow_dlq_total", map[string]string{"flow": "orders"}); n != 0 {
		t.Errorf("%v dead letters of an outage", n)
	}
	if n := in.metric("fiso_flow_events_total", map[string]string{"flow": "orders", "status": "delivered"}); n != events {
		t.Errorf("%v delivered", n)
	}
	in.until("to be ready", func() bool { return in.sup.Report().Ready })
}

// A dead letter belongs to one sink and its place. When it is put back, it goes only to that sink.
func TestSinks_aReplayedDeadLetterTouchesNoOther(t *testing.T) {
	in := prepare(t)
	audit := newService(t)
	audit.answers(func(body string) int {
		if strings.Contains(body, "bad") {
			return 422
		}
		return 200
	})
	in.put("orders.yaml", in.flowOf(fmt.Sprintf(`  - {name: ledger, type: http, config: {url: %q}}
  - {name: audit, type: http, config: {url: %q}, errorHandling: {deadLetterTopic: audit-dlq}}`, in.service.URL, audit.URL), "routing: all"))
	in.start(Options{})
	in.produce("orders", "k", `{"n":"bad"}`)
	in.produce("orders", "k", `{"n":"good"}`)
	in.until("all to be settled", func() bool { return in.committed() == 2 })
	letters, err := in.kafka.Records(t.Context(), "audit-dlq")
	if err != nil || len(letters) != 1 || in.service.all() != 2 || audit.all() != 1 {
		t.Fatalf("%d letters, %v; ledger %d, audit %d", len(letters), err, in.service.all(), audit.all())
	}
	letter := letters[0]
	if !slices.ContainsFunc(letter.Headers, func(h kgo.RecordHeader) bool { return h.Key == "fiso-sink" && string(h.Value) == "audit" }) {
		t.Errorf("headers %v", letter.Headers)
	}
	if n := in.sinkEvents("audit", "dead_lettered"); n != 1 {
		t.Errorf("%v dead letters of audit", n)
	}
	audit.answers(nil)
	in.produce("orders", "k", string(letter.Value), append(letter.Headers, kgo.RecordHeader{Key: deadletter.HeaderReplays, Value: []byte("1")})...)
	in.until("the replay to be settled", func() bool { return in.committed() == 3 })
	if in.service.all() != 2 || audit.got("bad") != 1 {
		t.Errorf("ledger %d, audit %d", in.service.all(), audit.got("bad"))
	}
}

func TestSinks_theFirstThatTakesAnEventGetsIt(t *testing.T) {
	in := prepare(t)
	other := newService(t)
	in.put("orders.yaml", in.flowOf(fmt.Sprintf(`  - {name: eu, when: data.region == "eu", type: http, config: {url: %q, mode: binary, eventHeaders: {X-Customer: data.customer, X-None: 'null', X-Id: id}}}
  - {name: us, when: data.region != "xx", type: http, config: {url: %q}}`, in.service.URL, other.URL), ""))
	in.start(Options{})
	in.produce("orders", "a", `{"region":"eu","customer":"c-1"}`)
	in.produce("orders", "b", `{"region":"us"}`)
	in.produce("orders", "c", `{"region":"xx"}`)
	in.produce("orders", "d", `{"customer":"without a region"}`)
	in.produce("orders", "e", `{"region":"eu","customer":"a\nb"}`)
	in.until("all to be settled", func() bool { return in.committed() == 5 })
	if in.service.all() != 1 || other.all() != 1 {
		t.Errorf("eu %d, us %d", in.service.all(), other.all())
	}
	head := in.service.heads[0]
	if head.Get("X-Customer") != "c-1" || head.Get("X-Id") != head.Get("Ce-Id") || len(head.Values("X-None")) != 0 {
		t.Errorf("headers %v", head)
	}
	for status, want := range map[string]float64{"delivered": 2, "unrouted": 1, "dead_lettered": 2} {
		if n := in.metric("fiso_flow_events_total", map[string]string{"flow": "orders", "status": status}); n != want {
			t.Errorf("%v are %s, not %v", n, status, want)
		}
	}
	letters, err := in.kafka.Records(t.Context(), "fiso-dlq-orders")
	if err != nil || len(letters) != 2 {
		t.Fatalf("%d letters, %v", len(letters), err)
	}
	var codes []string
	for _, l := range letters {
		for _, h := range l.Headers {
			if h.Key == "fiso-error-code" || h.Key == "fiso-error-message" {
				codes = append(codes, string(h.Value))
			}
		}
	}
	if got := strings.Join(codes, "; "); !strings.Contains(got, "TRANSFORM_FAILED; sinks[0].when: no such field: data.region") ||
		!strings.Contains(got, "TRANSFORM_FAILED; POST "+in.service.URL+": compute header X-Customer: the value holds a line break") {
		t.Errorf("codes %s", got)
	}
}

// 3.1: the record is settled when all its events are. Each event has the same id on every
// delivery.
func TestSplit_settlesWhatBecameSeveralWhenAllAreDone(t *testing.T) {
	in := prepare(t)
	in.service.answers(func(body string) int {
		if strings.Contains(body, `"sku":"y"`) {
			return 503
		}
		return 200
	})
	in.put("orders.yaml", in.flow("orders", "transform: {split: data.lines, cel: '{\"sku\": data, \"order\": parent.id}'}\nerrorHandling: {initialInterval: 1ms, maxInterval: 5ms}\ndelivery: {ordering: none}"))
	in.start(Options{})
	in.produce("orders", "k", `{"id":"o","lines":["x","y","z"]}`)
	in.until("the others", func() bool { return in.service.all() == 2 })
	if at := in.committed(); at > 0 {
		t.Errorf("committed %d", at)
	}
	in.service.answers(nil)
	in.until("the commit", func() bool { return in.committed() == 1 })
	for n, sku := range []string{"x", "y", "z"} {
		if in.service.got(fmt.Sprintf(`"id":"orders-0-0#%d"`, n)) != 1 || in.service.got(fmt.Sprintf(`{"sku":%q,"order":"o"}`, sku)) != 1 {
			t.Errorf("%s: %v", sku, in.service.bodies)
		}
	}
}
