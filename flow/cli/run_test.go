package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/command"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/lsm/fiso/flow/supervisor"
)

// output is a buffer that can be read while a command writes to it.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// until waits for a condition, or fails the test with its description.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	give := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-give:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }() // read whole
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// freeAddr returns an address on which nothing listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // only its port is needed
	return l.Addr().String()
}

// running starts "fiso-flow run" and returns its output and a function that stops it.
func running(t *testing.T, env map[string]string, args ...string) (logs *output, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	logs = new(output)
	code := make(chan int, 1)
	go func() {
		code <- Main(ctx, args, command.IO{In: strings.NewReader(""), Out: logs, Err: logs, Getenv: func(n string) string { return env[n] }})
	}()
	stop = sync.OnceValue(func() int {
		cancel()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		return <-code
	})
	t.Cleanup(func() { stop() })
	return logs, stop
}

func TestRun_deliversAndTellsHowItStands(t *testing.T) {
	cluster := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"orders": 2}})
	var got output
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(&got, r.Body); err != nil {
			t.Error(err)
		}
	}))
	defer service.Close()
	flow := strings.NewReplacer("127.0.0.1:1\n    topic", cluster.Brokers()[0]+"\n    startOffset: earliest\n    topic", "http://127.0.0.1:1/", service.URL+"/").Replace(orders)
	dir := t.TempDir()
	write(t, dir, "orders.yaml", flow)
	addr := freeAddr(t)
	logs, stop := running(t, map[string]string{"FISO_CONFIG_DIR": dir, "FISO_METRICS_ADDR": addr, "FISO_LOG_LEVEL": "debug"})

	p := newProducer(t, cluster, 0)
	for _, value := range []string{`{"legacy_id": "A-1", "order_status": "PAID"}`, `{`} {
		if err := p.Produce(t.Context(), kafka.Record{Topic: "orders", Value: []byte(value)}); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the order to arrive", func() bool { return strings.Contains(got.String(), `"order_id":"A-1"`) })
	until(t, "the metrics to move", func() bool {
		_, m := get(t, "http://"+addr+"/metrics")
		return strings.Contains(m, `fiso_flow_events_total{flow="orders",status="delivered"} 1`) &&
			strings.Contains(m, `fiso_flow_dlq_total{flow="orders"} 1`)
	})
	until(t, "the flow to be ready", func() bool {
		code, ready := get(t, "http://"+addr+"/readyz?verbose")
		return code == http.StatusOK && strings.Contains(ready, "[ok] flow orders")
	})
	write(t, dir, "orders.yaml", strings.Replace(flow, "transform:", "transform-:", 1))
	until(t, "the report of a broken file", func() bool {
		_, ready := get(t, "http://"+addr+"/readyz?verbose")
		return strings.Contains(ready, `did you mean "transform"?`)
	})
	if code := stop(); code != 0 {
		t.Errorf("a clean stop has exit code %d\n%s", code, logs)
	}
	if !strings.Contains(logs.String(), `"level":"info"`) {
		t.Errorf("the log is no JSON:\n%s", logs)
	}
}

func TestRun_refusesToStart(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "orders.yaml", strings.Replace(orders, "topic:", "topik:", 1))
	good := write(t, t.TempDir(), "orders.yaml", orders)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }() // nobody connected
	free := freeAddr(t)
	call(t, "run", "--metrics-addr", free, file).wants(t, 1, "", "orders.yaml:6:5: unknown key")
	call(t, "run", "--metrics-addr", free, t.TempDir()).wants(t, 1, "", "no flow file")
	call(t, "run", "--metrics-addr", free, "/does/not/exist").wants(t, 1, "", "/does/not/exist")
	r := call(t, "run", "--metrics-addr", taken.Addr().String(), good)
	r.wants(t, 1, "", "is in use")
	r.wants(t, 1, "", "--metrics-addr or FISO_METRICS_ADDR")
}

func TestRun_refusesTracingThatCannotWork(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon")
	file := write(t, t.TempDir(), "orders.yaml", orders)
	call(t, "run", "--metrics-addr", freeAddr(t), file).wants(t, 1, "", "carrier-pigeon")
}

