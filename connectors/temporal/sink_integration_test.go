//go:build integration

package temporal

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// callWith returns a Call function for one workflow.
func callWith(c Call) CallFunc {
	return func(context.Context, *cloudevent.Event) (Call, error) {
		c.WorkflowType, c.TaskQueue, c.SignalName, c.UpdateName = "Order", "orders", "paid", "pay"
		return c, nil
	}
}

func (s *realServer) sink(action string, opts SinkOptions, change ...func(c *SinkConfig)) *Sink {
	s.t.Helper()
	cfg := sinkConfig(s.address, action)
	for _, f := range change {
		f(&cfg)
	}
	return newTestSink(s.t, cfg, opts)
}

func mustSend(t *testing.T, s *Sink, events ...*cloudevent.Event) {
	t.Helper()
	for _, e := range events {
		if err := s.Send(t.Context(), e); err != nil {
			t.Fatalf("event %s: %v", e.ID, err)
		}
	}
}

// F16, T4: an event starts a workflow once, also if it comes again after the workflow
// closed, continued as new or was reset.
func TestTemporal_startsOneRunForAnEvent(t *testing.T) {
	srv := startTemporal(t)
	c := srv.client(client.Options{})
	srv.work(c)
	conflicts := 0
	s := srv.sink(ActionStart, SinkOptions{OnConflict: func(bool) { conflicts++ }, Call: callWith(Call{WorkflowID: "order-1", Args: [][]byte{[]byte(`"a"`)}})})
	mustSend(t, s, order("1"), order("1"))
	first, _ := srv.describe(c, "order-1")

	srv.end(c, "order-1", "again") // the next run has another request id
	mustSend(t, s, order("1"))
	if conflicts != 0 {
		t.Error("after continue-as-new the event counts as another one")
	}
	srv.end(c, "order-1", "close")
	mustSend(t, s, order("1"))
	if n := srv.runs(c, "order-1"); conflicts != 0 || n != 2 {
		t.Errorf("%d conflicts and %d runs after one event, two of them by continue-as-new", conflicts, n)
	}

	reset, err := c.ResetWorkflowExecution(t.Context(), &workflowservice.ResetWorkflowExecutionRequest{
		Namespace: "default", WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: "order-1", RunId: first}, Reason: "test", RequestId: "reset", WorkflowTaskFinishEventId: 3,
		ResetReapplyExcludeTypes: []enumspb.ResetReapplyExcludeType{enumspb.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL}, // else it ends again
	})
	if err != nil {
		t.Fatal(err)
	}
	mustSend(t, s, order("1"))
	if now, _ := srv.describe(c, "order-1"); now != reset.RunId || conflicts != 0 {
		t.Errorf("the newest run is %s, not that of the reset, after %d conflicts", now, conflicts)
	}

	mustSend(t, s, order("2"))
	if conflicts != 1 {
		t.Errorf("another event for the same workflow counts %d conflicts", conflicts)
	}
	refusing := srv.sink(ActionStart, SinkOptions{Call: callWith(Call{WorkflowID: "order-1"})}, func(c *SinkConfig) { c.OnConflict = Reject })
	wantError(t, refusing.Send(t.Context(), order("2")), connector.Permanent, "another event has started this workflow")
}

