package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/lsm/fiso/delivery/deadletter"
	"github.com/lsm/fiso/delivery/fault"
)

// someLetters returns three dead letters; the last one is not of fiso-flow.
func someLetters() []*deadletter.Letter {
	at := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	letter := func(offset int64, value string, code fault.Code, reason string, ago time.Duration) *deadletter.Letter {
		return &deadletter.Letter{
			Message: &connector.Message{
				Key: []byte("k"), Value: []byte(value), Time: at,
				Headers:  []connector.Header{{Key: "tenant", Value: []byte{0xff}}},
				Position: connector.PartitionOffset("orders", 2, offset),
			},
			Code: code, Reason: reason, Retries: 1, FailedAt: at.Add(-ago), Flow: "orders", Sink: "http",
		}
	}
	return []*deadletter.Letter{
		letter(1, `{"legacy_id": 1}`, fault.TransformFailed, "no such field: data.order_status", 48*time.Hour),
		letter(2, `{"legacy_id": 1, "order_status": 2}`, fault.SinkRejected, "422", 0),
		letter(3, `{"legacy_id": 1, "order_status": 2}`, fault.SinkRejected, "422", time.Minute),
		letter(4, `{"test": 1}`, fault.SinkRejected, "422", 2*time.Minute),
	}
}

