package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/lsm/fiso/common/command"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/deadletter"
	"github.com/lsm/fiso/flow/plan"
	"github.com/lsm/fiso/flow/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// result is the exit code and the output of one command.
type result struct {
	code     int
	out, err string
}

// callWith runs one command line with an environment and an input.
func callWith(ctx context.Context, env map[string]string, in string, args ...string) result {
	var out, errs bytes.Buffer
	code := Main(ctx, args, command.IO{
		In: strings.NewReader(in), Out: &out, Err: &errs,
		Getenv: func(name string) string { return env[name] },
	})
	return result{code, out.String(), errs.String()}
}

func call(t *testing.T, args ...string) result {
	t.Helper()
	return callWith(t.Context(), nil, "", args...)
}

// write writes a file to a directory and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// wants checks the exit code and the output.
func (r result) wants(t *testing.T, code int, out, errs string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, expected %d", r.code, code)
	}
	if !strings.Contains(r.out, out) {
		t.Errorf("standard output does not say %q:\n%s", out, r.out)
	}
	if !strings.Contains(r.err, errs) {
		t.Errorf("standard error does not say %q:\n%s", errs, r.err)
	}
	if t.Failed() {
		t.Fatalf("exit code %d\nstdout: %s\nstderr: %s", r.code, r.out, r.err)
	}
}

// decode decodes JSON output.
func decode[T any](t *testing.T, r result) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(r.out), &v); err != nil {
		t.Fatalf("the output is no JSON: %v\n%s", err, r.out)
	}
	return v
}

const orders = `name: orders
source:
  type: kafka
  config:
    brokers: 127.0.0.1:1
    topic: orders
    consumerGroup: g
filter: '!has(data.test)'
transform:
  cel: '{"order_id": data.legacy_id, "status": data.order_status}'
sink:
  type: http
  config:
    url: http://127.0.0.1:1/orders
`

func TestMain_saysUsageErrorsWithCodeTwo(t *testing.T) {
	file := write(t, t.TempDir(), "orders.yaml", orders)
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"unknown command":      {[]string{"nonsense"}, `unknown command "nonsense"`},
		"misspelt command":     {[]string{"valdate"}, `unknown command "valdate"; did you mean "validate"?`},
		"explain":              {[]string{"explain"}, `unknown command "explain"; did you mean: validate --explain`},
		"explain a flow":       {[]string{"explain", "-x", file}, `did you mean: validate --explain`},
		"unknown flag":         {[]string{"run", "--colour"}, "unknown flag: --colour"},
		"unknown output":       {[]string{"version", "--output", "xml"}, `--output is "xml": write text or json`},
		"too many arguments":   {[]string{"version", "now"}, `unknown command "now"`},
		"no flow":              {[]string{"transform", "--input", "{}"}, "--flow is missing"},
		"no input":             {[]string{"transform", "--flow", file}, "--input is missing"},
		"bad header":           {[]string{"transform", "--flow", file, "--input", "{}", "--header", "x"}, `--header is "x": write name=value`},
		"dlq alone":            {[]string{"dlq"}, "dlq needs a command: list or show"},
		"unknown dlq command":  {[]string{"dlq", "burn"}, `unknown command "burn" for dlq`},
		"dlq show where":       {[]string{"dlq", "show", "--flow", file}, "accepts 1 arg(s), received 0"},
		"dlq list of no flow":  {[]string{"dlq", "list"}, "--flow is missing"},
		"dlq show of no flow":  {[]string{"dlq", "show", "0:1"}, "--flow is missing"},
		"unknown level":        {[]string{"run", "--log-level", "loud", file}, "loud"},
		"level as environment": {[]string{"run", file}, "quiet"},
	} {
		t.Run(name, func(t *testing.T) {
			env := map[string]string{}
			if name == "level as environment" {
				env["FISO_LOG_LEVEL"] = "quiet"
			}
			callWith(t.Context(), env, "", c.args...).wants(t, 2, "", c.says)
		})
	}
}