// T1: a signal arrives once in a run, also if the event comes again after the run closed.
func TestTemporal_signalsOnceARun(t *testing.T) {
	srv := startTemporal(t)
	c := srv.client(client.Options{})
	srv.work(c)
	signaled := func(run string) int {
		return srv.count(c, "w", run, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
	}
	s := srv.sink(ActionSignal, SinkOptions{Call: callWith(Call{WorkflowID: "w"})})
	wantError(t, s.Send(t.Context(), order("1")), connector.Temporary, "no such workflow runs")
	mustSend(t, srv.sink(ActionStart, SinkOptions{Call: callWith(Call{WorkflowID: "w"})}), order("0"))
	mustSend(t, s, order("1"), order("1"), order("2"))
	first, _ := srv.describe(c, "w")
	srv.end(c, "w", "again")
	if n := signaled(first) - 1; n != 2 { // without "again"
		t.Errorf("two events, one of them twice, are %d signals", n)
	}
	mustSend(t, s, order("1"), order("1")) // README: once a run
	second, _ := srv.describe(c, "w")
	srv.end(c, "w", "close")
	if n := signaled(second) - 1; n != 1 || second == first { // without "close"
		t.Errorf("after continue-as-new, run %s has %d signals", second, n)
	}
	mustSend(t, s, order("1"))
	wantError(t, s.Send(t.Context(), order("3")), connector.Temporary, "no such workflow runs")
	refusing := srv.sink(ActionSignal, SinkOptions{Call: callWith(Call{WorkflowID: "w"})}, func(c *SinkConfig) { c.OnNotFound = Reject })
	wantError(t, refusing.Send(t.Context(), order("3")), connector.Permanent, "no such workflow runs")
}

// T2: a reset run gets the signals of the run before it, but not their request ids
// (https://github.com/temporalio/temporal/issues/4028). README says so.
func TestTemporal_signalsAgainAfterAReset(t *testing.T) {
	srv := startTemporal(t)
	c := srv.client(client.Options{})
	srv.work(c)
	s := srv.sink(ActionSignal, SinkOptions{Call: callWith(Call{WorkflowID: "w"})})
	mustSend(t, srv.sink(ActionStart, SinkOptions{Call: callWith(Call{WorkflowID: "w"})}), order("0"))
	within(t, 10*time.Second, "the first task is done", func() bool {
		run, _ := srv.describe(c, "w")
		return srv.count(c, "w", run, enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED) == 1
	})
	mustSend(t, s, order("1"))
	first, _ := srv.describe(c, "w")
	reset, err := c.ResetWorkflowExecution(t.Context(), &workflowservice.ResetWorkflowExecutionRequest{
		Namespace: "default", WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: "w", RunId: first}, Reason: "test", RequestId: "reset", WorkflowTaskFinishEventId: 3,
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		mustSend(t, s, order("1"))
	}
	// The worker may be busy, and the server then adds the signal later.
	within(t, 10*time.Second, "the run after the reset has the signal of the run before, and one more", func() bool {
		return srv.count(c, "w", reset.RunId, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED) == 2
	})
}

// T3: a signal to a closed workflow starts it again, by default.
func TestTemporal_signalsAndStarts(t *testing.T) {
	srv := startTemporal(t)
	c := srv.client(client.Options{})
	srv.work(c)
	s := srv.sink(ActionSignalWithStart, SinkOptions{Call: callWith(Call{WorkflowID: "w"})})
	mustSend(t, s, order("1"), order("1"), order("2"))
	first, _ := srv.describe(c, "w")
	srv.end(c, "w", "close")
	if n := srv.count(c, "w", first, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED) - 1; n != 2 { // without "close"
		t.Errorf("two events, one of them twice, are %d signals", n)
	}
	refusing := srv.sink(ActionSignalWithStart, SinkOptions{Call: callWith(Call{WorkflowID: "w"})}, func(c *SinkConfig) { c.Reuse = ReuseReject })
	mustSend(t, refusing, order("1")) // it began the run
	wantError(t, refusing.Send(t.Context(), order("3")), connector.Permanent, "has not got the signal")
	mustSend(t, s, order("3"))
	if second, status := srv.describe(c, "w"); second == first || status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		t.Errorf("the newest run is %s, %v", second, status)
	}
}

func TestTemporal_updatesAndStarts(t *testing.T) {
	srv := startTemporal(t)
	c := srv.client(client.Options{})
	srv.work(c)
	with := func(how string, change ...func(c *SinkConfig)) *Sink {
		return srv.sink(ActionUpdateWithStart, SinkOptions{Call: callWith(Call{WorkflowID: "w", UpdateArgs: [][]byte{[]byte(`"` + how + `"`)}})}, change...)
	}
	completed := func(c *SinkConfig) { c.WaitFor = WaitCompleted }
	mustSend(t, with("cash"), order("1"), order("1"))
	mustSend(t, with("card", completed), order("2"))
	run, _ := srv.describe(c, "w")
	if n := srv.count(c, "w", run, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED); n != 2 {
		t.Errorf("two events, one of them twice, are %d updates", n)
	}
	for range 2 {
		wantError(t, with("never").Send(t.Context(), order("3")), connector.Permanent, "refused the update: no such way to pay")
		wantError(t, with("never", completed).Send(t.Context(), order("3")), connector.Permanent, "no such way to pay")
	}
	mustSend(t, with("broken"), order("4"), order("4")) // accepted
	wantError(t, with("broken", completed).Send(t.Context(), order("5")), connector.Permanent, "the handler failed")

	srv.end(c, "w", "close")
	reject := func(c *SinkConfig) { c.Reuse = ReuseReject }
	mustSend(t, with("cash", reject), order("1"))
	wantError(t, with("cash", reject).Send(t.Context(), order("6")), connector.Permanent, "has not got the update")
}

