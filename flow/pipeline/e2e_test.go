package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/lsm/fiso/delivery/deadletter"
	"github.com/lsm/fiso/flow/plan"
)

func TestFlow_deliversFiltersAndKeepsDeadLetters(t *testing.T) {
	in := prepare(t)
	in.put("orders.yaml", in.flow("orders", `filter: data.region == "eu"
transform: {cel: '{"order_id": data.legacy_id}'}
errorHandling: {maxRetries: 1, initialInterval: 1ms, maxInterval: 2ms}`))
	in.start(Options{})
	in.service.answers(func(body string) int {
		switch {
		case strings.Contains(body, "refused"):
			return 422
		case strings.Contains(body, "failing"):
			return 500
		}
		return 200
	})
	in.produce("orders", "k", `{"region":"eu","legacy_id":"o-1"}`)
	in.produce("orders", "k", `{"region":"us","legacy_id":"o-2"}`)
	in.produce("orders", "k", `no json`, kgo.RecordHeader{Key: "own", Value: []byte("kept")})
	in.produce("orders", "k", `{"region":"eu","legacy_id":"refused"}`)
	in.produce("orders", "k", `{"region":"eu","legacy_id":"failing"}`)
	in.produce("orders", "k", `{"region":"eu"}`)
	in.produce("orders", "k", `{"region":"eu","legacy_id":"o-7"}`)
	in.until("all to be settled and committed", func() bool { return in.committed() == 7 })

	if in.service.all() != 2 || in.service.got(`"order_id":"o-1"`) != 1 || in.service.got(`"order_id":"o-7"`) != 1 {
		t.Errorf("delivered: %v", in.service.bodies)
	}
	letters, err := in.kafka.Records(t.Context(), "fiso-dlq-orders")
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, l := range letters {
		head := map[string]string{}
		for _, h := range l.Headers {
			head[h.Key] = string(h.Value)
		}
		codes = append(codes, head["fiso-error-code"])
		if head["fiso-original-topic"] != "orders" || head["fiso-flow-name"] != "orders" || head["fiso-original-offset"] == "" || string(l.Key) != "k" {
			t.Errorf("headers = %v", head)
		}
		if string(l.Value) == "no json" && head["own"] != "kept" {
			t.Errorf("the record's own headers are gone: %v", head)
		}
	}
	if got := strings.Join(codes, " "); got != "DECODE_FAILED SINK_REJECTED SINK_DELIVERY_FAILED TRANSFORM_FAILED" {
		t.Errorf("dead letters: %s", got)
	}
	for _, c := range []struct {
		name   string
		labels map[string]string
		want   float64
	}{
		{"fiso_flow_events_total", map[string]string{"flow": "orders", "status": "delivered"}, 2},
		{"fiso_flow_events_total", map[string]string{"flow": "orders", "status": "filtered"}, 1},
		{"fiso_flow_events_total", map[string]string{"flow": "orders", "status": "dead_lettered"}, 4},
		{"fiso_flow_event_duration_seconds", map[string]string{"flow": "orders", "phase": "total"}, 7},
		{"fiso_flow_transform_errors_total", map[string]string{"flow": "orders", "error_type": "DECODE_FAILED"}, 1},
		{"fiso_flow_transform_errors_total", map[string]string{"flow": "orders", "error_type": "TRANSFORM_FAILED"}, 1},
		{"fiso_flow_dlq_total", map[string]string{"flow": "orders"}, 4},
		{"fiso_flow_sink_delivery_errors_total", map[string]string{"flow": "orders"}, 3},
		{"fiso_flow_retries_total", map[string]string{"flow": "orders"}, 1},
		{"fiso_flow_in_flight", map[string]string{"flow": "orders"}, 0},
		{"fiso_flow_config_valid", map[string]string{"flow": "orders"}, 1},
	} {
		if got := in.metric(c.name, c.labels); got != c.want {
			t.Errorf("%s%v = %v, not %v", c.name, c.labels, got, c.want)
		}
	}
	in.until("no lag", func() bool {
		return in.metric("fiso_flow_consumer_lag", map[string]string{"flow": "orders", "partition": "0"}) == 0
	})
	if r := in.sup.Report(); !r.Ready {
		t.Errorf("report = %+v", r)
	}
	in.stop()
	if in.metric("fiso_flow_consumer_lag", map[string]string{"flow": "orders", "partition": "0"}) != -1 {
		t.Error("the lag of a flow that stopped is still shown")
	}
}