func TestMain_helpNamesEveryCommand(t *testing.T) {
	r := call(t, "--help")
	for _, command := range []string{"run", "demo", "init", "validate", "check", "test", "transform", "dlq", "schema", "version", "completion"} {
		if !strings.Contains(r.out, "\n  "+command+" ") {
			t.Errorf("--help does not name %s:\n%s", command, r.out)
		}
		c := call(t, command, "--help")
		if c.code != 0 || !strings.Contains(c.out, "Usage:") {
			t.Errorf("%s --help: exit code %d\n%s", command, c.code, c.out)
		}
	}
	call(t, "completion", "bash").wants(t, 0, "fiso-flow", "")
}

func TestVersion_isPrintedForPeopleAndMachines(t *testing.T) {
	call(t, "version").wants(t, 0, "fiso-flow ", "")
	v := decode[map[string]string](t, call(t, "version", "-o", "json"))
	if v["version"] == "" || v["go"] == "" || v["platform"] == "" {
		t.Errorf("version as JSON lacks a part: %v", v)
	}
}

func TestInit_writesAFlowThatIsValid(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "payments.yaml")
	call(t, "init", "--name", "payments", path).wants(t, 0, "", "wrote "+path)
	call(t, "validate", path).wants(t, 0, "flow payments is valid", "")
	call(t, "init", path).wants(t, 1, "", "already exists")
	call(t, "init", filepath.Join(dir, "nowhere", "x.yaml")).wants(t, 1, "", "write a flow file")
	call(t, "init").wants(t, 0, "name: order-events", "")
}

func TestValidate_showsAllFaultsOfAllFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", strings.Replace(orders, "topic: orders", "topik: orders", 1))
	write(t, dir, "b.yaml", strings.Replace(orders, "data.order_status}", "data.order_status +}", 1))
	write(t, dir, "c.yaml", strings.Replace(orders, "name: orders", "name: third", 1))
	r := call(t, "validate", dir)
	r.wants(t, 1, "flow third is valid", `a.yaml:6:5: unknown key "topik"`)
	r.wants(t, 1, "", "b.yaml:10:")
	r.wants(t, 1, "", `did you mean "topic"?`)

	type report struct {
		OK     bool
		Errors []command.Problem
		Flows  []validFlow
	}
	j := decode[report](t, call(t, "validate", "-o", "json", dir))
	if j.OK || len(j.Errors) < 2 || len(j.Flows) != 1 || j.Errors[0].Code != "UNKNOWN_KEY" || j.Errors[0].Line != 6 {
		t.Errorf("validate as JSON: %+v", j)
	}
}

func TestValidate_explainsWhatWillHappen(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "orders.yaml", orders+"paused: true\n")
	r := call(t, "validate", "--explain", file)
	for _, says := range []string{
		"paused", "topic orders of 127.0.0.1:1", "!has(data.test)", "POST http://127.0.0.1:1/orders",
		"5, after 160ms–240ms, 320ms–480ms", "together 4.96s–7.44s", "fiso-dlq-orders", "events of 20 messages in a row have failed",
	} {
		r.wants(t, 0, says, "")
	}
	steady := orders + "errorHandling: {backoff: constant, jitter: 0, maxRetries: 2}\n"
	call(t, "validate", "--explain", write(t, dir, "orders.yaml", steady)).wants(t, 0, "2, after 200ms, 200ms; together 400ms", "")
	none := orders + "errorHandling: {maxRetries: 0}\n"
	call(t, "validate", "--explain", write(t, dir, "orders.yaml", none)).wants(t, 0, "retries       none", "")

	j := decode[struct{ Flows []validFlow }](t, call(t, "validate", "--explain", "-o", "json", file))
	if len(j.Flows) != 1 || j.Flows[0].Explanation == nil || j.Flows[0].Explanation.Flow != "orders" {
		t.Errorf("validate --explain as JSON: %+v", j)
	}
}