// T5, T6: the words and codes of a real server at its limits.
func TestTemporal_saysWhatTheVerdictsExpect(t *testing.T) {
	srv := startTemporal(t, "history.maximumSignalsPerExecution=3", "history.maxTotalUpdates=3", "history.maxInFlightUpdates=1")
	c := srv.client(client.Options{})
	s := srv.sink(ActionStart, SinkOptions{Call: callWith(Call{WorkflowID: "w"})})

	big := order("big")
	big.Data = cloudevent.Bytes([]byte(`"` + strings.Repeat("x", 5<<20) + `"`))
	err := s.Send(t.Context(), big)
	wantError(t, err, connector.Permanent, wordsTooLarge)
	wantError(t, err, connector.Permanent, "send less")
	big.Data = cloudevent.Bytes([]byte(`"` + strings.Repeat("x", 3<<20) + `"`))
	wantError(t, s.Send(t.Context(), big), connector.Permanent, "InvalidArgument")

	unknown := Call{WorkflowID: "w", SearchAttributes: map[string]SearchAttribute{"Nobody": {"keyword", []byte(`"x"`)}}}
	wantError(t, srv.sink(ActionStart, SinkOptions{Call: callWith(unknown)}).Send(t.Context(), order("1")), connector.Permanent, "InvalidArgument")
	elsewhere := func(c *SinkConfig) { c.Namespace = "elsewhere" }
	wantError(t, srv.sink(ActionStart, SinkOptions{Call: callWith(Call{WorkflowID: "w"})}, elsewhere).Send(t.Context(), order("1")), connector.Unavailable, hintNamespace)

	mustSend(t, s, order("1"))
	signal := srv.sink(ActionSignal, SinkOptions{Call: callWith(Call{WorkflowID: "w"})})
	mustSend(t, signal, order("1"), order("2"), order("3"))
	err = signal.Send(t.Context(), order("4"))
	wantError(t, err, connector.Blocked, wordsTooManySignals)
	wantError(t, err, connector.Blocked, hintContinueAsNew)
	mustSend(t, signal, order("3"))

	// Without a worker, an update stays in flight.
	update := func(id string, most time.Duration) error {
		call := Call{WorkflowID: "u", UpdateArgs: [][]byte{[]byte(`"cash"`)}}
		return srv.sink(ActionUpdateWithStart, SinkOptions{Call: callWith(call)}, func(c *SinkConfig) { c.Timeouts.Attempt = most }).Send(t.Context(), order(id))
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := update("1", 5*time.Second); connector.ClassOf(err) != connector.Unavailable {
			t.Errorf("an update without a worker: %v", err)
		}
	})
	within(t, 10*time.Second, "the update is in flight", func() bool {
		_, err := c.DescribeWorkflow(t.Context(), "u", "")
		return err == nil
	})
	wantError(t, update("2", 2*time.Second), connector.Blocked, "too many calls in flight")
	wait.Wait()
	srv.work(c)
	for _, id := range []string{"1", "2", "3"} {
		if err := update(id, 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	wantError(t, update("4", 10*time.Second), connector.Blocked, hintContinueAsNew)
}

// An outage costs nothing: each event starts one run, also when sink or server is killed.
func TestTemporal_startsEachEventOnceWhileTheServerIsKilled(t *testing.T) {
	srv := startTemporal(t)
	const events, senders = 300, 8
	s := srv.sink(ActionStart, SinkOptions{Call: func(_ context.Context, e *cloudevent.Event) (Call, error) {
		return Call{WorkflowType: "Order", TaskQueue: "orders"}, nil
	}}, func(c *SinkConfig) { c.Timeouts.Attempt = 3 * time.Second })
	var failures, sent atomic.Int64
	var wait sync.WaitGroup
	for sender := range senders {
		wait.Go(func() {
			for i := sender; i < events; i += senders {
				for copies := 1 + rand.IntN(2); copies > 0; {
					switch err := s.Send(t.Context(), order(fmt.Sprint(i))); connector.ClassOf(err) {
					case connector.Unavailable:
						failures.Add(1)
					default:
						if err != nil {
							failures.Add(1)
							t.Logf("event %d: %v", i, err)
							continue
						}
						copies--
					}
				}
				sent.Add(1)
			}
		})
	}
	for _, at := range []int64{events / 4, events / 2} {
		within(t, time.Minute, "some events are sent", func() bool { return sent.Load() >= at })
		srv.kill()
		srv.start()
	}
	wait.Wait()
	if failures.Load() == 0 {
		t.Error("no call failed, so the test shows nothing")
	}
	c := srv.client(client.Options{})
	for i := range events {
		id := fmt.Sprintf("flow-%d", i)
		if run, status := srv.describe(c, id); run == "" || status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
			t.Errorf("event %d: run %q is %v", i, run, status)
		}
	}
	within(t, time.Minute, "the list holds one run for each event", func() bool {
		n, err := c.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{Query: `WorkflowType = "Order"`})
		if err != nil {
			t.Fatal(err)
		}
		if n.Count > events {
			t.Fatalf("%d runs for %d events", n.Count, events)
		}
		return n.Count == events
	})
	t.Logf("%d events started %d runs in spite of %d failures", events, events, failures.Load())
}

