package cli

import (
	"strings"
	"testing"
)

const good = `tests:
  - name: a paid order keeps its status
    input: {legacy_id: A-1, order_status: PAID}
    key: customer-1
    headers: {ce_type: ignored}
    time: 2026-01-02T03:04:05Z
    output: {status: PAID, order_id: A-1}
    event: {subject: customer-1, time: "2026-01-02T03:04:05Z", type: fiso.event}
  - name: text is taken as it is
    input: '{"legacy_id": 12345678901234567890, "order_status": 1.0}'
    output: '{"status": 1, "order_id": 12345678901234567890}'
  - name: no status
    input: {legacy_id: A-2}
    error: TRANSFORM_FAILED
    message: "no such field: data.order_status"
  - name: a tombstone has null data
    error: TRANSFORM_FAILED
    message: "no such field: data.legacy_id"
  - name: tests are left out
    input: {test: true}
    filtered: true
`

func TestTest_passesWhenEveryClaimHolds(t *testing.T) {
	dir := t.TempDir()
	flow := write(t, dir, "orders.yaml", orders)
	file := write(t, dir, "orders_test.yaml", good)
	for _, path := range []string{dir, flow, file} {
		call(t, "test", path).wants(t, 0, "5 passed, 0 failed", "")
	}
	call(t, "test", dir).wants(t, 0, "ok    "+file+": a paid order keeps its status", "")
	j := decode[struct {
		OK    bool
		Tests []testResult
	}](t, call(t, "test", "-o", "json", dir))
	if !j.OK || len(j.Tests) != 5 || j.Tests[0].Test != "a paid order keeps its status" {
		t.Errorf("as JSON: %+v", j)
	}
}

func TestTest_saysWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct{ test, says string }{
		"other output":    {"{name: x, input: {legacy_id: 1, order_status: 2}, output: {order_id: 1, status: 3}}", "the output is"},
		"output by text":  {`{name: x, input: {legacy_id: 1, order_status: 2}, output: "text"}`, "the output is"},
		"missing member":  {"{name: x, input: {legacy_id: 1, order_status: 2}, output: {order_id: 1, state: 2}}", "the output is"},
		"list too short":  {"{name: x, input: {legacy_id: [1], order_status: [1, 2]}, output: {order_id: [1], status: [1]}}", "the output is"},
		"list differs":    {"{name: x, input: {legacy_id: [1], order_status: [1, 2]}, output: {order_id: [1], status: [1, 3]}}", "the output is"},
		"number for text": {`{name: x, input: {legacy_id: "1", order_status: 2}, output: {order_id: 1, status: 2}}`, "the output is"},
		"other attribute": {"{name: x, input: {legacy_id: 1, order_status: 2}, event: {type: order.created}}", `type is "fiso.event", expected "order.created"`},
		"not filtered":    {"{name: x, input: {legacy_id: 1, order_status: 2}, filtered: true}", "expected the event to be filtered, but it passed"},
		"filtered":        {"{name: x, input: {test: 1}, output: {}}", "the event was filtered"},
		"no error":        {"{name: x, input: {legacy_id: 1, order_status: 2}, error: TRANSFORM_FAILED}", "expected the error TRANSFORM_FAILED, but the event passed"},
		"other error":     {"{name: x, input: '{', error: TRANSFORM_FAILED}", "expected the error TRANSFORM_FAILED, got DECODE_FAILED"},
		"other message":   {"{name: x, input: {}, error: TRANSFORM_FAILED, message: too large}", `expected an error that says "too large"`},
		"an error":        {"{name: x, input: {}, output: {}}", "TRANSFORM_FAILED: transform.cel: no such field: data.legacy_id"},
		"bad input":       {"{name: x, input: {a: .inf}, output: {}}", "cannot be written in JSON"},
		"bad output":      {"{name: x, input: {legacy_id: 1, order_status: 2}, output: {a: .inf}}", "cannot be written in JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "orders.yaml", orders)
			file := write(t, dir, "orders_test.yaml", "tests: ["+c.test+"]\n")
			r := call(t, "test", file)
			r.wants(t, 1, "FAIL  "+file+": x", "")
			r.wants(t, 1, c.says, "")
			r.wants(t, 1, "0 passed, 1 failed", "")
		})
	}
}

const split = `name: orders
source: {type: kafka, config: {brokers: b, topic: t, consumerGroup: g}}
filter: 'data.?test != optional.of(true)'
transform: {split: data.items, cel: '{"sku": data.sku, "order": parent.id}'}
sinks:
  - {name: big, when: data.sku.startsWith("b"), type: stdout}
  - {name: all, when: data.sku != "z", type: stdout}
routing: all
`

