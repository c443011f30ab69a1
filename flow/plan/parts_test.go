package plan

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config/configtest"
	"github.com/lsm/fiso/common/connector"
	fisogrpc "github.com/lsm/fiso/connectors/grpc"
	fisohttp "github.com/lsm/fiso/connectors/http"
	"github.com/lsm/fiso/delivery"
)

func env() Env {
	return Env{
		Logger: slog.New(slog.DiscardHandler), Stdout: new(strings.Builder), OnGap: func() {}, OnConflict: func(bool) {},
		Listeners: new(fisohttp.Listeners), GRPCListeners: fisogrpc.NewListeners(nil),
	}
}

// U25: the schema accepts ${ENV} exactly where the parser expands it.
func TestSchema_acceptsWhatParseDoesAndPointsAtWhatItDoesNot(t *testing.T) {
	t.Setenv("SECONDS", "5s")
	t.Setenv("COUNT", "7")
	t.Setenv("WORD", "batch")
	t.Setenv("SIZE", "1MiB")
	text, err := json.Marshal(Schema())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("flow.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("flow.json")
	if err != nil {
		t.Fatal(err)
	}
	definition := "apiVersion: fiso.io/v1alpha1\nkind: FlowDefinition\nmetadata: {name: a}\nspec:\n  " + strings.ReplaceAll(strings.TrimSpace(kafkaIn+out), "\n", "\n  ") + "\n  runtime: {replicas: 2}\n"
	for _, tc := range []struct {
		name, text string
		ok         bool
	}{
		{"the flow of the contract", printed, true},
		{"a FlowDefinition", definition, true},
		{"http to kafka", "name: a\n" + httpIn + "sink: {type: kafka, config: {brokers: [b], topic: t, key: data.x}}\nerrorHandling: {deadLetter: {type: file, config: {path: /x}}}\n", true},
		{"references in settings of a connector", "name: a\n" + strings.Replace(httpIn, "config: {", `config: {maxBodyBytes: "${SIZE}", readTimeout: "${SECONDS}", `, 1) +
			`sink: {type: http, config: {url: "http://${COUNT}", mode: "${WORD}", timeout: "${SECONDS}", maxConnections: "${COUNT}", retryOn: ["${STATUS:-409}"]}}` +
			"\nerrorHandling: {onExhausted: block}\n", true},
		{"a reference that is none", "name: a\n" + kafkaIn + `sink: {type: http, config: {url: x, timeout: "$SECONDS"}}` + "\n", false},
		{"a reference where none is followed", "name: a\n" + kafkaIn + out + `delivery: {maxInFlight: "${COUNT}"}` + "\n", false},
		{"no name", kafkaIn + out, false},
		{"a typo", "name: a\npauesd: true\n" + kafkaIn + out, false},
		{"a typo in a connector's settings", "name: a\n" + strings.Replace(kafkaIn, "topic", "topc", 1) + out, false},
		{"a setting of another connector", "name: a\n" + kafkaIn + "sink: {type: stdout, config: {url: x}}\n", false},
		{"an unknown type", "name: a\nsource: {type: nats}\n" + out, false},
		{"a sink without what it needs", "name: a\n" + kafkaIn + "sink: {type: http}\n", false},
		{"several sinks", severalSinks, true},
		{"a sink without a name", "name: a\n" + kafkaIn + "sinks: [{type: stdout}]\n", false},
		{"a setting of another connector, of several", "name: a\n" + kafkaIn + "sinks: [{name: x, type: stdout, config: {url: x}}]\n", false},
		{"a sink and sinks", "name: a\n" + kafkaIn + out + "sinks: [{name: x, type: stdout}]\n", false},
		{"no sink", "name: a\n" + kafkaIn, false},
		{"a header by an expression", "name: a\n" + kafkaIn + "sink: {type: http, config: {url: 'http://x/', eventHeaders: {X-A: id}}}\n", true},
		{"a typo in a FlowDefinition", strings.Replace(definition, "runtime", "rntime", 1), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			raw, err := yaml.YAMLToJSON([]byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(raw)))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(value); (err == nil) != tc.ok {
				t.Errorf("schema: %v", err)
			}
			if _, err := Parse("a.yaml", []byte(tc.text)); (err == nil) != tc.ok {
				t.Errorf("parse: %v", err)
			}
		})
	}
}

