package temporal

import (
	"context"
	"errors"
	"fmt"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// request is what the sink sends for one event.
type request struct {
	id         string // request id; of an update, the update id
	call       *Call
	header     *commonpb.Header
	input      *commonpb.Payloads // of the workflow
	signal     *commonpb.Payloads
	update     *commonpb.Payloads
	memo       *commonpb.Memo
	attributes *commonpb.SearchAttributes
	priority   *commonpb.Priority
	secret     []*commonpb.Payload // those of the above that a codec encrypts
}

// requestOf makes the request for an event. Its payloads are not encrypted yet.
func (s *Sink) requestOf(c *Call, e *cloudevent.Event) (*request, error) {
	r := &request{call: c, id: s.requestID(c, e)}
	if err := s.encode(r, e); err != nil {
		if _, ok := errors.AsType[*cloudevent.EncodeError](err); ok {
			return nil, s.describe(r, err)
		}
		return nil, connector.AsUnsendable(s.describe(r, err))
	}
	return r, nil
}

func (s *Sink) encode(r *request, e *cloudevent.Event) error {
	x, c := &encoder{quoteInts: s.cfg.Int64 == Int64String, event: e}, r.call
	var err error
	if s.cfg.Action != ActionSignal {
		if r.input, err = x.args("workflow", c.Args); err != nil {
			return err
		}
		if r.memo, err = x.memo(c.Memo, r.id); err != nil {
			return err
		}
		if r.attributes, err = encodeSearchAttributes(c.SearchAttributes); err != nil {
			return err
		}
		if c.PriorityKey != 0 || c.FairnessKey != "" {
			r.priority = &commonpb.Priority{PriorityKey: c.PriorityKey, FairnessKey: c.FairnessKey}
		}
	}
	switch s.cfg.Action {
	case ActionSignal, ActionSignalWithStart:
		r.signal, err = x.args("signal", c.SignalArgs)
	case ActionUpdateWithStart:
		r.update, err = x.args("update", c.UpdateArgs)
	}
	r.header, r.secret = header(e, r.id), x.secret
	return err
}

// send makes the call for the action. nil: the server has stored it.
func (s *Sink) send(ctx context.Context, r *request) error {
	switch s.cfg.Action {
	case ActionSignal:
		return s.signal(ctx, r)
	case ActionSignalWithStart:
		return s.signalWithStart(ctx, r)
	case ActionUpdateWithStart:
		return s.updateWithStart(ctx, r)
	default:
		return s.start(ctx, r)
	}
}

func (s *Sink) start(ctx context.Context, r *request) error {
	// A workflow in the way is an error, so that the sink learns which event started it.
	_, err := s.conn.workflows.StartWorkflowExecution(ctx, s.startRequest(r, enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL))
	found := alreadyStarted(err)
	if found == nil {
		return s.judge(ctx, r, err)
	}
	switch mine, err := s.startedByEvent(ctx, r, found); {
	case err != nil:
		return err
	case mine:
		return nil
	}
	return s.conflict(r)
}

func (s *Sink) signal(ctx context.Context, r *request) error {
	_, err := s.conn.workflows.SignalWorkflowExecution(ctx, &workflowservice.SignalWorkflowExecutionRequest{
		Namespace: s.cfg.Namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: r.call.WorkflowID},
		SignalName: r.call.SignalName, Input: r.signal, Identity: s.identity, RequestId: r.id, Header: r.header,
	})
	return s.judge(ctx, r, err)
}

func (s *Sink) signalWithStart(ctx context.Context, r *request) error {
	start := s.startRequest(r, enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING)
	_, err := s.conn.workflows.SignalWithStartWorkflowExecution(ctx, &workflowservice.SignalWithStartWorkflowExecutionRequest{
		Namespace: start.Namespace, WorkflowId: start.WorkflowId, WorkflowType: start.WorkflowType, TaskQueue: start.TaskQueue, Input: start.Input,
		WorkflowExecutionTimeout: start.WorkflowExecutionTimeout, WorkflowRunTimeout: start.WorkflowRunTimeout, WorkflowTaskTimeout: start.WorkflowTaskTimeout,
		Identity: start.Identity, RequestId: start.RequestId,
		WorkflowIdReusePolicy: start.WorkflowIdReusePolicy, WorkflowIdConflictPolicy: start.WorkflowIdConflictPolicy,
		SignalName: r.call.SignalName, SignalInput: r.signal,
		Memo: start.Memo, SearchAttributes: start.SearchAttributes, Header: start.Header, WorkflowStartDelay: start.WorkflowStartDelay, Priority: start.Priority,
	})
	found := alreadyStarted(err)
	if found == nil {
		return s.judge(ctx, r, err)
	}
	// The workflow is closed, and reuse does not allow another run. The event's own run
	// began with the signal; any other run does not have it.
	switch mine, err := s.startedByEvent(ctx, r, found); {
	case err != nil:
		return err
	case mine:
		return nil
	}
	return s.notReused(r, "the signal")
}

