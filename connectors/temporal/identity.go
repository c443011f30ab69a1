package temporal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// memoEvent is the memo and the header that hold the request id. A workflow keeps its
// memo when it continues as new, and after a reset.
const memoEvent = "fiso-event"

// requestID identifies what the sink does for an event. It is the same for an event that
// comes again, and different for each flow, sink, action and name of a signal or update,
// because a run of a workflow compares nothing but this id. The parts of a split event
// have ids of their own already.
func (s *Sink) requestID(c *Call, e *cloudevent.Event) string {
	name := ""
	switch s.cfg.Action {
	case ActionSignal, ActionSignalWithStart:
		name = c.SignalName
	case ActionUpdateWithStart:
		name = c.UpdateName
	}
	h := sha256.New()
	for _, part := range []string{s.opts.Flow, s.opts.SinkName, s.cfg.Action, name, e.Source, e.ID} {
		_, _ = h.Write([]byte(strconv.Itoa(len(part)) + ":" + part)) // with its length: "ab"+"c" is not "a"+"bc"
	}
	return "fiso-" + hex.EncodeToString(h.Sum(nil)[:16])
}

// startedByEvent reports whether the event of r has started the run that the server
// found. The server knows the request id of a run's own start. A later run of the same
// workflow has another one, but its memo is that of the first.
func (s *Sink) startedByEvent(ctx context.Context, r *request, found *serviceerror.WorkflowExecutionAlreadyStarted) (bool, error) {
	if found.StartRequestId == r.id {
		return true, nil
	}
	answer, err := s.conn.workflows.DescribeWorkflowExecution(ctx, &workflowservice.DescribeWorkflowExecutionRequest{
		Namespace: s.cfg.Namespace,
		Execution: &commonpb.WorkflowExecution{WorkflowId: r.call.WorkflowID, RunId: found.RunId},
	})
	if err != nil {
		if missing := serviceErrorOf[*serviceerror.NotFound](err); missing != nil {
			return false, connector.AsTemporary(s.describe(r, errors.New("the workflow that was in the way has been deleted in the meantime")), 0)
		}
		return false, s.judge(ctx, r, fmt.Errorf("ask who started the workflow: %w", err))
	}
	memo := answer.GetWorkflowExecutionInfo().GetMemo().GetFields()[memoEvent]
	return string(memo.GetData()) == strconv.Quote(r.id), nil
}

// conflict counts a workflow that another event has started, and decides by onConflict.
func (s *Sink) conflict(r *request) error {
	accepted := s.cfg.OnConflict == Accept
	s.opts.OnConflict(accepted)
	if accepted {
		return nil
	}
	return connector.AsPermanent(s.describe(r, errors.New("another event has started this workflow, and onConflict is reject")))
}