// withFile writes a flow with a dead letter file that holds the letters.
func withFile(t *testing.T, letters ...*deadletter.Letter) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "dead.jsonl")
	if len(letters) > 0 {
		f, err := deadletter.OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range letters {
			if err := f.Write(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return write(t, dir, "orders.yaml", orders+fmt.Sprintf("errorHandling: {deadLetter: {type: file, config: {path: %s}}}\n", path))
}

func TestDlqList_groupsByCodeAndMessage(t *testing.T) {
	file := withFile(t, someLetters()...)
	r := call(t, "dlq", "list", "--flow", file)
	r.wants(t, 0, "orders: 4 dead letters in file ", "")
	lines := strings.Split(r.out, "\n")
	if !strings.HasPrefix(lines[2], "3      SINK_REJECTED") || !strings.Contains(lines[2], "  2        422") {
		t.Errorf("the largest group and its latest letter come first:\n%s", r.out)
	}
	r.wants(t, 0, "show one: fiso-flow dlq show --flow "+file+" 2", "")
	call(t, "dlq", "list", "--flow", file, "--limit", "1").wants(t, 0, "… and 1 more groups (--limit 0 shows all)", "")
	call(t, "dlq", "list", "--flow", file, "--since", "24h").wants(t, 0, "orders: 3 dead letters", "")

	j := decode[struct {
		DeadLetters int
		Groups      []group
	}](t, call(t, "dlq", "list", "--flow", file, "-o", "json"))
	if j.DeadLetters != 4 || len(j.Groups) != 2 || j.Groups[0].Count != 3 || !j.Groups[0].First.Before(j.Groups[0].Last) {
		t.Errorf("as JSON: %+v", j)
	}
	call(t, "dlq", "list", "--flow", withFile(t)).wants(t, 0, "orders: 0 dead letters", "")
}

func TestDlqList_boundsWhatItRemembers(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds: left out with -short, which check does not set")
	}
	var letters []*deadletter.Letter
	for i := range maxGroups + 2 {
		l := *someLetters()[1]
		l.Reason = fmt.Sprintf("answer %d", i)
		letters = append(letters, &l)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "dead.jsonl")
	f, err := deadletter.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, len(letters))
	for _, l := range letters {
		go func() { errs <- f.Write(t.Context(), l) }() // concurrently: the letters share a sync
	}
	for range letters {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	file := write(t, dir, "orders.yaml", orders+fmt.Sprintf("errorHandling: {deadLetter: {type: file, config: {path: %s}}}\n", path))
	call(t, "dlq", "list", "--flow", file, "--limit", "1").wants(t, 0, others, "")
}

func TestDlqShow_saysWhetherALetterWouldPassToday(t *testing.T) {
	file := withFile(t, someLetters()...)
	r := call(t, "dlq", "show", "--flow", file, "1")
	for _, says := range []string{
		"code       TRANSFORM_FAILED", "message    no such field: data.order_status", "after 1 retries, in flow orders",
		"from       orders, partition 2, offset 1", "key        k", "header     tenant: base64 /w==", `value      {"legacy_id": 1}`,
		"today      it would fail again: TRANSFORM_FAILED: transform.cel: no such field: data.order_status",
	} {
		r.wants(t, 0, says, "")
	}
	call(t, "dlq", "show", "--flow", file, "2").wants(t, 0, `today      it would be sent: {"specversion":"1.0"`, "")
	call(t, "dlq", "show", "--flow", file, "4").wants(t, 0, "today      the filter would leave it out", "")
	call(t, "dlq", "show", "--flow", file, "5").wants(t, 1, "", "no dead letter at 5 of file ")

	j := decode[shownLetter](t, call(t, "dlq", "show", "--flow", file, "2", "-o", "json"))
	if j.Now.Verdict != "passes" || j.Original["offset"] != 2.0 || j.Value.Text == "" {
		t.Errorf("as JSON: %+v", j)
	}
}

// newProducer returns a producer for the cluster that the end of the test closes.
func newProducer(t *testing.T, cluster *kafkatest.Cluster, maxMessage config.Bytes) *kafka.Producer {
	t.Helper()
	p, err := kafka.NewProducer(kafka.ProducerConfig{
		ClientConfig: kafka.ClientConfig{Brokers: cluster.Brokers()}, MaxMessageBytes: maxMessage,
	}, kafka.ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestDlq_readsTheTopicOfTheFlow(t *testing.T) {
	cluster := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"orders": 1, "fiso-dlq-orders": 1}})
	p := newProducer(t, cluster, 0)
	foreign := &deadletter.Letter{Message: &connector.Message{Position: connector.Position{Stream: "hooks"}},
		Code: fault.DecodeFailed, Flow: "orders", FailedAt: time.Now()}
	for _, l := range append(someLetters(), foreign) {
		if err := p.Produce(t.Context(), kafka.Record{Topic: "fiso-dlq-orders", Key: l.Message.Key, Value: l.Message.Value, Headers: deadletter.Headers(l)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Produce(t.Context(), kafka.Record{Topic: "fiso-dlq-orders", Value: []byte("somebody else's")}); err != nil {
		t.Fatal(err)
	}
	file := write(t, t.TempDir(), "orders.yaml", strings.Replace(orders, "127.0.0.1:1\n", cluster.Brokers()[0]+"\n", 1))
	call(t, "dlq", "list", "--flow", file).wants(t, 0, "orders: 6 dead letters in Kafka topic fiso-dlq-orders", "")
	call(t, "dlq", "list", "--flow", file).wants(t, 0, "not a dead letter of fiso-flow", "")
	call(t, "dlq", "show", "--flow", file, "0:1").wants(t, 0, "from       orders, partition 2, offset 2", "")
	call(t, "dlq", "show", "--flow", file, "0:4").wants(t, 0, "from       hooks\n", "")
	call(t, "dlq", "show", "--flow", file, "0:5").wants(t, 0, "damaged    not a dead letter of fiso", "")
	call(t, "check", file).wants(t, 1, "ok    ", "")
}

// U14: a batch that decompresses to more than the limit is skipped alone; all other letters are
// shown.
func TestDlq_goesOnPastABatchThatItCannotUnpack(t *testing.T) {
	cluster := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"orders": 1, "fiso-dlq-orders": 1}})
	p := newProducer(t, cluster, 8<<20)
	letters := someLetters()
	letters[1].Message.Value = make([]byte, 4<<20) // about 100 bytes when compressed
	for _, l := range letters {
		if err := p.Produce(t.Context(), kafka.Record{Topic: "fiso-dlq-orders", Key: l.Message.Key, Value: l.Message.Value, Headers: deadletter.Headers(l)}); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.Replace(orders, "127.0.0.1:1\n", cluster.Brokers()[0]+"\n    maxBatchBytes: 1MiB\n", 1)
	file := write(t, t.TempDir(), "orders.yaml", text)
	const why = "partition 0 cannot be read: its batch at offsets 1 to 1 takes more memory than maxBatchBytes, 1MiB, allows; raise it to read them"
	r := call(t, "dlq", "list", "--flow", file)
	r.wants(t, 0, fmt.Sprintf("orders: %d dead letters in Kafka topic fiso-dlq-orders", len(letters)), "")
	r.wants(t, 0, "1      UNREAD            -     -                     0:1      ", "")
	r.wants(t, 0, why, "")
	r.wants(t, 0, "TRANSFORM_FAILED", "")
	call(t, "dlq", "show", "--flow", file, "0:2").wants(t, 0, "from       orders, partition 2, offset 3", "")
	call(t, "dlq", "show", "--flow", file, "0:1").wants(t, 1, "", why)
	call(t, "dlq", "show", "--flow", file, "nowhere").wants(t, 1, "", "no dead letter at nowhere")
	raised := write(t, t.TempDir(), "orders.yaml", strings.Replace(text, "1MiB", "8MiB", 1))
	call(t, "dlq", "show", "--flow", raised, "0:1").wants(t, 0, "from       orders, partition 2, offset 2", "")
}

// U22: foreign content in a dead letter cannot control a terminal or add a line.
func TestDlq_escapesControlCharactersInDeadLetters(t *testing.T) {
	letter := someLetters()[0]
	letter.Code, letter.Reason = fault.SinkRejected, "\x1b[2J422\nvalue      forged"
	letter.Message.Key = []byte("k\rplace")
	letter.Message.Value = []byte("{\ntoday      it would be sent: \"\x1b]0;title\x07\"}")
	letter.Message.Headers = []connector.Header{{Key: "x\ny", Value: []byte("\u202ered")}}
	file := withFile(t, letter)
	r := call(t, "dlq", "show", "--flow", file, "1")
	for _, says := range []string{
		`message    \x1b[2J422\nvalue      forged` + "\n", `key        k\x0dplace` + "\n", `header     x\ny: \u202ered` + "\n",
		"value      {\n           today      it would be sent: \"\\x1b]0;title\\x07\"}\n",
	} {
		r.wants(t, 0, says, "")
	}
	call(t, "dlq", "list", "--flow", file).wants(t, 0, `  1        \x1b[2J422\nvalue      forged`+"\n", "")
	if j := decode[shownLetter](t, call(t, "dlq", "show", "--flow", file, "1", "-o", "json")); j.Message != letter.Reason || j.Value.Text != string(letter.Message.Value) {
		t.Errorf("JSON is exact: %+v", j)
	}
}

// U23: a flow without failures has no dead letter topic yet, which is no error.
func TestDlq_aTopicThatIsMissingHoldsNone(t *testing.T) {
	cluster := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"orders": 1}})
	file := write(t, t.TempDir(), "orders.yaml", fmt.Sprintf(`name: orders
source: {type: kafka, config: {brokers: %q, topic: orders, consumerGroup: g}}
sink: {type: stdout}
`, cluster.Brokers()[0]))
	call(t, "dlq", "list", "--flow", file).wants(t, 0, "orders: 0 dead letters in Kafka topic fiso-dlq-orders of ", "")
	call(t, "dlq", "show", "--flow", file, "0:1").wants(t, 1, "", "no dead letter at 0:1 of Kafka topic fiso-dlq-orders of ")
}

