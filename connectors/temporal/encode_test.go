package temporal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/lsm/fiso/common/cloudevent"
)

func TestSink_sendsTheEventWhereNoArgumentsAreGiven(t *testing.T) {
	srv := newServer(t)
	s := newTestSink(t, sinkConfig(srv.address, ActionSignalWithStart), SinkOptions{})
	e := order("1")
	e.Data = cloudevent.Bytes([]byte(`{"n":12345678901234567890.10}`))
	if err := s.Send(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	r, _ := last[*workflowservice.SignalWithStartWorkflowExecutionRequest](t, srv)
	want, err := e.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	for what, input := range map[string]*commonpb.Payloads{"workflow": r.Input, "signal": r.SignalInput} {
		if len(input.Payloads) != 1 || string(input.Payloads[0].Data) != string(want) || string(input.Payloads[0].Metadata["encoding"]) != "json/plain" {
			t.Errorf("the argument of the %s is %v; want the event as json/plain, with its digits", what, input)
		}
	}
}

func TestSink_sendsEverythingOfACall(t *testing.T) {
	srv := newServer(t)
	cfg := sinkConfig(srv.address, ActionStart)
	cfg.Namespace = "shop"
	cfg.Reuse = ReuseAllowFailed
	cfg.Timeouts = Timeouts{Execution: 24 * time.Hour, Run: time.Hour, Task: 20 * time.Second}
	cfg.Retry = RetryPolicy{MaximumAttempts: 3, NonRetryable: []string{"Bad"}}
	cfg.StartDelay = 5 * time.Minute
	s := newTestSink(t, cfg, SinkOptions{Call: func(context.Context, *cloudevent.Event) (Call, error) {
		return Call{
			WorkflowType: "Order", TaskQueue: "orders", Args: [][]byte{[]byte(`1`), []byte(`"two"`)}, Memo: map[string][]byte{"tenant": []byte(`"acme"`)},
			SearchAttributes: map[string]SearchAttribute{"Customer": {"keyword", []byte(`"c1"`)}, "None": {"int", []byte(` null `)}},
			PriorityKey:      2, FairnessKey: "acme",
		}, nil
	}})
	e := order("1")
	e.SetExtension("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	e.SetExtension("tracestate", "a=b")
	if err := s.Send(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	r, md := last[*workflowservice.StartWorkflowExecutionRequest](t, srv)
	if md.Get("temporal-namespace")[0] != "shop" || r.Namespace != "shop" {
		t.Errorf("namespace is %q, and %v in the header", r.Namespace, md.Get("temporal-namespace"))
	}
	for _, row := range []struct{ what, got, want string }{
		{"workflow id", r.WorkflowId, "flow-1"},
		{"type", r.WorkflowType.Name, "Order"},
		{"task queue", r.TaskQueue.Name, "orders"},
		{"identity", r.Identity, "fiso/flow/sink"},
		{"arguments", string(r.Input.Payloads[0].Data) + string(r.Input.Payloads[1].Data), `1"two"`},
		{"memo", string(r.Memo.Fields["tenant"].Data), `"acme"`},
		{"attribute", string(r.SearchAttributes.IndexedFields["Customer"].Data), `"c1"`},
		{"attribute type", string(r.SearchAttributes.IndexedFields["Customer"].Metadata["type"]), "Keyword"},
		{"trace", string(r.Header.Fields["_tracer-data"].Data), `{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","tracestate":"a=b"}`},
		{"fairness key", r.Priority.FairnessKey, "acme"},
		{"reuse", r.WorkflowIdReusePolicy.String(), enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY.String()},
		{"timeouts", r.WorkflowExecutionTimeout.AsDuration().String() + r.WorkflowRunTimeout.AsDuration().String() + r.WorkflowTaskTimeout.AsDuration().String(), "24h0m0s1h0m0s20s"},
		{"delay", r.WorkflowStartDelay.AsDuration().String(), "5m0s"},
		{"retry", r.RetryPolicy.InitialInterval.AsDuration().String() + r.RetryPolicy.NonRetryableErrorTypes[0], "1sBad"},
	} {
		if row.got != row.want {
			t.Errorf("%s is %s; want %s", row.what, row.got, row.want)
		}
	}
	if r.Priority.PriorityKey != 2 || r.RetryPolicy.MaximumAttempts != 3 || r.RetryPolicy.BackoffCoefficient != 2 || r.RetryPolicy.MaximumInterval != nil {
		t.Errorf("priority is %v, retry policy %v", r.Priority, r.RetryPolicy)
	}
	if names := slices.Collect(maps.Keys(r.SearchAttributes.IndexedFields)); len(names) != 1 {
		t.Errorf("search attributes are %v; null leaves one out", names)
	}
}

func TestSink_namesAWorkflowByTheEventWithoutAFlow(t *testing.T) {
	srv := newServer(t)
	s, err := NewSink(sinkConfig(srv.address, ActionStart), SinkOptions{Call: func(context.Context, *cloudevent.Event) (Call, error) {
		return Call{WorkflowType: "Order", TaskQueue: "orders"}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Send(t.Context(), order("1")), s.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	if r, _ := last[*workflowservice.StartWorkflowExecutionRequest](t, srv); r.WorkflowId != "1" || r.Identity != "fiso" {
		t.Errorf("the workflow is %q, of %q", r.WorkflowId, r.Identity)
	}
}

func TestRetryPolicy_takesWhatIsSet(t *testing.T) {
	r := RetryPolicy{InitialInterval: time.Minute, BackoffCoefficient: 1.5, MaximumInterval: time.Hour}
	p := r.policy()
	if p.InitialInterval.AsDuration() != time.Minute || p.BackoffCoefficient != 1.5 || p.MaximumInterval.AsDuration() != time.Hour {
		t.Errorf("the policy is %v", p)
	}
}

func TestQuoteLargeInts_changesNothingElse(t *testing.T) {
	for in, want := range map[string]string{
		`9007199254740992`:                `9007199254740992`,
		`9007199254740993`:                `"9007199254740993"`,
		`-9007199254740993`:               `"-9007199254740993"`,
		`[1,12345678901234567890,-2]`:     `[1,"12345678901234567890",-2]`,
		`{"a":12345678901234567,"b":0}`:   `{"a":"12345678901234567","b":0}`,
		`"12345678901234567890 \" 1e400"`: `"12345678901234567890 \" 1e400"`,
		`12345678901234567890.5`:          `12345678901234567890.5`,
		`1e30`:                            `1e30`,
		`{"a\\":12345678901234567890}`:    `{"a\\":"12345678901234567890"}`,
		`true`:                            `true`,
	} {
		if got := string(quoteLargeInts([]byte(in))); got != want {
			t.Errorf("%s becomes %s; want %s", in, got, want)
		}
	}
}

func TestSink_quotesLargeIntsWhereAsked(t *testing.T) {
	srv := newServer(t)
	e := order("1")
	e.Data = cloudevent.Bytes([]byte(`{"id":12345678901234567890}`))
	for setting, want := range map[string]string{Int64Number: `"data":{"id":12345678901234567890}`, Int64String: `"data":{"id":"12345678901234567890"}`} {
		cfg := sinkConfig(srv.address, ActionStart)
		cfg.Int64 = setting
		s := newTestSink(t, cfg, SinkOptions{})
		if err := s.Send(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		r, _ := last[*workflowservice.StartWorkflowExecutionRequest](t, srv)
		if got := r.Input.Payloads[0].Data; !bytes.Contains(got, []byte(want)) {
			t.Errorf("with int64: %s the argument is %s; want %s in it", setting, got, want)
		}
	}
}

// FuzzQuoteLargeInts checks that every JSON text stays one, and that its values stay
// the same but for the large integers.
func FuzzQuoteLargeInts(f *testing.F) {
	for _, seed := range []string{`{"a":[9007199254740993,"\"9007199254740993"]}`, `-0`, `1e5`, `"\\"`, ` [ 99999999999999999999 ] `} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !json.Valid(text) {
			return
		}
		in, out := decoded(t, text), decoded(t, quoteLargeInts(bytes.Clone(text)))
		if a, b := rendered(t, in), rendered(t, out); a != b {
			t.Errorf("%s means %s, and %s afterwards", text, a, b)
		}
	})
}

func decoded(t *testing.T, text []byte) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// rendered writes a value with large integers as texts, in its own way.
func rendered(t *testing.T, v any) string {
	var walk func(v any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case json.Number:
			if n, err := v.Int64(); err == nil && n <= 1<<53 && n >= -1<<53 || bytes.ContainsAny([]byte(v), ".eE") {
				return v
			}
			return string(v)
		case []any:
			for i := range v {
				v[i] = walk(v[i])
			}
		case map[string]any:
			for k := range v {
				v[k] = walk(v[k])
			}
		}
		return v
	}
	text, err := json.Marshal(walk(v))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSearchAttributes_haveTheTypeThatTheyClaim(t *testing.T) {
	good := map[string][]string{
		"keyword": {`"a"`}, "text": {`"a b"`}, "int": {`1`, `-9223372036854775808`}, "double": {`1`, `1.5`, `1e3`},
		"bool": {`true`, `false`}, "datetime": {`"2026-01-31T12:00:00Z"`}, "keywordList": {`[]`, `["a","b"]`},
	}
	bad := map[string][]string{
		"keyword": {`1`}, "text": {`null1`, `[]`}, "int": {`1.5`, `"1"`, `9223372036854775808`}, "double": {`"1"`},
		"bool": {`"true"`, `0`}, "datetime": {`"yesterday"`, `1`}, "keywordList": {`"a"`, `["a",1]`}, "uuid": {`"a"`},
	}
	for kind, values := range good {
		for _, value := range values {
			if _, err := encodeSearchAttributes(map[string]SearchAttribute{"A": {kind, []byte(value)}}); err != nil {
				t.Errorf("%s of type %s: %v", value, kind, err)
			}
		}
	}
	for kind, values := range bad {
		for _, value := range values {
			if _, err := encodeSearchAttributes(map[string]SearchAttribute{"A": {kind, []byte(value)}}); err == nil {
				t.Errorf("%s passes for type %s", value, kind)
			}
		}
	}
	if len(good) != len(SearchAttributeTypes()) {
		t.Errorf("the types are %v", SearchAttributeTypes())
	}
}
