package temporal

import (
	"context"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/api/serviceerror"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/lsm/fiso/common/connector"
)

const (
	admitted  = enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ADMITTED
	accepted  = enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED
	completed = enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED
)

func TestSink_waitsUntilAnUpdateIsAsFarAsItShould(t *testing.T) {
	success := &updatepb.Outcome{Value: &updatepb.Outcome_Success{Success: &commonpb.Payloads{}}}
	failure := &updatepb.Outcome{Value: &updatepb.Outcome_Failure{Failure: &failurepb.Failure{Message: "no such order"}}}
	type stage = enumspb.UpdateWorkflowExecutionLifecycleStage
	type answer struct {
		stage   stage
		outcome *updatepb.Outcome
		err     error
	}
	for _, row := range []struct {
		name, waitFor string
		first         answer
		polls         []answer
		class         connector.Class
		text          string // "": delivered
	}{
		{name: "accepted", first: answer{stage: accepted}},
		{name: "accepted and completed at once", first: answer{stage: completed, outcome: success}},
		{name: "accepted later", first: answer{stage: admitted}, polls: []answer{{stage: admitted}, {stage: accepted}}},
		{name: "rejected", first: answer{stage: completed, outcome: failure}, polls: []answer{{err: serviceerror.NewNotFound("no such update")}}, class: connector.Permanent, text: "refused the update: no such order"},
		{name: "accepted, then failed", first: answer{stage: completed, outcome: failure}, polls: []answer{{stage: completed, outcome: failure}}},
		{name: "unknown whether accepted", first: answer{stage: completed, outcome: failure}, polls: []answer{{err: serviceerror.NewUnavailable("moved")}}, class: connector.Unavailable, text: "ask whether the update was accepted"},
		{name: "lost while it waits", first: answer{stage: admitted}, polls: []answer{{err: serviceerror.NewNotFound("no such update")}}, class: connector.Temporary, text: "wait for the update"},
		{name: "completed", waitFor: WaitCompleted, first: answer{stage: accepted}, polls: []answer{{stage: completed, outcome: success}}},
		{name: "failed", waitFor: WaitCompleted, first: answer{stage: completed, outcome: failure}, class: connector.Permanent, text: "refused the update"},
	} {
		t.Run(row.name, func(t *testing.T) {
			srv := newServer(t)
			cfg := sinkConfig(srv.address, ActionUpdateWithStart)
			cfg.WaitFor = row.waitFor
			s := newTestSink(t, cfg, SinkOptions{})
			polls := row.polls
			srv.answers(func(_ context.Context, request any) (any, error) {
				if r, ok := request.(*workflowservice.PollWorkflowExecutionUpdateRequest); ok {
					if r.UpdateRef.UpdateId == "" || r.UpdateRef.WorkflowExecution.WorkflowId != "order-1" || r.WaitPolicy.LifecycleStage != s.stage() {
						t.Errorf("the sink asks for %v", r)
					}
					if len(polls) == 0 {
						t.Error("the sink asks too often")
						return nil, nil
					}
					a := polls[0]
					polls = polls[1:]
					return &workflowservice.PollWorkflowExecutionUpdateResponse{Stage: a.stage, Outcome: a.outcome}, a.err
				}
				return updateAnswer(row.first.stage, row.first.outcome), nil
			})
			err := s.Send(t.Context(), order("1"))
			if row.text != "" {
				wantError(t, err, row.class, row.text)
			} else if err != nil {
				t.Errorf("Send returned %v", err)
			}
			if len(polls) > 0 {
				t.Errorf("the sink did not ask %d more times", len(polls))
			}
		})
	}
}

func TestSink_asksAClosedWorkflowForTheUpdate(t *testing.T) {
	for _, row := range []struct {
		name  string
		err   error
		class connector.Class
		text  string
	}{
		{name: "accepted before"},
		{"never accepted", serviceerror.NewNotFound("no such update"), connector.Permanent, "has not got the update"},
		{"away", serviceerror.NewUnavailable("moved"), connector.Unavailable, "moved"},
	} {
		t.Run(row.name, func(t *testing.T) {
			srv := newServer(t)
			cfg := sinkConfig(srv.address, ActionUpdateWithStart)
			cfg.Reuse = ReuseReject
			s := newTestSink(t, cfg, SinkOptions{})
			srv.answers(func(_ context.Context, request any) (any, error) {
				if r, ok := request.(*workflowservice.PollWorkflowExecutionUpdateRequest); ok {
					if r.UpdateRef.WorkflowExecution.RunId != "run" {
						t.Errorf("the sink asks run %q", r.UpdateRef.WorkflowExecution.RunId)
					}
					return &workflowservice.PollWorkflowExecutionUpdateResponse{Stage: accepted}, row.err
				}
				start := serviceerror.NewWorkflowExecutionAlreadyStarted("already finished", "other", "run")
				return nil, serviceerror.NewMultiOperationExecution("start failed", []error{start, serviceerror.NewMultiOperationAborted("aborted")})
			})
			err := s.Send(t.Context(), order("1"))
			if row.text != "" {
				wantError(t, err, row.class, row.text)
			} else if err != nil {
				t.Errorf("Send returned %v", err)
			}
		})
	}
}

func TestSink_givesUpAnUpdateThatNoWorkerTakes(t *testing.T) {
	srv := newServer(t)
	cfg := sinkConfig(srv.address, ActionUpdateWithStart)
	cfg.Timeouts.Attempt = 50 * time.Millisecond
	s := newTestSink(t, cfg, SinkOptions{})
	srv.answers(func(ctx context.Context, request any) (any, error) {
		if _, ok := request.(*workflowservice.PollWorkflowExecutionUpdateRequest); ok {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return updateAnswer(admitted, nil), nil
	})
	err := s.Send(t.Context(), order("1"))
	wantError(t, err, connector.Unavailable, "wait for the update")
	wantError(t, err, connector.Unavailable, `check that one polls task queue "orders"`)
}

func TestSink_doesNotTakeAnEmptyAnswerForAnUpdate(t *testing.T) {
	srv := newServer(t)
	s := newTestSink(t, sinkConfig(srv.address, ActionUpdateWithStart), SinkOptions{})
	srv.answers(func(context.Context, any) (any, error) { return &workflowservice.ExecuteMultiOperationResponse{}, nil })
	wantError(t, s.Send(t.Context(), order("1")), connector.Temporary, "says nothing about the update")
}