// U2: a panic while one flow is explained is a fault of its file, reported with those of the
// others.
func TestValidate_showsAPanicAsAFaultOfItsFile(t *testing.T) {
	var out bytes.Buffer
	a := newApp(command.IO{Out: &out})
	broken := &plan.Plan{File: "a.yaml", Flow: &spec.Flow{Name: "a"}} // it has no parts to explain
	err := a.validated([]*plan.Plan{broken}, config.Errors{{Message: "another"}}, true)
	all := a.Problems(err)
	if len(all) != 2 || all[0].Message != "another" || all[1].Code != "INTERNAL" || all[1].File != "a.yaml" || out.Len() > 0 {
		t.Errorf("got %+v and %q", all, out.String())
	}
}

func TestPaths_comeFromArgumentsThenEnvironment(t *testing.T) {
	dir := t.TempDir()
	callWith(t.Context(), map[string]string{"FISO_CONFIG_DIR": dir}, "", "validate").wants(t, 1, "", "no flow file")
	callWith(t.Context(), map[string]string{"FISO_CONFIG_DIR": dir}, "", "validate", dir+"/x.yaml").wants(t, 1, "", "x.yaml does not exist")
	if got := newApp(command.IO{Getenv: func(string) string { return "" }}).paths(nil); got[0] != "/etc/fiso/flows" {
		t.Errorf("the default directory is %v", got)
	}
}

func TestTransform_showsWhatWouldBeSent(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "orders.yaml", orders)
	input := `{"legacy_id": "A-1", "order_status": "PAID"}`
	type event struct {
		Subject string
		Data    map[string]string
	}
	fromFile := write(t, dir, "order.json", input)
	for name, r := range map[string]result{
		"argument": call(t, "transform", "--flow", file, "--input", input, "--key", "k", "--header", "a=b"),
		"file":     call(t, "transform", "--flow", file, "--input", "@"+fromFile, "--key", "k"),
		"input":    callWith(t.Context(), nil, input, "transform", "--flow", file, "--input", "-", "--key", "k"),
	} {
		e := decode[event](t, r)
		if r.code != 0 || e.Subject != "k" || e.Data["order_id"] != "A-1" || e.Data["status"] != "PAID" {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// U1: data that the sink could not write is reported in advance; a sink that sends bytes unchanged
// accepts it.
func TestCommands_tellOfDataThatTheSinkCannotWrite(t *testing.T) {
	const forged = `1,"type":"refund.approved","source":"/bank"`
	for sink, passes := range map[string]bool{
		"{type: stdout}": false,
		"{type: http, config: {url: 'http://a/'}}":                            false,
		"{type: http, config: {url: 'http://a/', mode: batch}}":               false,
		"{type: http, config: {url: 'http://a/', mode: binary}}":              true,
		"{type: kafka, config: {brokers: a:1, topic: out, mode: structured}}": false,
		"{type: kafka, config: {brokers: a:1, topic: out}}":                   true,
	} {
		t.Run(sink, func(t *testing.T) {
			dir := t.TempDir()
			file := write(t, dir, "orders.yaml", "name: orders\nsource: {type: kafka, config: {brokers: a:1, topic: orders, consumerGroup: g}}\nsink: "+sink+"\n")
			args := []string{"transform", "--flow", file, "--input", forged, "--header", "content-type=application/json"}
			if passes {
				call(t, args...).wants(t, 0, "", "sent byte for byte, but cannot be shown as JSON: write the event as JSON: data is not what datacontenttype")
				if j := decode[struct{ OK bool }](t, call(t, append(args, "-o", "json")...)); !j.OK {
					t.Error("as JSON it fails")
				}
			} else {
				call(t, args...).wants(t, 1, "", "dead letter DECODE_FAILED: write the event as JSON: data is not what datacontenttype")
			}
			expect := map[bool]string{false: "error: DECODE_FAILED", true: "event: {type: fiso.event}"}[passes]
			write(t, dir, "orders_test.yaml", "tests: [{name: x, input: '"+forged+"', headers: {content-type: application/json}, "+expect+"}]\n")
			call(t, "test", dir).wants(t, 0, "1 passed, 0 failed", "")

			flow, err := oneFlow(file)
			if err != nil {
				t.Fatal(err)
			}
			now := newApp(command.IO{}).replay(t.Context(), flow, &deadletter.Letter{Message: &connector.Message{
				Value: []byte(forged), Headers: []connector.Header{{Key: "content-type", Value: []byte("application/json")}},
			}})
			if now.Event != nil || passes != (now.Verdict == "passes") || !passes && now.Code != "DECODE_FAILED" {
				t.Errorf("dlq show: %+v", now)
			}
		})
	}
}

// U22: an event cannot send control characters to a terminal; a pipe gets it unchanged.
func TestTransform_showsAnEventAsTextOnATerminal(t *testing.T) {
	file := write(t, t.TempDir(), "orders.yaml", `name: orders
source: {type: kafka, config: {brokers: a:1, topic: orders, consumerGroup: g}}
sink: {type: stdout}
`)
	for name, tc := range map[string]struct {
		terminal bool
		args     []string
		want     string
	}{
		"a terminal":          {true, nil, `"a": "\u009b2J"` + "\n"},
		"a pipe":              {false, nil, "\"a\": \"\u009b2J\"\n"},
		"a terminal, as JSON": {true, []string{"-o", "json"}, "\"a\": \"\u009b2J\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			args := append([]string{"transform", "--flow", file, "--input", "{\"a\":\"\u009b2J\"}"}, tc.args...)
			code := Main(t.Context(), args, command.IO{In: strings.NewReader(""), Out: &out, Err: &errs, OutTerminal: tc.terminal, Getenv: func(string) string { return "" }})
			result{code, out.String(), errs.String()}.wants(t, 0, tc.want, "")
		})
	}
}