// notReused is the verdict on an event for a closed workflow whose id may not be used again.
func (s *Sink) notReused(r *request, what string) error {
	return connector.AsPermanent(s.describe(r, fmt.Errorf("the workflow is closed and has not got %s, and reuse: %s allows no further run", what, s.cfg.Reuse)))
}

// startRequest makes the request that starts the workflow, which is a part of all
// actions but signal.
func (s *Sink) startRequest(r *request, onRunning enumspb.WorkflowIdConflictPolicy) *workflowservice.StartWorkflowExecutionRequest {
	return &workflowservice.StartWorkflowExecutionRequest{
		Namespace: s.cfg.Namespace, WorkflowId: r.call.WorkflowID, RequestId: r.id, Identity: s.identity,
		WorkflowType: &commonpb.WorkflowType{Name: r.call.WorkflowType},
		TaskQueue:    &taskqueuepb.TaskQueue{Name: r.call.TaskQueue, Kind: enumspb.TASK_QUEUE_KIND_NORMAL},
		Input:        r.input, Header: r.header, Memo: r.memo, SearchAttributes: r.attributes, Priority: r.priority,
		WorkflowExecutionTimeout: duration(s.cfg.Timeouts.Execution), WorkflowRunTimeout: duration(s.cfg.Timeouts.Run), WorkflowTaskTimeout: duration(s.cfg.Timeouts.Task),
		RetryPolicy: s.retry, WorkflowStartDelay: duration(s.cfg.StartDelay),
		WorkflowIdReusePolicy: reusePolicies[s.cfg.Reuse], WorkflowIdConflictPolicy: onRunning,
	}
}

var reusePolicies = map[string]enumspb.WorkflowIdReusePolicy{
	ReuseReject:      enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
	ReuseAllow:       enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
	ReuseAllowFailed: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
}

// duration leaves a zero duration out, so that the server's default holds.
func duration(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

// policy returns the policy in the form of the server, or nil if there is none.
func (r *RetryPolicy) policy() *commonpb.RetryPolicy {
	if r.isZero() {
		return nil
	}
	p := &commonpb.RetryPolicy{
		InitialInterval: durationpb.New(time.Second), BackoffCoefficient: 2, MaximumInterval: duration(r.MaximumInterval),
		MaximumAttempts: int32(r.MaximumAttempts), NonRetryableErrorTypes: r.NonRetryable,
	}
	if r.InitialInterval != 0 {
		p.InitialInterval = durationpb.New(r.InitialInterval)
	}
	if r.BackoffCoefficient != 0 {
		p.BackoffCoefficient = r.BackoffCoefficient
	}
	return p
}

// updateRequest makes the part of the request that is the update.
func (s *Sink) updateRequest(r *request) *workflowservice.UpdateWorkflowExecutionRequest {
	return &workflowservice.UpdateWorkflowExecutionRequest{
		Namespace: s.cfg.Namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: r.call.WorkflowID},
		WaitPolicy: &updatepb.WaitPolicy{LifecycleStage: s.stage()},
		Request: &updatepb.Request{
			Meta:  &updatepb.Meta{UpdateId: r.id, Identity: s.identity},
			Input: &updatepb.Input{Header: r.header, Name: r.call.UpdateName, Args: r.update},
		},
	}
}

// stage is how far an update must get.
func (s *Sink) stage() enumspb.UpdateWorkflowExecutionLifecycleStage {
	if s.cfg.WaitFor == WaitCompleted {
		return enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED
	}
	return enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED
}
