package spec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/config/configtest"
)

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

// minimal returns the smallest valid flow, followed by more.
func minimal(more string) string {
	return "name: orders\nsource: {type: kafka, config: {brokers: b}}\nsink: {type: stdout}\n" + more
}

// withSinks returns a flow with these sinks.
func withSinks(sinks string) string {
	return "name: a\nsource: {type: kafka}\nsinks: [" + sinks + "]\n"
}

// types are the connector types that the test files use.
var types = &Types{
	Sources: []string{"kafka", "http"}, Sinks: []string{"http", "kafka", "stdout"}, DeadLetters: []string{"kafka", "file"},
	KeepsDeadLetters: func(source string) bool { return source == "kafka" },
}

// parse is Parse, but returns a nil error if there is no fault.
func parse(file string, data []byte) (*Flow, error) {
	f, errs := Parse(file, data, types)
	if len(errs) > 0 {
		return f, errs
	}
	return f, nil
}

func parsed(t *testing.T, text string) *Flow {
	t.Helper()
	f, err := parse("flow.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestParse_readsTheFlowOfTheContractAsPrinted(t *testing.T) {
	f := parsed(t, printed)
	if f.Name != "order-events" || f.Source.Type != "kafka" || f.Sink.Type != "http" || f.Outputs()[0].Name != "http" ||
		f.Transform.CEL.Value != `{"order_id": data.legacy_id, "timestamp": time, "status": data.order_status}` ||
		f.DeadLetterTopic() != "fiso-dlq-order-events" || f.Source.Config.IsZero() {
		t.Errorf("flow = %+v", f)
	}
}

func TestParse_fillsInTheDefaults(t *testing.T) {
	f := parsed(t, minimal("delivery: {batch: {maxEvents: 7}}\n"))
	e, d := f.ErrorHandling, f.Delivery
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"paused", f.Paused, false},
		{"transform.timeout", f.Transform.Timeout, 5 * time.Second},
		{"transform.maxOutputBytes", f.Transform.MaxOutputBytes, config.Bytes(1 << 20)},
		{"delivery.ordering", d.Ordering, "key"},
		{"delivery.maxInFlight", d.MaxInFlight, 1024},
		{"delivery.drainTimeout", d.DrainTimeout, 20 * time.Second},
		{"delivery.guarantee", d.Guarantee, "at-least-once"},
		{"delivery.batch", *d.Batch, Batch{MaxEvents: 7, MaxBytes: 1 << 20, MaxWait: 50 * time.Millisecond}},
		{"errorHandling.maxRetries", e.MaxRetries, 5},
		{"errorHandling.backoff", e.Backoff, "exponential"},
		{"errorHandling.initialInterval", e.InitialInterval, 200 * time.Millisecond},
		{"errorHandling.maxInterval", e.MaxInterval, 30 * time.Second},
		{"errorHandling.jitter", e.Jitter, 0.2},
		{"errorHandling.onExhausted", e.OnExhausted, "dlq"},
		{"errorHandling.stopTheLine.consecutive", e.StopTheLine.Consecutive, 20},
		{"the dead letter topic", f.DeadLetterTopic(), "fiso-dlq-orders"},
	} {
		if c.got != c.want {
			t.Errorf("%s = %v, not %v", c.what, c.got, c.want)
		}
	}
	if parsed(t, minimal("")).Delivery.Batch != nil {
		t.Error("a batch nobody asked for")
	}
	if f := parsed(t, minimal("errorHandling: {maxRetries: 0, jitter: 0, stopTheLine: {consecutive: 0}}\n")); f.ErrorHandling.MaxRetries != 0 || f.ErrorHandling.Jitter != 0 || f.ErrorHandling.StopTheLine.Consecutive != 0 {
		t.Errorf("a written 0 is replaced by the default: %+v", f.ErrorHandling)
	}
}