// U7: records that the filter excludes make no dead letters, even in formats that the flow cannot
// decode.
func TestFlow_filtersWhatIsNoJSON(t *testing.T) {
	in := prepare(t)
	in.put("orders.yaml", in.flow("orders", `filter: headers.?kind.orValue("") == "order" && data != null && data.region == "eu"
transform: {cel: '{"order_id": string(data.id)}'}`))
	in.start(Options{})
	order := kgo.RecordHeader{Key: "kind", Value: []byte("order")}
	in.produce("orders", "k", "\x00\x00\x00\x00\x07\x02\x08", kgo.RecordHeader{Key: "kind", Value: []byte("avro")})
	in.produce("orders", "k", "plain text")
	if err := in.kafka.Produce(t.Context(), &kgo.Record{Topic: "orders", Key: []byte("k"), Headers: []kgo.RecordHeader{order}}); err != nil {
		t.Fatal(err)
	}
	in.produce("orders", "k", `{"region":"us","id":1}`, order)
	in.produce("orders", "k", `{"region":"eu","id":12345678901234567890123}`, order)
	in.until("all to be settled and committed", func() bool { return in.committed() == 5 })
	if in.service.all() != 1 || in.service.got(`"order_id":"12345678901234567890123"`) != 1 {
		t.Errorf("delivered: %v", in.service.bodies)
	}
	for status, want := range map[string]float64{"filtered": 4, "delivered": 1, "dead_lettered": 0} {
		if got := max(in.metric("fiso_flow_events_total", map[string]string{"flow": "orders", "status": status}), 0); got != want {
			t.Errorf("%v are %s, not %v", got, status, want)
		}
	}
	in.stop()
}

// 3.6: if only transform or sink changed, the consumer stays in its group.
func TestReload_ofTheTransformMovesNoPartitionAndLosesNothing(t *testing.T) {
	in := prepare(t)
	in.put("orders.yaml", in.flow("orders", `transform: {cel: '{"v": 1, "n": data.n}'}`))
	in.start(Options{})
	in.produce("orders", "k", `{"n":"first"}`)
	in.until("the first", func() bool { return in.service.all() == 1 })
	joined := strings.Count(in.log.String(), "assigned")

	const versions, each = 5, 40
	for v := 2; v < 2+versions; v++ {
		for n := range each {
			in.produce("orders", fmt.Sprint(n%7), fmt.Sprintf(`{"n":"%d-%d."}`, v, n))
		}
		in.put("orders.yaml", in.flow("orders", fmt.Sprintf(`transform: {cel: '{"v": %d, "n": data.n}'}`, v)))
		in.reloaded(float64(v - 1))
	}
	in.produce("orders", "k", `{"n":"last"}`)
	in.until("all", func() bool { return in.service.all() >= 2+versions*each })
	for v := 2; v < 2+versions; v++ {
		for n := range each {
			if got := in.service.got(fmt.Sprintf(`"%d-%d."`, v, n)); got != 1 {
				t.Fatalf("event %d-%d arrived %d times", v, n, got)
			}
		}
	}
	if in.service.got(`{"v":6,"n":"last"}`)+in.service.got(`{"n":"last","v":6}`) != 1 {
		t.Errorf("the last event was not made by the last version: %v", in.service.bodies[len(in.service.bodies)-1])
	}
	if now := strings.Count(in.log.String(), "assigned"); now != joined {
		t.Errorf("partitions were assigned %d times more", now-joined)
	}
	if strings.Count(in.log.String(), "flow started") != 1 {
		t.Error("the flow was started again")
	}
}

func TestReload_ofTheSourceGoesOnWhereTheOldOneCommitted(t *testing.T) {
	in := prepare(t)
	in.put("orders.yaml", in.flow("orders", "delivery: {maxInFlight: 8}"))
	in.start(Options{})
	const each = 50
	for v := range 3 {
		for n := range each {
			in.produce("orders", "", fmt.Sprintf(`{"n":"%d-%d."}`, v, n))
		}
		in.put("orders.yaml", in.flow("orders", fmt.Sprintf("delivery: {maxInFlight: %d}", 9+v)))
		in.reloaded(float64(v + 1))
	}
	in.until("all", func() bool { return in.service.all() >= 3*each })
	for v := range 3 {
		for n := range each {
			if got := in.service.got(fmt.Sprintf(`"%d-%d."`, v, n)); got != 1 {
				t.Errorf("event %d-%d arrived %d times", v, n, got)
			}
		}
	}
	in.put("orders.yaml", in.flow("other", ""))
	in.reloaded(4)
	in.produce("other", "", `{"n":"elsewhere"}`)
	in.until("the other topic", func() bool { return in.service.got("elsewhere") == 1 })
}