func TestDlq_saysWhenTheFlowHasNoDeadLetterQueue(t *testing.T) {
	file := write(t, t.TempDir(), "hooks.yaml", `name: hooks
source: {type: http, config: {listen: "127.0.0.1:0", path: /hooks}}
sink: {type: stdout}
errorHandling: {onExhausted: block}
`)
	call(t, "dlq", "list", "--flow", file).wants(t, 1, "", "this flow has no dead letter queue")
	call(t, "dlq", "show", "--flow", file, "1").wants(t, 1, "", "this flow has no dead letter queue")
	call(t, "dlq", "list", "--flow", "/does/not/exist").wants(t, 1, "", "/does/not/exist")
	call(t, "dlq", "show", "--flow", "/does/not/exist", "1").wants(t, 1, "", "/does/not/exist")
}

// A dead letter of one sink of several is shown with what would go to that sink.
func TestDlq_showsWhatTheSinkThatFailedWouldGet(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "letters")
	flow := func(when string) string {
		return write(t, dir, "orders.yaml", `name: orders
source: {type: kafka, config: {brokers: b, topic: orders, consumerGroup: g}}
transform: {split: data.items}
sinks:
  - {name: eu, when: '`+when+`', type: stdout}
  - {name: all, type: stdout}
routing: all
errorHandling: {deadLetter: {type: file, config: {path: "`+path+`"}}}
`)
	}
	w, err := deadletter.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	err = w.Write(t.Context(), &deadletter.Letter{
		Message: &connector.Message{Value: []byte(`{"items":[{"n":1},{"n":2}]}`), Position: connector.PartitionOffset("orders", 0, 7)},
		Code:    fault.SinkRejected, Reason: "422", FailedAt: time.Now(), Flow: "orders", Sink: "eu", Part: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	file := flow("true")
	r := call(t, "dlq", "show", "--flow", file, "1")
	r.wants(t, 0, "sink       eu\n", "")
	r.wants(t, 0, "id         orders-0-7\n", "")
	r.wants(t, 0, `today      it would be sent to eu: {"specversion":"1.0","id":"orders-0-7#1"`, "")
	if got := decode[shownLetter](t, call(t, "dlq", "show", "--flow", file, "1", "-o", "json")); got.Sink != "eu" || len(got.Now.Events) != 1 || got.Now.Events[0].Sink != "eu" {
		t.Errorf("as JSON: %+v", got.Now)
	}
	call(t, "dlq", "show", "--flow", flow("data.n > 5"), "1").wants(t, 0, "today      no sink would take it\n", "")
}

func TestDlqShow_evaluatesTheExpressionsOfTheSink(t *testing.T) {
	letters := someLetters()[:2]
	letters[1].Message.Value = []byte(`{"n":1,"tenant":"acme"}`)
	withoutLetters := withFile(t, letters...)
	path := filepath.Join(filepath.Dir(withoutLetters), "dead.jsonl")
	file := write(t, t.TempDir(), "orders.yaml", addsHeaders+fmt.Sprintf("errorHandling: {deadLetter: {type: file, config: {path: %s}}}\n", path))
	call(t, "dlq", "show", "--flow", file, "1").wants(t, 0, "today      it would fail again: TRANSFORM_FAILED: compute header X-Tenant", "")
	call(t, "dlq", "show", "--flow", file, "2").wants(t, 0, "\n           with the header X-Tenant: acme\n           with the header X-Num: 1\n", "")
}

// withTwoFiles writes a flow whose sink big has a dead letter file of its own, and letters to both.
func withTwoFiles(t *testing.T, ofFlow, ofBig []*deadletter.Letter) (flow, dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, letters := range map[string][]*deadletter.Letter{"all.jsonl": ofFlow, "big.jsonl": ofBig} {
		f, err := deadletter.OpenFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range letters {
			if err := f.Write(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return write(t, dir, "orders.yaml", fmt.Sprintf(`name: orders
source: {type: http, config: {listen: 127.0.0.1:1}}
transform: {split: data.lines, fields: {sku: data.sku, n: data.n}}
sinks:
- {name: first, when: data.n > 5, type: stdout}
- {name: big, type: http, config: {url: 'http://a/', eventHeaders: {X-Sku: data.sku}}, errorHandling: {deadLetter: {type: file, config: {path: %[1]s/big.jsonl}}}}
errorHandling: {deadLetter: {type: file, config: {path: %[1]s/all.jsonl}}}
`, dir)), dir
}

// U38: dlq list named two letters "1", of which show opened only the first.
func TestDlq_namesTheFileOrTopicOfEachPlace(t *testing.T) {
	letters := someLetters()
	for _, l := range letters[1:3] {
		l.Sink = "big"
	}
	letters[0].Sink = ""
	file, dir := withTwoFiles(t, letters[:1], letters[1:3])
	all, big := dir+"/all.jsonl", dir+"/big.jsonl"
	r := call(t, "dlq", "list", "--flow", file)
	r.wants(t, 0, "  "+big+":1  422\n", "")
	r.wants(t, 0, "SINK_REJECTED     big   ", "")
	r.wants(t, 0, "TRANSFORM_FAILED  -     ", "")
	r.wants(t, 0, "show one: fiso-flow dlq show --flow "+file+" "+big+":1\n", "")
	j := decode[struct{ Groups []group }](t, call(t, "dlq", "list", "--flow", file, "-o", "json"))
	if len(j.Groups) != 2 || j.Groups[0].Sink != "big" || j.Groups[0].Place != big || j.Groups[1].Sink != "" || j.Groups[1].Place != all {
		t.Errorf("as JSON: %+v", j)
	}
	call(t, "dlq", "show", "--flow", file, all+":1").wants(t, 0, "place      "+all+":1\ncode       TRANSFORM_FAILED\n", "")
	call(t, "dlq", "show", "--flow", file, big+":1").wants(t, 0, "place      "+big+":1\ncode       SINK_REJECTED\n", "")
	call(t, "dlq", "show", "--flow", file, "2").wants(t, 0, "place      "+big+":2\n", "")
	call(t, "dlq", "show", "--flow", file, "1").wants(t, 1, "", "1 is in several places: write "+all+":1 or "+big+":1")
	call(t, "dlq", "show", "--flow", file, big+":3").wants(t, 1, "", "no dead letter at "+big+":3 of file ")
	only := withFile(t, letters[0])
	call(t, "dlq", "show", "--flow", only, filepath.Dir(only)+"/dead.jsonl:1").wants(t, 0, "place      1\n", "")
}

// U38: a letter of one part and one sink was shown with all parts and sinks of its record,
// because the record came over HTTP and a put-back record is known by its offset.
func TestDlqShow_showsThePartAndTheSinkThatFailed(t *testing.T) {
	at := time.Now().UTC()
	letter := func(part int, sink string) *deadletter.Letter {
		return &deadletter.Letter{
			Message: &connector.Message{Value: []byte(`{"lines":[{"sku":"a","n":9},{"sku":"b","n":7},{"sku":"c","n":1}]}`),
				Position: connector.Position{Stream: "/orders"}},
			Code: fault.SinkRejected, Reason: "422", FailedAt: at, Flow: "orders", Sink: sink, Part: part,
		}
	}
	gone := letter(9, "big")
	file, dir := withTwoFiles(t, []*deadletter.Letter{letter(0, "")}, []*deadletter.Letter{letter(2, "big"), gone, letter(2, "no more")})
	r := call(t, "dlq", "show", "--flow", file, dir+"/big.jsonl:1")
	r.wants(t, 0, "sink       big\npart       1: the event whose id ends with #1\n", "")
	r.wants(t, 0, "today      it would be sent to big: {", "")
	r.wants(t, 0, "with the header X-Sku: b\n", "")
	if strings.Count(r.out, "it would be sent") != 1 || strings.Contains(r.out, `"sku":"a","n"`+":9}}") {
		t.Errorf("other parts or sinks are shown:\n%s", r.out)
	}
	j := decode[shownLetter](t, call(t, "dlq", "show", "--flow", file, dir+"/big.jsonl:1", "-o", "json"))
	if j.Sink != "big" || j.Part == nil || *j.Part != 1 || len(j.Now.Events) != 1 || j.Now.Events[0].Sink != "big" {
		t.Errorf("as JSON: %+v", j)
	}
	call(t, "dlq", "show", "--flow", file, dir+"/big.jsonl:2").wants(t, 0, "today      no sink would take it", "")
	call(t, "dlq", "show", "--flow", file, dir+"/big.jsonl:3").wants(t, 0, "today      it would be sent to first: {", "")
	if r := call(t, "dlq", "show", "--flow", file, dir+"/all.jsonl:1"); strings.Count(r.out, "it would be sent") != 3 || strings.Contains(r.out, "part  ") {
		t.Errorf("a letter of no sink goes to all:\n%s", r.out)
	}
}
