package temporal

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// idsOf returns the ids by which the server recognises a request.
func idsOf(t *testing.T, request any) []string {
	t.Helper()
	switch r := request.(type) {
	case *workflowservice.StartWorkflowExecutionRequest:
		return []string{r.RequestId}
	case *workflowservice.SignalWorkflowExecutionRequest:
		return []string{r.RequestId}
	case *workflowservice.SignalWithStartWorkflowExecutionRequest:
		return []string{r.RequestId}
	case *workflowservice.ExecuteMultiOperationRequest:
		return []string{r.Operations[0].GetStartWorkflow().RequestId, r.Operations[1].GetUpdateWorkflow().GetRequest().GetMeta().GetUpdateId()}
	}
	t.Fatalf("unexpected request %T", request)
	return nil
}

// T1: the SDK sends a fresh request id with each signal
// (https://github.com/temporalio/sdk-go/issues/1705), so a redelivery would signal twice.
func TestSink_sendsTheSameRequestIDForAnEventThatComesAgain(t *testing.T) {
	for _, action := range []string{ActionStart, ActionSignal, ActionSignalWithStart, ActionUpdateWithStart} {
		t.Run(action, func(t *testing.T) {
			srv := newServer(t)
			for range 2 { // as after a restart
				s := newTestSink(t, sinkConfig(srv.address, action), SinkOptions{})
				if err := s.Send(t.Context(), order("1")); err != nil {
					t.Fatal(err)
				}
			}
			var all []string
			for _, r := range srv.taken() {
				all = append(all, idsOf(t, r)...)
			}
			for _, id := range all {
				if id != all[0] || !strings.HasPrefix(id, "fiso-") || len(id) != len("fiso-")+32 {
					t.Errorf("request ids are %q; want one of 128 bits, always the same", all)
				}
			}
		})
	}
}

// T2: a run compares nothing but the request id
// (https://github.com/temporalio/sdk-java/issues/3050: two signals, one id, the second is
// dropped).
func TestSink_sendsAnotherRequestIDForWhateverDiffers(t *testing.T) {
	srv := newServer(t)
	type what struct{ flow, sink, action, signal, source, id string }
	base := what{"flow", "sink", ActionSignal, "paid", "/orders", "1"}
	seen := map[string]string{}
	for name, w := range map[string]what{
		"nothing":     base,
		"the flow":    {"flow2", "sink", ActionSignal, "paid", "/orders", "1"},
		"the sink":    {"flow", "sink2", ActionSignal, "paid", "/orders", "1"},
		"the action":  {"flow", "sink", ActionSignalWithStart, "paid", "/orders", "1"},
		"the signal":  {"flow", "sink", ActionSignal, "sent", "/orders", "1"},
		"the source":  {"flow", "sink", ActionSignal, "paid", "/returns", "1"},
		"the id":      {"flow", "sink", ActionSignal, "paid", "/orders", "2"},
		"the part":    {"flow", "sink", ActionSignal, "paid", "/orders", "1#1"},
		"the borders": {"flows", "ink", ActionSignal, "paid", "/orders", "1"},
	} {
		call := func(context.Context, *cloudevent.Event) (Call, error) {
			return Call{WorkflowID: "w", WorkflowType: "Order", TaskQueue: "orders", SignalName: w.signal}, nil
		}
		s := newTestSink(t, sinkConfig(srv.address, w.action), SinkOptions{Flow: w.flow, SinkName: w.sink, Call: call})
		e := order(w.id)
		e.Source = w.source
		if err := s.Send(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		requests := srv.taken()
		id := idsOf(t, requests[len(requests)-1])[0]
		if other := seen[id]; other != "" {
			t.Errorf("the id is the same if %s differs and if %s does", name, other)
		}
		seen[id] = name
	}
}

func TestSink_distinguishesTwoUpdatesOfOneEvent(t *testing.T) {
	srv := newServer(t)
	for _, name := range []string{"pay", "refund"} {
		call := func(context.Context, *cloudevent.Event) (Call, error) {
			return Call{WorkflowType: "Order", TaskQueue: "orders", UpdateName: name}, nil
		}
		s := newTestSink(t, sinkConfig(srv.address, ActionUpdateWithStart), SinkOptions{Call: call})
		if err := s.Send(t.Context(), order("1")); err != nil {
			t.Fatal(err)
		}
	}
	if r := srv.taken(); idsOf(t, r[0])[1] == idsOf(t, r[1])[1] {
		t.Error("two updates have the same id")
	}
}

// T4: CloudEvent ids are unique only with their source, and a topic that was created
// again repeats offsets (https://github.com/twmb/franz-go/issues/1426).
// F16: the SDK hides "already started" (https://github.com/temporalio/sdk-go/issues/220).
func TestSink_tellsItsOwnStartFromThatOfAnotherEvent(t *testing.T) {
	const own, other = "own", "fiso-ffff"
	for _, row := range []struct {
		name       string
		onConflict string
		startedBy  string // request id of the run in the way
		memo       string // request id in its memo
		conflicts  []bool
		class      connector.Class
		text       string
	}{
		{name: "started by this event", startedBy: own},
		{name: "continued as new", startedBy: other, memo: own},
		{name: "another event, accepted", startedBy: other, memo: other, conflicts: []bool{true}},
		{name: "another event, refused", onConflict: Reject, startedBy: other, memo: other, conflicts: []bool{false}, class: connector.Permanent, text: "another event has started this workflow, and onConflict is reject"},
		{name: "somebody else", startedBy: "uuid", conflicts: []bool{true}},
	} {
		t.Run(row.name, func(t *testing.T) {
			srv := newServer(t)
			var conflicts []bool
			cfg := sinkConfig(srv.address, ActionStart)
			cfg.OnConflict = row.onConflict
			s := newTestSink(t, cfg, SinkOptions{OnConflict: func(accepted bool) { conflicts = append(conflicts, accepted) }})
			srv.answers(func(_ context.Context, request any) (any, error) {
				id := func(name, own string) string { return map[bool]string{true: own, false: name}[name == "own"] }
				switch r := request.(type) {
				case *workflowservice.StartWorkflowExecutionRequest:
					if r.WorkflowIdReusePolicy != enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE || r.WorkflowIdConflictPolicy != enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL {
						t.Errorf("policies are %v and %v", r.WorkflowIdReusePolicy, r.WorkflowIdConflictPolicy)
					}
					return nil, serviceerror.NewWorkflowExecutionAlreadyStarted("already started", id(row.startedBy, r.RequestId), "run-2")
				case *workflowservice.DescribeWorkflowExecutionRequest:
					if r.Execution.RunId != "run-2" || r.Execution.WorkflowId != "order-1" {
						t.Errorf("the sink asks about %v", r.Execution)
					}
					info := &workflowpb.WorkflowExecutionInfo{}
					if row.memo != "" {
						text, err := json.Marshal(id(row.memo, s.requestID(&Call{}, order("1"))))
						if err != nil {
							t.Error(err)
						}
						info.Memo = &commonpb.Memo{Fields: map[string]*commonpb.Payload{"fiso-event": {Data: text}}}
					}
					return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: info}, nil
				}
				return nil, nil
			})
			err := s.Send(t.Context(), order("1"))
			if row.text != "" {
				wantError(t, err, row.class, row.text)
			} else if err != nil {
				t.Errorf("Send returned %v", err)
			}
			if len(conflicts) != len(row.conflicts) || len(conflicts) == 1 && conflicts[0] != row.conflicts[0] {
				t.Errorf("counted conflicts are %v; want %v", conflicts, row.conflicts)
			}
		})
	}
}