// F13: a reload works while the sink hangs or fails, which is when users need it.
// https://github.com/vectordotdev/vector/issues/24125 and #15952
func TestReload_worksWhileTheSinkDoesNot(t *testing.T) {
	in := prepare(t)
	broken := newService(t)
	hangs, release := make(chan struct{}, 1), make(chan struct{})
	broken.answers(func(body string) int {
		if strings.Contains(body, "hangs") {
			hangs <- struct{}{}
			<-release
		}
		return 503
	})
	defer close(release)
	const settings = "delivery: {drainTimeout: 200ms}\nerrorHandling: {initialInterval: 1ms, maxInterval: 10ms}"
	in.put("orders.yaml", strings.Replace(in.flow("orders", settings), in.service.URL, broken.URL, 1))
	in.start(Options{})
	in.produce("orders", "h", `{"n":"hangs"}`)
	<-hangs
	for n := range 10 {
		in.produce("orders", fmt.Sprint(n), fmt.Sprintf(`{"n":"fails-%d."}`, n))
	}
	in.until("retries", func() bool {
		return in.metric("fiso_flow_retries_total", map[string]string{"flow": "orders"}) >= 10
	})
	in.put("orders.yaml", in.flow("orders", settings))
	in.until("all at the new sink", func() bool { return in.service.all() == 11 && in.service.got("hangs") == 1 })
	in.until("the commit", func() bool { return in.committed() == 11 })
	if in.metric("fiso_flow_dlq_total", map[string]string{"flow": "orders"}) != 0 {
		t.Error("the failing sink's events became dead letters")
	}
}

func TestReload_thatIsNotValidKeepsTheFlowAndSaysWhere(t *testing.T) {
	in := prepare(t)
	in.put("orders.yaml", in.flow("orders", ""))
	in.start(Options{})
	in.put("orders.yaml", in.flow("orders", "transform: {cel: 'dta.x'}"))
	in.until("a note", func() bool { return len(in.sup.Report().Notes) == 1 })
	if note := in.sup.Report().Notes[0]; !strings.Contains(note, "orders.yaml:8:19") || !strings.Contains(note, "dta") {
		t.Errorf("note = %s", note)
	}
	if in.metric("fiso_flow_config_valid", map[string]string{"flow": "orders"}) != 0 {
		t.Error("the metric says that the file is valid")
	}
	in.produce("orders", "", `{"n":"on"}`)
	in.until("the event", func() bool { return in.service.got("on") == 1 })
}

func TestPause_fetchesNothingAndGoesOn(t *testing.T) {
	in := prepare(t)
	in.put("orders.yaml", in.flow("orders", ""))
	in.start(Options{})
	in.produce("orders", "", `{"n":"one"}`)
	in.until("the first", func() bool { return in.service.all() == 1 })
	in.put("orders.yaml", in.flow("orders", "paused: true"))
	in.reloaded(1)
	if got := in.committed(); got != 1 {
		t.Errorf("committed %d", got)
	}
	in.produce("orders", "", `{"n":"two"}`)
	r := in.sup.Report()
	if !r.Ready || r.Flows[0].Phase != "paused" || in.service.all() != 1 {
		t.Errorf("report = %+v, delivered %d", r, in.service.all())
	}
	in.put("orders.yaml", in.flow("orders", ""))
	in.until("the second", func() bool { return in.service.got("two") == 1 })
	if in.service.got("one") != 1 {
		t.Error("the first came again")
	}
}

func TestTrace_goesFromTheRecordToTheSink(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	t.Cleanup(func() {
		if err := provider.Shutdown(t.Context()); err != nil {
			t.Log(err)
		}
	})
	in := prepare(t)
	in.put("orders.yaml", in.flow("orders", ""))
	in.start(Options{Tracing: provider})
	const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	in.produce("orders", "", `{"n":1}`, kgo.RecordHeader{Key: "traceparent", Value: []byte("00-" + trace + "-" + parent + "-01")})
	in.until("the event", func() bool { return in.service.all() == 1 })
	in.until("the spans", func() bool { return len(spans.GetSpans()) >= 2 })

	got := strings.Split(in.service.heads[0].Get("traceparent"), "-")
	if len(got) != 4 || got[1] != trace || got[2] == parent {
		t.Fatalf("traceparent at the sink: %v", got)
	}
	byID := map[string]tracetest.SpanStub{}
	for _, s := range spans.GetSpans() {
		byID[s.SpanContext.SpanID().String()] = s
	}
	send, ok := byID[got[2]]
	if !ok {
		t.Fatalf("the sink was given a span that nobody recorded: %s", got[2])
	}
	process, ok := byID[send.Parent.SpanID().String()]
	if !ok || process.Parent.SpanID().String() != parent || !process.Parent.IsRemote() {
		t.Errorf("spans are no chain from the record: %s under %s under %s", send.Name, process.Name, process.Parent.SpanID())
	}
}