func TestTest_judgesEachOfSeveralEvents(t *testing.T) {
	for name, c := range map[string]struct{ test, says string }{
		"all as claimed": {"{name: x, input: {id: o, items: [{sku: a}, {sku: b}]}, events: [{sink: all, output: {sku: a, order: o}}, " +
			"{sink: big, event: {id: 'test-0-0#1'}}, {sink: all, event: {id: 'test-0-0#1'}}]}", "ok    "},
		"no event":        {"{name: x, input: {id: o, items: []}, filtered: true}", "ok    "},
		"no sink":         {"{name: x, input: {id: o, items: [{sku: z}]}, unrouted: true}", "ok    "},
		"one of one":      {"{name: x, input: {id: o, items: [{sku: a}]}, sink: all}", "ok    "},
		"too many":        {"{name: x, input: {id: o, items: [{sku: b}]}, output: {sku: b, order: o}}", "got 2 events for sinks, expected 1"},
		"another sink":    {"{name: x, input: {id: o, items: [{sku: a}]}, sink: big}", "the sink is all, expected big"},
		"another output":  {"{name: x, input: {id: o, items: [{sku: b}]}, events: [{}, {output: {sku: c}}]}", "event 2: the output is"},
		"nobody takes it": {"{name: x, input: {id: o, items: [{sku: z}]}, sink: all}", "no sink takes the event"},
		"somebody does":   {"{name: x, input: {id: o, items: [{sku: a}]}, unrouted: true}", "expected no sink to take the event, but sink all does"},
		"it is filtered":  {"{name: x, input: {test: true}, unrouted: true}", "the event was filtered"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "orders.yaml", split)
			r := call(t, "test", write(t, dir, "orders_test.yaml", "tests: ["+c.test+"]\n"))
			want := 1
			if strings.HasPrefix(c.says, "ok") {
				want = 0
			}
			r.wants(t, want, c.says, "")
		})
	}
}

func TestTransform_showsEachOfSeveralEventsAndItsSink(t *testing.T) {
	file := write(t, t.TempDir(), "orders.yaml", split)
	type shown struct {
		Sink  string
		Event struct{ ID string }
	}
	got := decode[[]shown](t, call(t, "transform", "-o", "json", "--flow", file, "--input", `{"id":"o","items":[{"sku":"a"},{"sku":"b"}]}`))
	if len(got) != 3 || got[0].Sink != "all" || got[0].Event.ID != "input-0-0#0" || got[1].Sink != "big" || got[1].Event.ID != "input-0-0#1" || got[2].Sink != "all" {
		t.Errorf("got %+v", got)
	}
	call(t, "transform", "--flow", file, "--input", `{"id":"o","items":[{"sku":"z"}]}`).wants(t, 0, "", "unrouted: no sink takes the event; it is acknowledged, counted and not sent")
	call(t, "transform", "-o", "json", "--flow", file, "--input", `{"id":"o","items":[{"sku":"z"}]}`).wants(t, 0, `"unrouted": true`, "")
	call(t, "transform", "--flow", file, "--input", `{"test":true}`).wants(t, 0, "", "filtered: the event is acknowledged, counted and not sent")
}

func TestTest_refusesInvalidTestFiles(t *testing.T) {
	for name, c := range map[string]struct{ flow, test, says string }{
		"no tests":         {orders, "", "no transform tests at"},
		"no expectation":   {orders, "tests: [{name: x, input: {}}]\n", "a test expects one of"},
		"unknown error":    {orders, "tests: [{name: x, input: {}, error: DECODE_FAILD}]\n", `did you mean "DECODE_FAILED"?`},
		"two expectations": {orders, "tests: [{name: x, input: {}, output: {}, filtered: true}]\n", "a test expects one of"},
		"stray message":    {orders, "tests: [{name: x, input: {}, filtered: true, message: hm}]\n", "goes with error"},
		"a slip":           {orders, "tests: [{nam: x}]\n", `did you mean "name"?`},
		"no such flow":     {orders, "flow: other.yaml\ntests: [{name: x, filtered: true}]\n", "other.yaml"},
		"broken flow":      {strings.Replace(orders, "data.", "dat.", 1), good, "orders.yaml:8:"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "orders.yaml", c.flow)
			if c.test != "" {
				write(t, dir, "orders_test.yaml", c.test)
			}
			call(t, "test", dir).wants(t, 1, "", c.says)
		})
	}
	call(t, "test", "/does/not/exist").wants(t, 1, "", "look for transform tests")
	call(t, "test", "/does/not/exist_test.yaml").wants(t, 1, "", "look for transform tests")
}

func TestTest_leavesItsFilesOutOfTheFlows(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "orders.yaml", orders)
	write(t, dir, "orders_test.yaml", good)
	call(t, "validate", dir).wants(t, 0, "flow orders is valid", "")
}