// turnedCodec turns each byte around.
type turnedCodec struct{}

func (turnedCodec) Encode(in []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(in))
	for i, p := range in {
		inner, err := p.Marshal()
		if err != nil {
			return nil, err
		}
		out[i] = &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("binary/turned")}, Data: turned(inner)}
	}
	return out, nil
}

func (turnedCodec) Decode(in []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(in))
	for i, p := range in {
		if out[i] = p; string(p.Metadata["encoding"]) != "binary/turned" {
			continue
		}
		out[i] = new(commonpb.Payload)
		if err := out[i].Unmarshal(turned(p.Data)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func turned(in []byte) []byte {
	out := make([]byte, len(in))
	for i, b := range in {
		out[i] = b ^ 0xff
	}
	return out
}

// T7: what the codec server of the SDK encrypts, a worker of the SDK decrypts.
func TestTemporal_readsWhatTheCodecEncrypted(t *testing.T) {
	srv := startTemporal(t)
	codec := httptest.NewServer(converter.NewPayloadCodecHTTPHandler(turnedCodec{}))
	defer codec.Close()
	data := converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), turnedCodec{})
	c := srv.client(client.Options{DataConverter: data})
	srv.work(c)
	call := Call{WorkflowID: "w", Args: [][]byte{[]byte(`"` + canary + `"`)}, Memo: map[string][]byte{"tenant": []byte(`"acme"`)}, SearchAttributes: map[string]SearchAttribute{"Customer": {"keyword", []byte(`"c1"`)}}}
	s := srv.sink(ActionSignalWithStart, SinkOptions{Call: callWith(call)}, func(c *SinkConfig) { c.Codec.Endpoint = codec.URL })
	mustSend(t, s, order("1"))
	d, err := c.DescribeWorkflow(t.Context(), "w", "")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(d.RawResponse.WorkflowExecutionInfo.Memo.Fields["tenant"].Metadata["encoding"]); got != "binary/turned" {
		t.Errorf("the memo is %s", got)
	}
	srv.end(c, "w", "close")
	var result orderState
	if err := c.GetWorkflow(t.Context(), "w", "").Get(t.Context(), &result); err != nil || len(result.Args) != 1 || result.Args[0] != canary || result.Signals != 1 {
		t.Errorf("the workflow saw %+v, %v", result, err)
	}
	codec.Config.Handler = http.NotFoundHandler()
	wantError(t, s.Send(t.Context(), order("2")), connector.Unavailable, "the codec server answered 404")
}

func TestTemporal_passesItsCheck(t *testing.T) {
	srv := startTemporal(t)
	opts := SinkOptions{TaskQueues: []string{"orders"}, SearchAttributes: map[string]string{"Customer": "keyword", "WorkflowType": "keyword"}}
	want := "compare the lengths of names\nconnect to " + srv.address + "\nfind namespace default (retention 24h0m0s)\ncompare search attributes\nlook for workers of task queue orders"
	if got := steps(srv.sink(ActionStart, opts).Check(t.Context())); got != want+" WARNS no worker polls the task queue: workflows start, and wait for one\n" {
		t.Errorf("without a worker the steps are\n%s", got)
	}
	srv.work(srv.client(client.Options{}))
	s := srv.sink(ActionStart, opts)
	within(t, 10*time.Second, "the worker is seen", func() bool { return steps(s.Check(t.Context())) == want+"\n" })
	opts.SearchAttributes = map[string]string{"Customer": "int", "Nobody": "keyword"}
	got := steps(srv.sink(ActionStart, opts).Check(t.Context()))
	for _, part := range []string{"Customer: its type is keyword on the server, and int here", "Nobody: the namespace has no such search attribute"} {
		if !strings.Contains(got, part) {
			t.Errorf("the steps are\n%swant %s", got, part)
		}
	}
}