// During a reload, two versions of a flow share the dead letter file.
func TestHTTPSource_answersOnceSettledAndKeepsDeadLettersInAFile(t *testing.T) {
	in := prepare(t)
	port := freePort(t)
	path := filepath.Join(t.TempDir(), "dead.jsonl")
	text := func(more string) string {
		return fmt.Sprintf(`name: orders
source: {type: http, config: {listen: "%s", path: /in}}
sink: {type: http, config: {url: %q}}
errorHandling: {stopTheLine: {consecutive: 0}, deadLetter: {type: file, config: {path: %q}}}
%s
`, port, in.service.URL, path, more)
	}
	in.put("orders.yaml", text(""))
	in.start(Options{})
	in.service.answers(func(body string) int {
		if strings.Contains(body, "bad") {
			return 400
		}
		return 200
	})
	client := &http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	post := func(body string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+port+"/in", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		r, err := client.Do(req)
		if err != nil {
			return 0 // not listening yet
		}
		defer func() { _ = r.Body.Close() }()
		_, _ = io.Copy(io.Discard, r.Body)
		return r.StatusCode
	}
	in.until("the port", func() bool { return post(`{"n":"good"}`)/100 == 2 })
	for v := range 5 {
		if status := post(fmt.Sprintf(`{"n":"bad-%d"}`, v)); status/100 != 2 {
			t.Errorf("a stored dead letter is answered with %d", status)
		}
		in.put("orders.yaml", text(fmt.Sprintf("transform: {fields: {v: '%d', n: data.n}}", v)))
		in.reloaded(float64(v + 1))
	}
	in.put("orders.yaml", strings.Replace(text(""), "path: /in", "path: /in, maxRequests: 7", 1)) // another source
	in.reloaded(6)
	in.until("the port", func() bool { return post(`{"n":"bad-5"}`)/100 == 2 })
	in.stop()
	n := 0
	for l, err := range deadletter.ReadFile(path) {
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf(`{"n":"bad-%d"}`, n); string(l.Message.Value) != want {
			t.Errorf("letter %d: %s", n, l.Message.Value)
		}
		n++
	}
	if n != 6 {
		t.Errorf("%d dead letters", n)
	}
}

func TestStdoutSink_printsEachEventAsALine(t *testing.T) {
	var printed log
	in := prepare(t)
	text := in.flow("orders", "")
	text = text[:strings.Index(text, "sink:")] + "sink: {type: stdout}\n"
	in.put("orders.yaml", text)
	in.start(Options{Stdout: &printed})
	in.produce("orders", "k", `{"n":1}`)
	in.until("the line", func() bool { return strings.Contains(printed.String(), "\n") })
	var e map[string]any
	if err := json.Unmarshal(bytes.TrimSpace([]byte(printed.String())), &e); err != nil || e["id"] != "orders-0-0" || e["source"] != "fiso-flow/orders" || e["subject"] != "k" {
		t.Errorf("%v: %s", err, printed.String())
	}
}

func TestSupervisor_refusesAFlowWhosePartsCannotBeBuilt(t *testing.T) {
	in := prepare(t)
	text := fmt.Sprintf("name: a\nsource: {type: http, config: {listen: '127.0.0.1:0'}}\nsink: {type: stdout}\nerrorHandling: {deadLetter: {type: file, config: {path: %q}}}\n", filepath.Join(in.dir, "no", "such", "dir"))
	l := NewLoader(Options{})
	d, err := l.Load("a.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Build(); err == nil || !strings.Contains(err.Error(), "build the dead letter queue") {
		t.Errorf("error = %v", err)
	}
	if _, err := l.Load("a.yaml", []byte("x: 1")); err == nil {
		t.Error("a file without a flow passes")
	}
}

func TestCheck_saysWhichStepFails(t *testing.T) {
	in := prepare(t)
	b, err := plan.Parse("a.yaml", []byte(in.flow("orders", "")))
	if err != nil {
		t.Fatal(err)
	}
	if err := in.kafka.Commit(t.Context(), "g", "orders", 0, 0); err != nil {
		t.Fatal(err)
	}
	env := NewLoader(Options{}).Env()
	checks := b.Check(t.Context(), env)
	if len(checks) != 3 || checks[0].Part != "source" || checks[2].Part != "dead letters" {
		t.Fatalf("checks = %+v", checks)
	}
	for _, c := range checks {
		if c.Failed() || len(c.Steps) == 0 {
			t.Errorf("%s: %+v", c.Part, c.Steps)
		}
	}
	if steps := checks[2].Steps; !strings.Contains(steps[len(steps)-2].Name, "the first record creates it") || !strings.HasPrefix(steps[len(steps)-1].Name, "partition leaders: broker ") {
		t.Errorf("steps = %+v", steps)
	}
	if b, err = plan.Parse("a.yaml", []byte(in.flow("missing", ""))); err != nil {
		t.Fatal(err)
	}
	in.service.Close()
	checks = b.Check(t.Context(), env)
	if !checks[0].Failed() || !checks[1].Failed() || checks[2].Failed() {
		t.Errorf("checks = %+v", checks)
	}
}

// freePort returns a loopback address on which nothing listens.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return addr
}
