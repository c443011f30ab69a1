package pipeline

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lsm/fiso/delivery/deadletter"
	"github.com/lsm/fiso/flow/plan"
)

// F9: https://github.com/confluentinc/kafka-connect-jdbc/issues/1597. A dead letter that cannot be
// stored is held and reported, and nothing is committed. A reload with a working place lets the
// event continue.
func TestDeadLetter_thatCannotBeStoredIsHeldUntilAReloadHelps(t *testing.T) {
	in := prepare(t)
	in.service.answers(func(string) int { return 400 })
	away := "errorHandling: {deadLetter: {type: kafka, config: {brokers: '" + freePort(t) + "', dialTimeout: 50ms, deliveryTimeout: 1s}}}"
	in.put("orders.yaml", in.flow("orders", away))
	in.start(Options{})
	in.produce("orders", "k", `{"n":"bad"}`)
	in.until("the flow to say so", func() bool {
		r := in.sup.Report()
		return !r.Ready && strings.Contains(r.Flows[0].Problem, "1 event held")
	})
	if held := in.metric("fiso_flow_held_events", map[string]string{"flow": "orders"}); held != 1 {
		t.Errorf("held = %v", held)
	}
	if in.metric("fiso_flow_dlq_errors_total", map[string]string{"flow": "orders"}) < 1 || in.committed() > 0 {
		t.Errorf("committed %d", in.committed())
	}
	in.put("orders.yaml", in.flow("orders", ""))
	in.until("the commit", func() bool { return in.committed() == 1 })
	letters, err := in.kafka.Records(t.Context(), "fiso-dlq-orders")
	if err != nil || len(letters) != 1 {
		t.Errorf("letters = %v, %v", letters, err)
	}
	in.until("to be ready", func() bool { return in.sup.Report().Ready })
}

// One expired token must not send a whole topic to the dead letter queue (F11).
// https://github.com/vectordotdev/vector/issues/24543
func TestStopTheLine_isNotReadyAndGoesOnWithTheSink(t *testing.T) {
	in := prepare(t)
	in.service.answers(func(string) int { return 401 })
	in.put("orders.yaml", in.flow("orders", "errorHandling: {initialInterval: 10ms, maxInterval: 20ms, stopTheLine: {consecutive: 3}}"))
	in.start(Options{})
	for n := range 20 {
		in.produce("orders", fmt.Sprint(n), fmt.Sprintf(`{"n":%d}`, n))
	}
	in.until("the line to stop", func() bool {
		r := in.sup.Report()
		return !r.Ready && strings.Contains(r.Flows[0].Problem, "the line is stopped")
	})
	in.service.answers(nil)
	in.until("all to be settled", func() bool { return in.committed() == 20 })
	if n := in.metric("fiso_flow_dlq_total", map[string]string{"flow": "orders"}); n != 3 || in.service.all() != 17 {
		t.Errorf("%v dead letters, %d delivered", n, in.service.all())
	}
}

// F7: a gap in the offsets is counted and noted.
// https://github.com/confluentinc/parallel-consumer/issues/409
func TestGap_isCountedAndNoted(t *testing.T) {
	in := prepare(t)
	for n := range 10 {
		in.produce("orders", "", fmt.Sprintf(`{"n":"e-%d"}`, n))
	}
	if err := in.kafka.Commit(t.Context(), "g", "orders", 0, 2); err != nil {
		t.Fatal(err)
	}
	if err := in.kafka.DeleteRecords(t.Context(), "orders", 0, 6); err != nil {
		t.Fatal(err)
	}
	in.put("orders.yaml", in.flow("orders", ""))
	in.start(Options{})
	in.until("what is left", func() bool { return in.service.all() == 4 })
	if n := in.metric("fiso_flow_source_gaps_total", map[string]string{"flow": "orders"}); n != 1 {
		t.Errorf("%v gaps", n)
	}
	if notes := strings.Join(in.sup.Report().Flows[0].Notes, " "); !strings.Contains(notes, "no longer has offset 2") {
		t.Errorf("notes = %s", notes)
	}
}

// U36: A caller whose header value cannot be sent neither stops the flow of the others nor loses its
// event: the dead letter, the answer, the log and a later look at the dead letter name the same id.
func TestHTTPSource_aStrangerStopsNobodyAndFindsItsEventAgain(t *testing.T) {
	in := prepare(t)
	port, path := freePort(t), filepath.Join(t.TempDir(), "dead.jsonl")
	text := fmt.Sprintf(`name: orders
source: {type: http, config: {listen: "%s", path: /in}}
sink: {name: api, type: http, config: {url: %q, eventHeaders: {X-Tenant: data.tenant}}}
errorHandling: {stopTheLine: {consecutive: 1}, deadLetter: {type: file, config: {path: %q}}}
`, port, in.service.URL, path)
	in.put("orders.yaml", text)
	in.start(Options{})
	client := &http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	post := func(tenant string) (status int, id string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+port+"/in", strings.NewReader(fmt.Sprintf(`{"tenant":%q}`, tenant)))
		if err != nil {
			t.Fatal(err)
		}
		r, err := client.Do(req)
		if err != nil {
			return 0, "" // not listening yet
		}
		_ = r.Body.Close()
		return r.StatusCode, r.Header.Get("Ce-Id")
	}
	in.until("the port", func() bool { status, _ := post("a"); return status == 200 })
	var want []string
	for range 3 {
		status, id := post("a\nb")
		if status != 200 || id == "" {
			t.Fatalf("%d, ce-id %q", status, id)
		}
		want = append(want, id)
	}
	if status, _ := post("a"); status != 200 || in.service.all() < 2 {
		t.Errorf("a good event: %d", status)
	}
	in.stop()
	flow, err := plan.Parse("orders.yaml", []byte(strings.Replace(text, ", eventHeaders: {X-Tenant: data.tenant}", "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for l, err := range deadletter.ReadFile(path) {
		if err != nil || l.Code != "TRANSFORM_FAILED" {
			t.Fatalf("%+v, %v", l, err)
		}
		sent, err := flow.Process(t.Context(), l.Message)
		if err != nil || len(sent) != 1 {
			t.Fatal(sent, err)
		}
		got = append(got, sent[0].Event.ID)
		if line := "position=orders id=" + sent[0].Event.ID + " sink=api code=TRANSFORM_FAILED"; !strings.Contains(in.log.String(), line) {
			t.Errorf("the log lacks %s:\n%s", line, in.log)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("dead letters of %q, answered were %q", got, want)
	}
}