func TestTransform_saysWhyAnEventWouldNotBeSent(t *testing.T) {
	file := write(t, t.TempDir(), "orders.yaml", orders)
	call(t, "transform", "--flow", file, "--input", `{"legacy_id": 1}`).wants(t, 1, "", "dead letter TRANSFORM_FAILED: transform.cel: no such field: data.order_status")
	call(t, "transform", "--flow", file, "--input", `{`).wants(t, 1, "", "dead letter DECODE_FAILED")
	call(t, "transform", "--flow", file, "--input", `{"test": 1}`).wants(t, 0, "", "filtered")
	call(t, "transform", "--flow", file, "--input", "@/does/not/exist").wants(t, 1, "", "read the event")
	call(t, "transform", "--flow", "/does/not/exist", "--input", "{}").wants(t, 1, "", "/does/not/exist")

	type failure struct {
		OK, Filtered bool
		Errors       []command.Problem
	}
	f := decode[failure](t, call(t, "transform", "-o", "json", "--flow", file, "--input", `{`))
	if f.OK || len(f.Errors) != 1 || f.Errors[0].Code != "DECODE_FAILED" {
		t.Errorf("a failure as JSON: %+v", f)
	}
	if f := decode[failure](t, call(t, "transform", "-o", "json", "--flow", file, "--input", `{"test": 1}`)); !f.OK || !f.Filtered {
		t.Errorf("filtered as JSON: %+v", f)
	}
	bad := decode[failure](t, call(t, "transform", "-o", "json", "--flow", "/does/not/exist", "--input", "{}"))
	if bad.OK || len(bad.Errors) != 1 || bad.Errors[0].Code != "FAILED" {
		t.Errorf("a missing file as JSON: %+v", bad)
	}
}

func TestSchema_isASchema(t *testing.T) {
	s := decode[map[string]any](t, call(t, "schema"))
	if s["$schema"] != "https://json-schema.org/draft/2020-12/schema" {
		t.Errorf("no JSON Schema: %v", s["$schema"])
	}
}