func TestFileLetters_checkTriesTheFileAndLeavesNoTrace(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "there")
	put(t, there, "kept")
	pipe := filepath.Join(t.TempDir(), "pipe") // U16: opening it waited for a reader
	if err := configtest.Pipe(pipe); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		path string
		ok   bool
	}{{there, true}, {filepath.Join(dir, "new"), true}, {filepath.Join(dir, "no", "dir"), false}, {dir, false}, {pipe, false}} {
		steps := (&deadLetterFile{Path: tc.path}).check(t.Context())
		if len(steps) != 1 || (steps[0].Err == nil) != tc.ok || !strings.Contains(steps[0].Name, tc.path) {
			t.Errorf("%s: %+v", tc.path, steps)
		}
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 1 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

// fixed is an expression that returns the id of the event, or fails.
type fixed struct{}

func (fixed) Eval(_ context.Context, e *cloudevent.Event) ([]byte, error) {
	if e.ID == "bad" {
		return nil, errors.New("no such key: x")
	}
	return []byte("key of " + e.ID), nil
}

// recorder is a sink that records keys and refuses one event.
type recorder struct{ keys []string }

func (r *recorder) Send(_ context.Context, e *cloudevent.Event) error {
	r.keys = append(r.keys, string(e.Key))
	if e.ID == "refused" {
		return errors.New("refused")
	}
	return nil
}

func (r *recorder) SendBatch(ctx context.Context, events []*cloudevent.Event) []error {
	errs := make([]error, len(events))
	for i, e := range events {
		errs[i] = r.Send(ctx, e)
	}
	return errs
}
func (r *recorder) Close(context.Context) error { return nil }

type checked struct{ *recorder }

func (checked) Check(context.Context) []connector.Step { return make([]connector.Step, 1) }

func TestKeyed_givesEachEventItsKeyAndEachItsOwnVerdict(t *testing.T) {
	r := &recorder{}
	k := &keySink{BatchSink: r, key: fixed{}}
	given := &cloudevent.Event{ID: "1", Key: []byte("old")}
	if err := k.Send(t.Context(), given); err != nil || string(given.Key) != "old" {
		t.Errorf("error %v, the event's own key is now %s", err, given.Key)
	}
	bad := &cloudevent.Event{ID: "bad"}
	if err := k.Send(t.Context(), bad); !connector.IsUnsendable(err) || !strings.Contains(err.Error(), "no such key: x") {
		t.Errorf("error = %v", err)
	}
	errs := k.SendBatch(t.Context(), []*cloudevent.Event{bad, {ID: "2"}, {ID: "refused"}, {ID: "3"}})
	if len(errs) != 4 || errs[0] == nil || errs[1] != nil || errs[2] == nil || errs[3] != nil {
		t.Errorf("errors = %v", errs)
	}
	if errs := k.SendBatch(t.Context(), []*cloudevent.Event{{ID: "4"}}); errs != nil {
		t.Errorf("errors = %v", errs)
	}
	if errs := k.SendBatch(t.Context(), []*cloudevent.Event{bad}); len(errs) != 1 || errs[0] == nil {
		t.Errorf("errors = %v", errs)
	}
	if !slices.Equal(r.keys, []string{"key of 1", "key of 2", "key of refused", "key of 3", "key of 4"}) {
		t.Errorf("keys = %v", r.keys)
	}
	if steps := k.Check(t.Context()); steps != nil {
		t.Errorf("steps = %v", steps)
	}
	k.BatchSink = checked{r}
	if steps := k.Check(t.Context()); len(steps) != 1 {
		t.Errorf("steps = %v", steps)
	}
}

func TestKafkaKey_isMadeOfTheOutgoingEvent(t *testing.T) {
	b := parsed(t, "name: a\n"+kafkaIn+"sink: {type: kafka, config: {brokers: b, topic: t, key: 'type + data.id + subject'}}\n")
	key := b.outputs[0].sink.(*kafkaSink).key
	e := &cloudevent.Event{ID: "1", Source: "s", Type: "made.", Subject: ".x", Data: cloudevent.Bytes([]byte(`{"id":"o-1"}`)), Extensions: []cloudevent.Extension{{Name: "tenant", Value: "t"}}}
	if got, err := key.Eval(t.Context(), e); err != nil || string(got) != "made.o-1.x" {
		t.Errorf("%q, %v", got, err)
	}
	e.Data = cloudevent.Bytes([]byte(`{}`))
	if _, err := key.Eval(t.Context(), e); err == nil || !strings.Contains(err.Error(), "sink.config.key") {
		t.Errorf("error = %v", err)
	}
	k := &keySink{BatchSink: &recorder{}, key: key}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.Send(cancelled, e); connector.ClassOf(err) != connector.Interrupted {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Parse("a.yaml", []byte("name: a\n"+kafkaIn+"sink: {type: kafka, config: {brokers: b, topic: t, key: 'dta'}}\n")); err == nil || !strings.Contains(err.Error(), "a.yaml:3:58") {
		t.Errorf("error = %v", err)
	}
	null := parsed(t, "name: a\n"+kafkaIn+"sink: {type: kafka, config: {brokers: b, topic: t, key: 'data.k'}}\n").outputs[0].sink.(*kafkaSink).key
	e.Data = cloudevent.Bytes([]byte(`{"k":null}`))
	own, err := (&keySink{key: null}).withKey(t.Context(), e)
	if err != nil || own.Key != nil {
		t.Errorf("a null key: %q, %v", own.Key, err)
	}
}

// Outputs with unchanged settings keep their connections at a reload.
func TestOutputs_areTakenOverWhereTheirSettingsAreTheSame(t *testing.T) {
	dir := t.TempDir()
	text := func(url, path string) string {
		return "name: a\n" + httpIn + "sink: {type: http, config: {url: '" + url + "'}}\nerrorHandling: {deadLetter: {type: file, config: {path: '" + filepath.Join(dir, path) + "'}}}\n"
	}
	e := env()
	build := func(text string, old *Outputs) *Outputs {
		t.Helper()
		o, err := parsed(t, text).Outputs(e, old)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	first := build(text("http://x/", "d1"), nil)
	same := build(text("http://x/", "d1")+"filter: 'true'\n", first)
	if !maps.Equal(same.sinks, first.sinks) || !maps.Equal(same.letters, first.letters) || len(same.sinks) != 1 || len(same.letters) != 1 {
		t.Error("built anew what did not change")
	}
	rest := first.Without(same)
	if len(rest.sinks)+len(rest.letters) > 0 {
		t.Error("would close what is in use")
	}
	other := build(text("http://y/", "d2"), same)
	if rest := same.Without(other); len(rest.sinks) != 1 || len(rest.letters) != 1 {
		t.Error("kept what changed")
	}
	if _, err := parsed(t, text("http://z/", "no/dir")).Outputs(e, other); err == nil || !strings.Contains(err.Error(), "dead letter") {
		t.Errorf("error = %v", err)
	}
	if err := same.Without(other).Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := other.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestBuild_saysWhichPartCannotBeBuilt(t *testing.T) {
	dir := t.TempDir()
	tls := "tls: {caFile: '" + filepath.Join(dir, "ca.pem") + "'}"
	b := parsed(t, "name: a\nsource: {type: kafka, config: {brokers: b, topic: t, consumerGroup: g, "+tls+"}}\nsink: {type: http, config: {url: 'https://x/', "+tls+"}}\n")
	if _, err := b.Source(env()); err == nil || !strings.Contains(err.Error(), "build the source") {
		t.Errorf("source: %v", err)
	}
	if _, err := b.Outputs(env(), nil); err == nil || !strings.Contains(err.Error(), "build the sink") {
		t.Errorf("sink: %v", err)
	}
	for _, c := range b.Check(t.Context(), env()) {
		if !c.Failed() {
			t.Errorf("%s: %+v", c.Part, c.Steps)
		}
	}
}

// The wait for a batch must be too short to notice.
func TestVersion_collectsABatchUnlessToldOtherwise(t *testing.T) {
	const kafkaOut = "sink: {type: kafka, config: {brokers: b, topic: t}}\n"
	for _, tc := range []struct {
		name, text string
		want       *delivery.Batch
	}{
		{"kafka", kafkaOut, &delivery.Batch{MaxEvents: 500, MaxWait: 4 * time.Millisecond, Eager: true}},
		{"stdout", out, &delivery.Batch{MaxWait: time.Millisecond, Eager: true}},
		{"http in batch mode", "sink: {type: http, config: {url: 'http://x/', mode: batch}}\n", &delivery.Batch{}},
		{"http", "sink: {type: http, config: {url: 'http://x/'}}\n", nil},
		{"kafka with delivery.batch", kafkaOut + "delivery: {batch: {maxEvents: 3, maxWait: 1s}}\n", &delivery.Batch{MaxEvents: 3, MaxBytes: 1 << 20, MaxWait: time.Second}},
		{"stdout with delivery.batch", out + "delivery: {batch: {maxEvents: 3}}\n", &delivery.Batch{MaxEvents: 3, MaxBytes: 1 << 20, MaxWait: 50 * time.Millisecond}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := parsed(t, "name: a\n"+kafkaIn+tc.text)
			got := b.Version(&Outputs{}).Outputs[0].Batch
			if (got == nil) != (tc.want == nil) || got != nil && *got != *tc.want {
				t.Errorf("batch %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestBuild_everyTypeOfTheRegistry(t *testing.T) {
	for _, text := range []string{
		"name: a\n" + kafkaIn + "sink: {type: kafka, config: {brokers: b, topic: t, key: id}}\ndelivery: {batch: {maxEvents: 3}}\n",
		"name: a\n" + httpIn + "sink: {type: http, config: {url: 'http://x/', mode: batch}}\nerrorHandling: {onExhausted: block}\n",
		"name: a\n" + kafkaIn + out,
		grpcFlow("a", "listen: '127.0.0.1:0'", "type: grpc, config: {target: 'x:1', key: id}", ""),
	} {
		b := parsed(t, text)
		if http := !strings.Contains(text, kafkaIn); b.Guarantees().Assigns == http || b.ManyStreams() {
			t.Errorf("guarantees %+v, many streams %v", b.Guarantees(), b.ManyStreams())
		}
		if _, err := b.Source(env()); err != nil {
			t.Error(err)
		}
		o, err := b.Outputs(env(), nil)
		if err != nil {
			t.Fatal(err)
		}
		v := b.Version(o)
		if out := v.Outputs[0]; v.Transformer == nil || out.Sink == nil || out.StopTheLine != 20 || out.Retry.Max != 30*time.Second {
			t.Errorf("version = %+v", v)
		}
		if c := b.Engine(); c.Name != "a" || c.MaxInFlight != 1024 || c.Ordering != "key" {
			t.Errorf("engine = %+v", c)
		}
		if err := o.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// F19: https://github.com/golang/vulndb/issues/4768
func FuzzParse(f *testing.F) {
	f.Add([]byte(printed))
	f.Add([]byte("name: a\n" + httpIn + "sink: {type: kafka, config: {brokers: b, topic: t, key: '1'}}\nerrorHandling: {deadLetter: {type: file, config: {path: x}}}\n"))
	f.Add([]byte("name: a\n" + kafkaIn + "sink: {type: http, config: {url: \"http://${X}/\", auth: {type: bearer, token: x}}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := parseUnguarded("f.yaml", data) // without Guard: the fuzzer looks for panics
		if (b == nil) == (err == nil) {
			t.Fatalf("plan %v and error %v", b, err)
		}
		if b != nil {
			b.explain()
		}
	})
}
