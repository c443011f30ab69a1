package temporal

import (
	"context"
	"errors"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/lsm/fiso/common/connector"
)

// updateState is how far an update has got.
type updateState struct {
	run     string // run id of its workflow
	stage   enumspb.UpdateWorkflowExecutionLifecycleStage
	outcome *updatepb.Outcome
}

func (s *Sink) updateWithStart(ctx context.Context, r *request) error {
	type operation = workflowservice.ExecuteMultiOperationRequest_Operation
	answer, err := s.conn.workflows.ExecuteMultiOperation(ctx, &workflowservice.ExecuteMultiOperationRequest{
		Namespace: s.cfg.Namespace,
		Operations: []*operation{
			{Operation: &workflowservice.ExecuteMultiOperationRequest_Operation_StartWorkflow{
				StartWorkflow: s.startRequest(r, enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING),
			}},
			{Operation: &workflowservice.ExecuteMultiOperationRequest_Operation_UpdateWorkflow{UpdateWorkflow: s.updateRequest(r)}},
		},
	})
	if found := alreadyStarted(err); found != nil {
		return s.updatedBefore(ctx, r, found)
	}
	if err != nil {
		return s.judge(ctx, r, err)
	}
	for _, part := range answer.GetResponses() {
		if u := part.GetUpdateWorkflow(); u != nil {
			return s.updated(ctx, r, updateState{u.GetUpdateRef().GetWorkflowExecution().GetRunId(), u.GetStage(), u.GetOutcome()})
		}
	}
	return connector.AsTemporary(s.describe(r, errors.New("the server's answer says nothing about the update")), 0)
}

// updatedBefore is the verdict if the workflow is closed, and reuse does not allow
// another run: the update may have been accepted before.
func (s *Sink) updatedBefore(ctx context.Context, r *request, found *serviceerror.WorkflowExecutionAlreadyStarted) error {
	p, err := s.poll(ctx, r, found.RunId)
	switch {
	case isNotFound(err):
		return s.notReused(r, "the update")
	case err != nil:
		return s.judge(ctx, r, err)
	}
	return s.updated(ctx, r, p)
}

// updated is the verdict on an update that the server has. It waits until the update is
// as far as it should be.
func (s *Sink) updated(ctx context.Context, r *request, p updateState) error {
	for p.outcome == nil && p.stage < s.stage() {
		next, err := s.poll(ctx, r, p.run)
		if err != nil {
			return s.judge(ctx, r, fmt.Errorf("wait for the update: %w", err))
		}
		p = next
	}
	failure := p.outcome.GetFailure()
	if failure == nil {
		return nil
	}
	refused := connector.AsPermanent(s.describe(r, fmt.Errorf("the workflow refused the update: %s", words(failure.GetMessage()))))
	if s.cfg.WaitFor == WaitCompleted {
		return refused
	}
	// The answer is the same whether the validator rejected the update, or the handler
	// accepted it and failed. The server keeps only what was accepted.
	switch _, err := s.poll(ctx, r, p.run); {
	case isNotFound(err):
		return refused
	case err != nil:
		return s.judge(ctx, r, fmt.Errorf("ask whether the update was accepted: %w", err))
	}
	return nil
}

// poll asks how far an update is, and waits for a while if it is not as far as it should.
func (s *Sink) poll(ctx context.Context, r *request, run string) (updateState, error) {
	answer, err := s.conn.workflows.PollWorkflowExecutionUpdate(ctx, &workflowservice.PollWorkflowExecutionUpdateRequest{
		Namespace: s.cfg.Namespace, Identity: s.identity, WaitPolicy: &updatepb.WaitPolicy{LifecycleStage: s.stage()},
		UpdateRef: &updatepb.UpdateRef{WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: r.call.WorkflowID, RunId: run}, UpdateId: r.id},
	})
	if err != nil {
		return updateState{}, err
	}
	return updateState{run, answer.GetStage(), answer.GetOutcome()}, nil
}