func TestExamples_areValid(t *testing.T) {
	call(t, "validate", "../../deploy/examples").wants(t, 0, "flow order-events is valid", "")
	call(t, "test", "../../deploy/examples").wants(t, 0, "12 passed, 0 failed", "")
	call(t, "validate", "../../deploy/examples/webhook-to-kafka.yaml").wants(t, 0, "flow webhook-to-kafka is valid", "")
	call(t, "validate", "../../deploy/examples/temporal-to-kafka.yaml").wants(t, 0, "flow temporal-to-kafka is valid", "")
	call(t, "validate", "../../deploy/examples/kafka-to-grpc.yaml").wants(t, 0, "flow kafka-to-grpc is valid", "")
}

const addsHeaders = `name: orders
source: {type: kafka, config: {brokers: a:1, topic: orders, consumerGroup: g}}
sink: {type: http, config: {url: 'http://a/', eventHeaders: {X-Tenant: data.tenant, X-Num: data.n}}}
`

const addsKey = `name: orders
source: {type: kafka, config: {brokers: a:1, topic: orders, consumerGroup: g}}
sink: {type: kafka, config: {brokers: a:1, topic: out, key: data.tenant}}
`

// U38: transform and test passed for events that became dead letters, because only the
// running sink evaluated its expressions.
func TestCommands_evaluateTheExpressionsOfTheSink(t *testing.T) {
	for name, tc := range map[string]struct{ flow, missing, sent, expects string }{
		"headers": {addsHeaders, "compute header X-Tenant: sink.config.eventHeaders.X-Tenant: no such field: data.tenant",
			`"headers":[{"name":"X-Tenant","value":{"text":"acme"}},{"name":"X-Num","value":{"text":"1"}}]`, "eventHeaders: {x-tenant: acme, X-Other: ''}"},
		"key": {addsKey, "compute the record's key: sink.config.key: no such field: data.tenant", `"key":{"text":"acme"}`, "recordKey: acme"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := write(t, dir, "orders.yaml", tc.flow)
			call(t, "transform", "-f", file, "-i", `{"n":1}`).wants(t, 1, "", "dead letter TRANSFORM_FAILED: sink ")
			r := call(t, "transform", "-f", file, "-i", `{"n":1}`, "-o", "json")
			r.wants(t, 1, tc.missing, "")
			if list := decode[[]sentEvent](t, r); len(list) != 1 || list[0].Code != "TRANSFORM_FAILED" || list[0].Event != nil {
				t.Errorf("as JSON: %+v", list)
			}
			var compact bytes.Buffer
			r = call(t, "transform", "-f", file, "-i", `{"n":1,"tenant":"acme"}`)
			r.wants(t, 0, "", "")
			if err := json.Compact(&compact, []byte(r.out)); err != nil || !strings.Contains(compact.String(), tc.sent) {
				t.Errorf("%v, lacks %s: %s", err, tc.sent, r.out)
			}
			write(t, dir, "orders_test.yaml", "tests:\n- {name: fails, input: {n: 1}, error: TRANSFORM_FAILED, message: data.tenant}\n"+
				"- {name: passes, input: {n: 1, tenant: acme}, "+tc.expects+"}\n- {name: listed, input: {n: 1, tenant: acme}, events: [{"+tc.expects+"}]}\n"+
				"- {name: listed failure, input: {n: 1}, events: [{error: TRANSFORM_FAILED}]}\n")
			call(t, "test", dir).wants(t, 0, "4 passed, 0 failed", "")
			write(t, dir, "orders_test.yaml", "tests:\n- {name: fails, input: {n: 1, tenant: other}, "+tc.expects+"}\n"+
				"- {name: no failure, input: {n: 1, tenant: acme}, events: [{error: TRANSFORM_FAILED}]}\n- {name: failure, input: {n: 1}, "+tc.expects+"}\n")
			r = call(t, "test", dir)
			r.wants(t, 1, `is "other", expected "acme"`, "")
			r.wants(t, 1, "expected the error TRANSFORM_FAILED, but the event passed", "")
			r.wants(t, 1, "TRANSFORM_FAILED: "+tc.missing, "")
		})
	}
	file := write(t, t.TempDir(), "orders.yaml", addsHeaders)
	call(t, "transform", "-f", file, "-i", `{"n":"a\nb","tenant":"acme"}`).wants(t, 1, "", "dead letter TRANSFORM_FAILED: sink http: compute header X-Num: the value holds a line break")
}