func TestSink_retriesIfItCannotLearnWhoStartedTheWorkflow(t *testing.T) {
	for _, row := range []struct {
		err   error
		class connector.Class
		text  string
	}{
		{serviceerror.NewNotFound("no such run"), connector.Temporary, "deleted in the meantime"},
		{serviceerror.NewUnavailable("shutting down"), connector.Unavailable, "ask who started the workflow"},
	} {
		srv := newServer(t)
		s := newTestSink(t, sinkConfig(srv.address, ActionStart), SinkOptions{})
		srv.answers(func(_ context.Context, request any) (any, error) {
			if _, ok := request.(*workflowservice.StartWorkflowExecutionRequest); ok {
				return nil, serviceerror.NewWorkflowExecutionAlreadyStarted("already started", "other", "run")
			}
			return nil, row.err
		})
		wantError(t, s.Send(t.Context(), order("1")), row.class, row.text)
	}
}

// The memo and the header hold the request id, so that the next run and the workflow
// itself can recognise an event.
func TestSink_leavesTheRequestIDInMemoAndHeader(t *testing.T) {
	srv := newServer(t)
	s := newTestSink(t, sinkConfig(srv.address, ActionStart), SinkOptions{})
	if err := s.Send(t.Context(), order("1")); err != nil {
		t.Fatal(err)
	}
	r, _ := last[*workflowservice.StartWorkflowExecutionRequest](t, srv)
	want := `"` + r.RequestId + `"`
	if got := string(r.Memo.Fields["fiso-event"].GetData()); got != want {
		t.Errorf("the memo fiso-event is %s; want %s", got, want)
	}
	if got := string(r.Header.Fields["fiso-event"].GetData()); got != want {
		t.Errorf("the header fiso-event is %s; want %s", got, want)
	}
}

// T3: "already started" of a signalWithStart means that nobody got the signal
// (https://github.com/temporalio/temporal/issues/8284,
// https://github.com/temporalio/temporal/pull/11968).
func TestSink_neverTakesAlreadyStartedForADeliveredSignal(t *testing.T) {
	srv := newServer(t)
	s := newTestSink(t, sinkConfig(srv.address, ActionSignalWithStart), SinkOptions{})
	if err := s.Send(t.Context(), order("1")); err != nil {
		t.Fatal(err)
	}
	r, _ := last[*workflowservice.SignalWithStartWorkflowExecutionRequest](t, srv)
	if r.WorkflowIdReusePolicy != enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE {
		t.Errorf("the default of reuse is %v; want that a closed workflow is started again", r.WorkflowIdReusePolicy)
	}

	cfg := sinkConfig(srv.address, ActionSignalWithStart)
	cfg.Reuse = ReuseReject
	s = newTestSink(t, cfg, SinkOptions{})
	startedBy := "other"
	srv.answers(func(_ context.Context, request any) (any, error) {
		switch r := request.(type) {
		case *workflowservice.SignalWithStartWorkflowExecutionRequest:
			if startedBy == "own" {
				startedBy = r.RequestId
			}
			return nil, serviceerror.NewWorkflowExecutionAlreadyStarted("already finished", startedBy, "run")
		case *workflowservice.DescribeWorkflowExecutionRequest:
			if startedBy == "gone" {
				return nil, serviceerror.NewNotFound("no such run")
			}
			return &workflowservice.DescribeWorkflowExecutionResponse{}, nil
		}
		return nil, nil
	})
	wantError(t, s.Send(t.Context(), order("1")), connector.Permanent, "the workflow is closed and has not got the signal, and reuse: reject allows no further run")
	startedBy = "gone"
	wantError(t, s.Send(t.Context(), order("1")), connector.Temporary, "deleted in the meantime")
	startedBy = "own"
	if err := s.Send(t.Context(), order("1")); err != nil {
		t.Errorf("Send returned %v for the event that had started the workflow", err)
	}
}