func TestParse_saysWhatIsWrongAndWhere(t *testing.T) {
	const longName = "a23456789-123456789-123456789-123456789-123456789-123456789-1234"
	for _, tc := range []struct {
		name, text string
		at         string // line:column
		want       []string
	}{
		{"a typo in a key", minimal("pauesd: true\n"), "4:1", []string{"pauesd", "paused"}},
		{"a typo below", minimal("errorHandling: {maxRetry: 3}\n"), "4:17", []string{"maxRetry", "maxRetries"}},
		{"no name", "source: {type: kafka, config: {brokers: b}}\nsink: {type: stdout}\n", "1:1", []string{"name"}},
		{"no source", "name: a\nsink: {type: stdout}\n", "1:1", []string{"source"}},
		{"a name that is no label", "name: Order_Events\nsource: {type: kafka}\nsink: {type: stdout}\n", "1:7", []string{`"Order_Events"`, "order-events"}},
		{"a name that is nothing but signs", "name: '__'\nsource: {type: kafka}\nsink: {type: stdout}\n", "1:7", []string{"my-flow"}},
		{"a name that is too long", "name: " + longName + "\nsource: {type: kafka}\nsink: {type: stdout}\n", "1:7", []string{"64 characters are too many; use at most 63"}},
		{"an unknown source type", "name: a\nsource: {type: kafak}\nsink: {type: stdout}\n", "2:16", []string{`"kafak"`, "kafka or http"}},
		{"a source type that comes later", "name: a\nsource: {type: grpc}\nsink: {type: stdout}\n", "2:16", []string{"grpc", "not in this version"}},
		{"a sink type that comes later", "name: a\nsource: {type: kafka}\nsink: {type: temporal}\n", "3:14", []string{"temporal", "not in this version", "http, kafka or stdout"}},
		{"exactly-once", minimal("delivery: {guarantee: exactly-once}\n"), "4:23", []string{"not in this version"}},
		{"another guarantee", minimal("delivery: {guarantee: maybe}\n"), "4:23", []string{`"maybe"`, "at-least-once"}},
		{"interceptors", minimal("interceptors: []\n"), "4:1", []string{"interceptors is known, but not in this version"}},
		{"a schema", minimal("schema: {type: avro}\n"), "4:1", []string{"schema is known, but not in this version"}},
		{"no sink", "name: a\nsource: {type: kafka}\n", "1:1", []string{"missing; write where events go, in sink or in sinks"}},
		{"a sink without a type", "name: a\nsource: {type: kafka}\nsink: {name: b}\n", "3:", []string{"sink.type: missing; write http, kafka or stdout"}},
		{"a sink and sinks", minimal("sinks: [{name: a, type: http}]\n"), "3:", []string{"sink: does not go with sinks; make it one of them"}},
		{"a sink of a list without a type", withSinks("{name: a}"), "3:9", []string{`missing key "type" in sinks[0]`}},
		{"a sink of a list without a name", withSinks("{type: http}"), "3:9", []string{`missing key "name" in sinks[0]`}},
		{"a sink of a list with a name that is no label", withSinks("{name: A, type: http}"), "3:16", []string{`"A" is not a valid name`}},
		{"two sinks of one name", withSinks("{name: a, when: 'true', type: http}, {name: a, type: stdout}"), "3:53", []string{"a is the name of sinks[0] too"}},
		{"a sink of a type that comes later", withSinks("{name: a, type: temporal}"), "3:25", []string{"not in this version"}},
		{"a sink that gets nothing", withSinks("{name: a, type: http}, {name: b, type: stdout}"), "3:32", []string{"sinks[1]: gets no event, because sinks[0] has no when and takes them all; give that one a when", "routing: all"}},
		{"a routing that is none", withSinks("{name: a, type: http}") + "routing: any\n", "4:10", []string{"any", "first", "all"}},
		{"a sink's dead letters of no known type", withSinks("{name: a, type: http, errorHandling: {deadLetter: {type: s3}}}"), "3:66", []string{`"s3"`, "kafka or file"}},
		{"a sink's dead letters without a type", withSinks("{name: a, type: http, errorHandling: {deadLetter: {config: {path: x}}}}"), "3:", []string{"sinks[0].errorHandling.deadLetter.type: missing; write kafka or file"}},
		{"a sink's dead letter topic beside a file", withSinks("{name: a, type: http, errorHandling: {deadLetterTopic: t}}") + "errorHandling: {deadLetter: {type: file, config: {path: x}}}\n",
			"3:64", []string{"sinks[0].errorHandling.deadLetterTopic: does not go with the deadLetter of type file that the flow names"}},
		{"a sink's dead letters without a place", "name: a\nsource: {type: http}\nsinks: [{name: a, type: stdout, errorHandling: {onExhausted: dlq}}]\nerrorHandling: {onExhausted: block}\n",
			"3:62", []string{"a source of type http cannot keep dead letters; name a place in deadLetter"}},
		{"a sink's retries below zero", withSinks("{name: a, type: http, errorHandling: {maxRetries: -1}}"), "3:59", []string{"from 0 to 1000"}},
		{"a sink's intervals the wrong way round", withSinks("{name: a, type: http, errorHandling: {initialInterval: 5s, maxInterval: 1s}}"), "3:81", []string{"less than initialInterval"}},
		{"an outage that is none", minimal("errorHandling: {outage: wait}\n"), "4:25", []string{"wait", "hold", "count"}},
		{"a field without a name", minimal("transform: {fields: {'': data.a}}\n"), "4:", []string{"has no name"}},
		{"a timeout of nothing", minimal("transform: {timeout: 0s}\n"), "4:22", []string{"from 1ms to 1m0s"}},
		{"an output of nothing", minimal("transform: {maxOutputBytes: 0}\n"), "4:29", []string{"0 is out of bounds"}},
		{"nothing in flight", minimal("delivery: {maxInFlight: 0}\n"), "4:25", []string{"from 1 to 65536"}},
		{"an order that is none", minimal("delivery: {ordering: keys}\n"), "4:22", []string{"keys", "key"}},
		{"a drain of nothing", minimal("delivery: {drainTimeout: 0s}\n"), "4:26", []string{"drainTimeout", "0s is out"}},
		{"an empty batch", minimal("delivery: {batch: {maxEvents: 0}}\n"), "4:31", []string{"from 1 to 10000"}},
		{"intervals the wrong way round", minimal("errorHandling: {initialInterval: 5s, maxInterval: 1s}\n"), "4:51", []string{"less than initialInterval"}},
		{"an interval without a unit", minimal("errorHandling: {initialInterval: 200}\n"), "4:34", []string{"200"}},
		{"a jitter beyond all", minimal("errorHandling: {jitter: 20}\n"), "4:25", []string{"from 0 to 1"}},
		{"retries below zero", minimal("errorHandling: {maxRetries: -1}\n"), "4:29", []string{"from 0 to 1000"}},
		{"a topic with a space", minimal("errorHandling: {deadLetterTopic: 'a b'}\n"), "4:34", []string{"Kafka topic"}},
		{"a dead letter place of no known type", minimal("errorHandling: {deadLetter: {type: s3}}\n"), "4:36", []string{`"s3"`, "kafka or file"}},
		{"a dead letter place without a type", minimal("errorHandling: {deadLetter: {config: {path: x}}}\n"), "4:", []string{"kafka or file"}},
		{"a dead letter file and topic", minimal("errorHandling: {deadLetterTopic: a, deadLetter: {type: file, config: {path: x}}}\n"), "4:34", []string{"remove one"}},
		{"no dead letter place", "name: a\nsource: {type: http}\nsink: {type: stdout}\n", "2:16", []string{"deadLetter", "http cannot keep dead letters", "onExhausted: block"}},
		{"a line stopped by less than none", minimal("errorHandling: {stopTheLine: {consecutive: -1}}\n"), "4:44", []string{"-1 is out of bounds"}},
		{"no YAML", "name: [\n", "", []string{"flow.yaml:"}},
		{"a list", "- a\n", "1:1", []string{"flow.yaml"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, err := parse("flow.yaml", []byte(tc.text))
			if err == nil {
				t.Fatalf("passes: %+v", f)
			}
			errs, ok := errors.AsType[config.Errors](err)
			if !ok || len(errs) != 1 {
				t.Fatalf("not one fault: %v", err)
			}
			for _, want := range append(tc.want, "flow.yaml:"+tc.at) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("lacks %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestParse_saysAllThatIsWrongAtOnce(t *testing.T) {
	_, err := parse("flow.yaml", []byte("name: Bad\nsource: {type: nats}\nsink: {type: stdout}\npauesd: 1\nerrorHandling: {jitter: 2}\n"))
	errs, _ := errors.AsType[config.Errors](err)
	var lines []string
	for _, e := range errs {
		lines = append(lines, fmt.Sprint(e.Pos.Line))
	}
	if got := strings.Join(lines, ","); got != "1,2,4,5" {
		t.Errorf("faults in lines %s:\n%v", got, err)
	}
}

func TestParse_returnsWhatCouldBeRead(t *testing.T) {
	f, errs := Parse("flow.yaml", []byte(minimal("pauesd: 1\n")), types)
	if len(errs) != 1 || f == nil || f.Name != "orders" || f.Sink.Type != "stdout" {
		t.Errorf("flow = %+v, errors = %v", f, errs)
	}
}

func TestParse_acceptsAFlowDefinition(t *testing.T) {
	body := "  source: {type: kafka, config: {brokers: b}}\n  sink: {type: stdout}\n  runtime: {replicas: 3}\n"
	head := "apiVersion: fiso.io/v1alpha1\nkind: FlowDefinition\nmetadata:\n  name: orders\n  labels: {a: b}\n  managedFields: [{manager: kubectl}]\nspec:\n"
	f := parsed(t, head+body+"status: {conditions: []}\n")
	if f.Name != "orders" || f.Source.Type != "kafka" {
		t.Errorf("flow = %+v", f)
	}
	if f := parsed(t, head+"  name: orders\n"+body); f.Name != "orders" {
		t.Errorf("name = %q", f.Name)
	}
	if f := parsed(t, `{"kind": "FlowDefinition", "apiVersion": "fiso.io/v1alpha1", "metadata": {"name": "j"}, "spec": {"source": {"type": "kafka"}, "sink": {"type": "stdout"}}}`); f.Name != "j" {
		t.Errorf("name = %q", f.Name)
	}
	for _, tc := range []struct{ name, text, at, want string }{
		{"names that differ", head + "  name: other\n" + body, "8:9", "is not metadata.name, orders"},
		{"no name", strings.Replace(head, "  name: orders\n", "", 1) + body, "", "metadata.name"},
		{"a bad name", strings.Replace(head, "orders", "Orders", 1) + body, "4:9", `"Orders"`},
		{"another kind", strings.Replace(head, "FlowDefinition", "LinkTarget", 1) + body, "2:7", "FlowDefinition"},
		{"another version", strings.Replace(head, "v1alpha1", "v2", 1) + body, "1:13", "fiso.io/v1alpha1"},
		{"a typo in the body", head + body + "  pauesd: true\n", "11:3", "paused"},
		{"a key that comes later", head + body + "  schema: {}\n", "11:3", "not in this version"},
		{"a bad value in the body", head + body + "  delivery: {maxInFlight: 0}\n", "11:27", "from 1"},
		{"a typo in the metadata", strings.Replace(head, "labels", "lables", 1) + body, "5:3", "labels"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := parse("flow.yaml", []byte(tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "flow.yaml:"+tc.at) {
				t.Errorf("error lacks %q at %s: %v", tc.want, tc.at, err)
			}
		})
	}
}

// U11: a byte order mark hides neither the kind of file nor its first key.
func TestParse_takesAFlowDefinitionWithAByteOrderMark(t *testing.T) {
	text := "apiVersion: fiso.io/v1alpha1\nkind: FlowDefinition\nmetadata: {name: orders}\nspec: {source: {type: kafka, config: {brokers: b}}, sink: {type: stdout}}\n"
	for _, mark := range []string{"", "\ufeff"} {
		if f := parsed(t, mark+text); f.Name != "orders" {
			t.Errorf("name = %q", f.Name)
		}
		if f := parsed(t, mark+`{"apiVersion": "fiso.io/v1alpha1", "kind": "FlowDefinition", "metadata": {"name": "j"}, "spec": {"source": {"type": "kafka"}, "sink": {"type": "stdout"}}}`); f.Name != "j" {
			t.Errorf("name = %q", f.Name)
		}
	}
}

func parseAll(paths ...string) ([]*Flow, error) {
	return ParseAll(paths, parse, func(f *Flow) string { return f.Name })
}

func TestParseAll_readsFlowFilesAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "b.yaml", minimal(""))
	write(t, dir, "a.yml", strings.Replace(minimal(""), "orders", "other", 1))
	write(t, dir, ".hidden.yaml", "junk")
	write(t, dir, "notes.txt", "junk")
	write(t, dir, "..data/c.yaml", "junk")
	write(t, dir, "sub.yaml/c.yaml", "junk")
	files, err := parseAll(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 2 || files[0].Name != "other" || files[1].Name != "orders" {
		t.Errorf("files = %+v", files)
	}
	one, err := parseAll(filepath.Join(dir, "b.yaml"))
	if err != nil || len(one) != 1 {
		t.Errorf("a single file: %v, %v", one, err)
	}
}

func TestParseAll_saysWhatToDo(t *testing.T) {
	empty := t.TempDir()
	twice := t.TempDir()
	write(t, twice, "a.yaml", minimal(""))
	write(t, twice, "b.yaml", minimal(""))
	write(t, twice, "c.yaml", "pauesd: 1\n")
	if err := os.Symlink("nowhere", filepath.Join(twice, "d.yaml")); err != nil {
		t.Fatal(err)
	}
	huge := t.TempDir()
	write(t, huge, "a.yaml", minimal("#"+strings.Repeat("x", 2<<20)))
	for _, tc := range []struct {
		name, dir string
		want      []string
	}{
		{"no such directory", filepath.Join(empty, "no"), []string{"does not exist", "fiso-flow init"}},
		{"an empty directory", empty, []string{"no flow file", "fiso-flow init", empty}},
		{"every fault", twice, []string{"a.yaml", "b.yaml", "orders is defined twice", "c.yaml:1:1", "d.yaml"}},
		{"a huge file", huge, []string{"read flow file: " + huge + "/a.yaml is larger than 1 MiB"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := parseAll(tc.dir)
			if err == nil {
				t.Fatal("passes")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("lacks %q:\n%.2000v", want, err)
				}
			}
		})
	}
	if _, err := List(t.Context(), string([]byte{0})); err == nil {
		t.Error("a name with a NUL passes")
	}
	pipe := filepath.Join(empty, "pipe.yaml") // U16: opening it waited for a writer
	if err := configtest.Pipe(pipe); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{empty: " is a directory: only a regular file can be read", pipe: " is a named pipe: only a regular file can be read"} {
		if _, err := Read(t.Context(), path); err == nil || err.Error() != "read flow file: "+path+want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := parseAll(empty); err == nil || err.Error() != pipe+": read flow file: "+pipe+" is a named pipe: only a regular file can be read" {
		t.Errorf("got %v", err)
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// F19: any content is either parsed or refused, and never causes a crash.
// https://github.com/go-yaml/yaml/issues/666, https://github.com/golang/vulndb/issues/4768
func FuzzParse(f *testing.F) {
	f.Add([]byte(printed))
	f.Add([]byte(minimal("transform: {fields: {a: data.a}}\n")))
	f.Add([]byte("apiVersion: fiso.io/v1alpha1\nkind: FlowDefinition\nmetadata: {name: a}\nspec: {source: {type: kafka}, sink: {type: stdout}}\n"))
	f.Add([]byte("a: &a [x,x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\nname: *c\n"))
	f.Add([]byte("name: !!binary x\n<<: {sink: 1}\n? [a]\n: b\n"))
	f.Add([]byte("{"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, data []byte) {
		flow, err := parse("f.yaml", data)
		if flow == nil && err == nil {
			t.Fatal("neither a flow nor an error")
		}
		if err == nil && !label.MatchString(flow.Name) {
			t.Fatalf("a flow named %q", flow.Name)
		}
		if err != nil && !strings.Contains(err.Error(), "f.yaml") {
			t.Fatalf("error without its file: %v", err)
		}
	})
}

// What a sink does not set has the value of the flow.
func TestErrorHandling_ofASinkIsTheFlowsWithWhatItNamesItself(t *testing.T) {
	f := parsed(t, withSinks("{name: a, when: 'true', type: http}, {name: b, type: http, errorHandling: {deadLetterTopic: bs, maxRetries: 0, backoff: constant, initialInterval: 1s, maxInterval: 2s, jitter: 0, onExhausted: drop, outage: count, stopTheLine: {consecutive: 3}}}")+
		"errorHandling: {maxRetries: 7, deadLetterTopic: as}\n")
	outs := f.Outputs()
	a, b := f.ErrorHandling.WithOverride(&outs[0].ErrorHandling), f.ErrorHandling.WithOverride(&outs[1].ErrorHandling)
	if a.MaxRetries != 7 || a.DeadLetterTopic != "as" || a.OnExhausted != "dlq" || a.Outage != "hold" || a.StopTheLine.Consecutive != 20 || a.Jitter != 0.2 {
		t.Errorf("a: %+v", a)
	}
	want := ErrorHandling{
		DeadLetterTopic: "bs", Backoff: "constant", InitialInterval: time.Second, MaxInterval: 2 * time.Second,
		OnExhausted: "drop", Outage: "count", StopTheLine: StopTheLine{3},
	}
	if !reflect.DeepEqual(b, want) {
		t.Errorf("b: %+v", b)
	}
	file := parsed(t, withSinks("{name: a, type: http, errorHandling: {deadLetter: {type: file, config: {path: x}}}}"))
	if got := file.ErrorHandling.WithOverride(&file.Outputs()[0].ErrorHandling); got.DeadLetter.Type != "file" || got.DeadLetterTopic != "" {
		t.Errorf("file: %+v", got)
	}
}

// A reload would ignore a change of a field without the tag, or restart a flow without need.
func TestFlow_everyFieldSaysWhatAReloadCosts(t *testing.T) {
	var walk func(path string, typ reflect.Type)
	walk = func(path string, typ reflect.Type) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			switch cost := f.Tag.Get("reload"); {
			case !f.IsExported(), cost == "restart", cost == "swap", cost == "none":
			case cost == "" && f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[config.Text]():
				walk(path+f.Name+".", f.Type)
			default:
				t.Errorf("%s%s: reload:%q; write restart, swap or none", path, f.Name, cost)
			}
		}
	}
	walk("", reflect.TypeFor[Flow]())
}

// U40: A template that renders an unset variable leaves an empty expression. Taken for an absent one, it
// would split nothing or make a sink take every event.
func TestParse_refusesAnEmptyExpression(t *testing.T) {
	for _, key := range []string{
		"filter", "transform.cel", "transform.split", "transform.fields.f", "cloudevents.id", "cloudevents.type", "cloudevents.source",
		"cloudevents.subject", "cloudevents.dataschema", "cloudevents.extensions.x",
	} {
		for _, value := range []string{`""`, "' '", ""} {
			block := ""
			for i, step := range strings.Split(key, ".") {
				block += "\n" + strings.Repeat("  ", i) + step + ":"
			}
			_, err := parse("f.yaml", []byte(minimal(block[1:]+" "+value+"\n")))
			if err == nil || !strings.HasSuffix(strings.Split(err.Error(), "\n")[0], ": "+key+": the expression is empty") || strings.Count(err.Error(), "f.yaml:") != 1 {
				t.Errorf("%s: %s: got %v", key, value, err)
			}
		}
	}
	for _, when := range []string{`""`, "", "null", "[a]"} { // the second sink can still get events
		_, err := parse("f.yaml", []byte(withSinks("{name: a, type: stdout, when: "+when+"}, {name: b, type: stdout}")))
		if err == nil || !strings.Contains(err.Error(), "f.yaml:3:") || !strings.Contains(err.Error(), ": sinks[0].when: ") || strings.Count(err.Error(), "f.yaml:") != 1 {
			t.Errorf("when: %s: got %v", when, err)
		}
	}
}

// Hints name the place that the author meant, and one mistake is one error.
func TestParse_pointsAtWhatWasMeant(t *testing.T) {
	const source = "name: a\nsource: {type: kafka}\n"
	const definition = "apiVersion: fiso.io/v1alpha1\nkind: FlowDefinition\nmetadata: {name: a}\n"
	for text, want := range map[string]string{
		minimal("eventHeaders: {a: b}\n"): "f.yaml:4:1: unknown key \"eventHeaders\"\n  4 | eventHeaders: {***\n    | ^^^^^^^^^^^^ " +
			"known keys: cloudevents, delivery, errorHandling, filter, name, paused, routing, runtime, sink, sinks, source, transform; " +
			"does it belong under source.config, sink.config or sinks[].config?",
		"name: a\nsource: {type: kafka, zebra: 1}\nsink: {type: stdout}\n": "f.yaml:2:23: unknown key \"zebra\" in source\n  2 | source: {type: kafka, zebra: ***\n" +
			"    |                       ^^^^^ does it belong under source.config?",
		definition + "zebra: 1\nspec: {source: {type: kafka}, sink: {type: stdout}}\n": "f.yaml:4:1: unknown key \"zebra\"\n  4 | zebra: ***\n" +
			"    | ^^^^^ known keys: apiVersion, kind, metadata, spec, status",
		source + "sinks: {name: a, type: stdout}\n": "f.yaml:3:8: sinks: expected a list, found a mapping\n  3 | sinks: {name: a, type: stdout}\n" +
			"    |        ^ write - before it",
		source + "sinks: {a: {type: stdout}}\n": "f.yaml:3:8: sinks: expected a list, found a mapping\n  3 | sinks: {***\n" +
			"    |        ^ write - before it",
		source + "sinks: stdout\n": "f.yaml:3:8: sinks: expected a list, found a hidden value\n  3 | sinks: ***\n" +
			"    |        ^^^ write it in [ ]",
		source + "sinks: {name: a, typ: stdout}\n": "f.yaml:3:8: sinks: expected a list, found a mapping\n  3 | sinks: {name: a, typ: stdout}\n" +
			"    |        ^ write - before it\n" +
			"f.yaml:3:18: unknown key \"typ\" in sinks[0]\n  3 | sinks: {name: a, typ: stdout}\n    |                  ^^^ did you mean \"type\"?",
		"source: {type: kafka}\nsink: {type: stdout}\nzebra: {name: abcd}\n": "f.yaml:1:1: name: missing: give the flow a name, as in name: order-events\n" +
			"  1 | source: {type: kafka}\n    | ^\n" +
			"f.yaml:3:1: unknown key \"zebra\"\n  3 | zebra: {***\n    | ^^^^^ " +
			"known keys: cloudevents, delivery, errorHandling, filter, name, paused, routing, runtime, sink, sinks, source, transform; " +
			"does it belong under source.config, sink.config or sinks[].config?",
		withSinks("{name: __, type: stdout}"): "f.yaml:3:16: sinks[0].name: \"__\" is not a valid name; use lower-case letters, digits and dashes, as in my-sink\n" +
			"  3 | sinks: [{name: __, type: stdout}]\n    |                ^^",
	} {
		if _, err := parse("f.yaml", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%s: got\n%v\nwant\n%s", text, err, want)
		}
	}
}