// One sink of several fails: the others get the event.
func TestTransform_showsEachSinkOfSeveral(t *testing.T) {
	file := write(t, t.TempDir(), "orders.yaml", `name: orders
source: {type: kafka, config: {brokers: a:1, topic: orders, consumerGroup: g}}
sinks:
- {name: a, type: http, config: {url: 'http://a/', eventHeaders: {X-Tenant: data.tenant}}}
- {name: b, type: stdout}
routing: all
`)
	r := call(t, "transform", "-f", file, "-i", "{}")
	r.wants(t, 1, "", "dead letter TRANSFORM_FAILED: sink a: ")
	if list := decode[[]sentEvent](t, r); len(list) != 2 || list[0].Code != "TRANSFORM_FAILED" || list[1].Code != "" || list[1].Event == nil {
		t.Errorf("%+v", list)
	}
}

// The explanation left out split, eventHeaders and what a sink does differently.
func TestValidate_explainsWhatASinkDoesDifferently(t *testing.T) {
	file := write(t, t.TempDir(), "orders.yaml", `name: orders
source: {type: http, config: {listen: 127.0.0.1:18081, path: /orders}}
transform: {split: data.lines, fields: {sku: data.sku}}
cloudevents: {type: '"order.line"', extensions: {tenant: parent.tenant}}
sinks:
- {name: big, when: data.sku != "", type: http, config: {url: 'http://a/big', eventHeaders: {X-Tenant: data.order, X-Sku: data.sku}}, errorHandling: {maxRetries: 2, backoff: constant, initialInterval: 100ms, jitter: 0, outage: count, deadLetter: {type: file, config: {path: /big}}}}
- {name: rest, type: kafka, config: {brokers: b, topic: t, key: data.sku}}
errorHandling: {maxRetries: 30, backoff: constant, jitter: 0, deadLetter: {type: file, config: {path: /all}}, outage: hold}
`)
	r := call(t, "validate", "--explain", file)
	for _, says := range []string{
		"  split         data.lines: each element becomes an event\n", "  attributes    type: \"order.line\"\n                extensions.tenant: parent.tenant\n",
		`                - big: if data.sku != "", http: POST http://a/big, CloudEvents in structured mode
                  eventHeaders.X-Tenant: data.order
                  eventHeaders.X-Sku: data.sku
                  retries: 2, after 100ms, 100ms; together 200ms
                  outage: count: every failure uses up a retry, also while the sink is away
                  dead letters: file /big
                - rest: `,
		"                  key: data.sku\n",
		"these 20 together 4s, and so on (not sink big: see above)\n", "  dead letters  file /all (not sink big: see above)\n", "  exhausted     dlq: an event whose retries are used up becomes a dead letter\n",
	} {
		r.wants(t, 0, says, "")
	}
	j := decode[struct{ Flows []validFlow }](t, call(t, "validate", "--explain", "-o", "json", file)).Flows[0].Explanation
	if j.Split != "data.lines" || len(j.Sinks) != 2 || j.Sinks[0].MaxRetries != 2 || j.MaxRetries != 30 || j.Sinks[0].DeadLetters != "file /big" ||
		len(j.Sinks[0].Expressions) != 2 || j.Sinks[0].Expressions[0] != (plan.Expression{Key: "eventHeaders.X-Tenant", CEL: "data.order"}) || len(j.Attributes) != 2 {
		t.Errorf("as JSON: %+v", j)
	}
	one := write(t, t.TempDir(), "orders.yaml", addsHeaders)
	call(t, "validate", "--explain", one).wants(t, 0, "structured mode\n                eventHeaders.X-Tenant: data.tenant\n                eventHeaders.X-Num: data.n\n", "")
}