func TestRun_sendsTraces(t *testing.T) {
	traced := make(chan string, 100)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case traced <- r.URL.Path:
		default:
		}
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	hooks := freeAddr(t)
	file := write(t, t.TempDir(), "hooks.yaml", `name: hooks
source: {type: http, config: {listen: "`+hooks+`", path: /hooks}}
sink: {type: stdout}
errorHandling: {onExhausted: block}
`)
	logs, stop := running(t, nil, "run", "--metrics-addr", freeAddr(t), file)
	until(t, "the hook to be taken", func() bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+hooks+"/hooks", strings.NewReader(`{"a": 1}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close() // the status is what counts
		return resp.StatusCode/100 == 2
	})
	if code := stop(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, logs)
	}
	if path := <-traced; path != "/v1/traces" {
		t.Errorf("traces were sent to %s", path)
	}
	if !strings.Contains(logs.String(), `"data":{"a": 1}`) {
		t.Errorf("the event was not printed:\n%s", logs)
	}
}

func TestCheck_saysWhichStepFails(t *testing.T) {
	file := write(t, t.TempDir(), "orders.yaml", orders)
	r := call(t, "check", "--timeout", "5s", file)
	r.wants(t, 1, "source: topic orders of 127.0.0.1:1", "")
	r.wants(t, 1, "FAIL  ", "")
	j := decode[struct {
		OK    bool
		Flows []checkedFlow
	}](t, call(t, "check", "-o", "json", "--timeout", "5s", file))
	if j.OK || len(j.Flows) != 1 || len(j.Flows[0].Parts) != 3 {
		t.Errorf("as JSON: %+v", j)
	}
	call(t, "check", "/does/not/exist").wants(t, 1, "", "/does/not/exist")

	dir := t.TempDir()
	good := write(t, dir, "hooks.yaml", `name: hooks
source: {type: http, config: {listen: "127.0.0.1:0", path: /hooks}}
sink: {type: stdout}
errorHandling: {deadLetter: {type: file, config: {path: `+dir+`/dead.jsonl}}}
`)
	r = call(t, "check", good)
	r.wants(t, 0, "ok    write to ", "")
	r.wants(t, 0, "nothing to try", "")
	call(t, "check", "-o", "json", good).wants(t, 0, `"ok": true`, "")
}

func TestRun_refusesAStartThatNothingAnswers(t *testing.T) {
	file := write(t, t.TempDir(), "orders.yaml", orders)
	r := call(t, "run", "--metrics-addr", freeAddr(t), "--start-timeout", "2s", file)
	r.wants(t, 1, "", "flow orders does not start: no answer within 2s: source: broker 127.0.0.1:1")
	r.wants(t, 1, "", "'fiso-flow check' shows which step fails")
}

func TestRun_refusesAStartOnAPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }() // nobody connected
	file := write(t, t.TempDir(), "hooks.yaml", `name: hooks
source: {type: http, config: {listen: "`+taken.Addr().String()+`", path: /hooks}}
sink: {type: stdout}
errorHandling: {onExhausted: block}
`)
	r := call(t, "run", "--metrics-addr", freeAddr(t), file)
	r.wants(t, 1, "", "flow hooks does not start: ")
	r.wants(t, 1, "", taken.Addr().String())
}

func TestStatusLogger_logsFlowsThatBecomeReadyOrStopBeingReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			logs    output
			mu      sync.Mutex
			problem = "source: broker away"
		)
		set := func(p string) { mu.Lock(); problem = p; mu.Unlock() }
		s := statusLogger{log: slog.New(slog.NewTextHandler(&logs, nil)), report: func() supervisor.Report {
			mu.Lock()
			defer mu.Unlock()
			return supervisor.Report{Flows: []supervisor.FlowReport{{Name: "x", Phase: "running", Problem: problem, Unreached: problem != ""}}}
		}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.follow(ctx) }()
		for _, p := range []string{"source: broker away", "", "held", ""} {
			set(p)
			time.Sleep(2 * unreadyGrace)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		var said []string
		for line := range strings.Lines(logs.String()) {
			_, text, _ := strings.Cut(strings.TrimSpace(line), "level=")
			said = append(said, text)
		}
		want := []string{
			`WARN msg="flow is not ready" flow=x reason="source: broker away"`, `INFO msg="flow is ready" flow=x`,
			`WARN msg="flow is not ready" flow=x reason=held`, `INFO msg="flow is ready" flow=x`,
		}
		if !slices.Equal(said, want) {
			t.Errorf("it said\n%s", strings.Join(said, "\n"))
		}
	})
}

// brokenPipe fails every write.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestMain_failsWhenItsResultCannotBePrinted(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "orders.yaml", orders)
	write(t, dir, "orders_test.yaml", good)
	for _, args := range [][]string{
		{"version"}, {"schema"}, {"validate", file}, {"test", file}, {"check", "--timeout", "1s", file},
		{"transform", "--flow", file, "--input", "{}"},
	} {
		var errs bytes.Buffer
		code := Main(t.Context(), append(args, "-o", "json"), command.IO{In: strings.NewReader(""), Out: brokenPipe{}, Err: &errs, Getenv: func(string) string { return "" }})
		if code != 1 || !strings.Contains(errs.String(), "broken pipe") {
			t.Errorf("%v: exit code %d, %q", args, code, errs.String())
		}
	}
}

// brokenInput fails every read.
type brokenInput struct{}

func (brokenInput) Read([]byte) (int, error) { return 0, errors.New("no terminal") }

func TestTransform_failsWhenItsInputCannotBeRead(t *testing.T) {
	file := write(t, t.TempDir(), "orders.yaml", orders)
	var errs bytes.Buffer
	code := Main(t.Context(), []string{"transform", "--flow", file, "--input", "-"}, command.IO{In: brokenInput{}, Out: io.Discard, Err: &errs, Getenv: func(string) string { return "" }})
	if code != 1 || !strings.Contains(errs.String(), "read the event from standard input: no terminal") {
		t.Errorf("exit code %d, %q", code, errs.String())
	}
}
