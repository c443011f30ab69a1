package temporal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lsm/fiso/common/connector"
)

// Two refusals differ from others of the same code by their text alone. Integration
// tests compare these words with those of a real server.
const (
	// wordsTooManySignals are in the INVALID_ARGUMENT for a workflow whose history holds
	// 10,000 signals.
	wordsTooManySignals = "limit for signal events"
	// wordsTooLarge are in the RESOURCE_EXHAUSTED of gRPC itself for a large message.
	wordsTooLarge = "larger than max"
)

const (
	hintContinueAsNew = "the workflow must continue-as-new to take more; its events wait, others go on"
	hintNamespace     = "check namespace, and that it exists on this server"
	hintPermission    = "check auth, and what the credential may do in the namespace"
)

// verdict is what an error of the server means for an event: its class, and what to do.
type verdict struct {
	class connector.Class
	hint  string
}

// verdictOn is the table of README.md.
func verdictOn(err error) verdict {
	st := status.Convert(err)
	switch e := serviceError(err).(type) {
	case *serviceerror.ResourceExhausted:
		return exhausted(e)
	case *serviceerror.InvalidArgument:
		if strings.Contains(e.Message, wordsTooManySignals) {
			return verdict{connector.Blocked, hintContinueAsNew}
		}
		return verdict{connector.Permanent, ""}
	case *serviceerror.NamespaceNotFound:
		return verdict{connector.Unavailable, hintNamespace}
	case *serviceerror.NamespaceNotActive, *serviceerror.NamespaceInvalidState, *serviceerror.NamespaceUnavailable:
		return verdict{connector.Unavailable, "the namespace is not active here"}
	case *serviceerror.ClientVersionNotSupported, *serviceerror.ServerVersionNotSupported:
		return verdict{connector.Unavailable, "the versions of server and client do not go together"}
	case *serviceerror.WorkflowNotReady:
		return verdict{connector.Blocked, ""}
	}
	switch st.Code() {
	case codes.Unavailable:
		return verdict{connector.Unavailable, ""}
	case codes.DeadlineExceeded:
		return verdict{connector.Unavailable, "no answer within timeouts.attempt"}
	case codes.Canceled:
		return verdict{connector.Unavailable, "the server ended the call"}
	case codes.Unauthenticated, codes.PermissionDenied:
		return verdict{connector.Unavailable, hintPermission}
	case codes.Unimplemented:
		return verdict{connector.Unavailable, "check address, and that the server is not too old for the action"}
	case codes.FailedPrecondition: // such as 2,000 updates in the history of a workflow
		return verdict{connector.Blocked, hintContinueAsNew}
	}
	return verdict{connector.Temporary, ""}
}

// exhausted tells apart what RESOURCE_EXHAUSTED stands for: one workflow that is busy,
// an event that is too large, and a server with too much to do.
func exhausted(e *serviceerror.ResourceExhausted) verdict {
	switch e.Cause {
	case enumspb.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW:
		return verdict{connector.Blocked, "this workflow is busy; if it stays so, " + hintContinueAsNew}
	case enumspb.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT: // of updates
		return verdict{connector.Blocked, "this workflow has too many calls in flight; if it stays so, " + hintContinueAsNew}
	case enumspb.RESOURCE_EXHAUSTED_CAUSE_UNSPECIFIED:
		if strings.Contains(e.Message, wordsTooLarge) {
			return verdict{connector.Permanent, "send less: choose arguments instead of the whole event, or keep the data elsewhere"}
		}
	}
	return verdict{connector.Unavailable, "the server has too much to do"}
}

// judge gives an error of a call its class. A nil err stays nil.
func (s *Sink) judge(ctx context.Context, r *request, err error) error {
	if err == nil {
		return nil
	}
	err = firstFailure(err)
	if code := status.Code(err); code == codes.Canceled || code == codes.DeadlineExceeded {
		if cause := callEnded(ctx); cause != nil {
			return s.describe(r, cause)
		}
	}
	if isNotFound(err) && s.cfg.Action == ActionSignal {
		return s.nobody(r)
	}
	if code := status.Code(err); code == codes.Unauthenticated || code == codes.PermissionDenied {
		s.conn.refused()
	}
	v, after := verdictOn(err), retryAfter(err)
	if s.cfg.Action == ActionUpdateWithStart && status.Code(err) == codes.DeadlineExceeded {
		v.hint += fmt.Sprintf("; an update needs a worker: check that one polls task queue %.64q", r.call.TaskQueue)
	}
	text := s.explain(r, err, v.hint)
	switch v.class {
	case connector.Permanent:
		return connector.AsPermanent(text)
	case connector.Blocked:
		return connector.AsBlocked(text)
	case connector.Unavailable:
		return connector.AsUnavailable(text, after)
	default:
		return connector.AsTemporary(text, after)
	}
}

// nobody is the verdict on a signal to a workflow that does not run.
func (s *Sink) nobody(r *request) error {
	err := s.describe(r, errors.New("no such workflow runs"))
	if s.cfg.OnNotFound == Reject {
		return connector.AsPermanent(err)
	}
	return connector.AsTemporary(err, 0)
}

// serverError keeps the error of the server behind a text of bounded length.
type serverError struct {
	text  string
	cause error
}

func (e *serverError) Error() string { return e.text }
func (e *serverError) Unwrap() error { return e.cause }

func (s *Sink) explain(r *request, err error, hint string) error {
	st := status.Convert(err)
	text := fmt.Sprintf("%s: %v: %s", s.doing(r), st.Code(), words(st.Message()))
	if hint != "" {
		text += "; " + hint
	}
	return &serverError{text, err}
}

// describe says for what an error happened.
func (s *Sink) describe(r *request, err error) error { return fmt.Errorf("%s: %w", s.doing(r), err) }

func (s *Sink) doing(r *request) string {
	return fmt.Sprintf("%s: workflow %.64q", s.name, r.call.WorkflowID)
}

// words returns the start of a server's message, in one line.
func words(message string) string {
	const most = 512
	if len(message) > most {
		message = strings.ToValidUTF8(message[:most], "") + "…"
	}
	return strings.Join(strings.Fields(strings.ToValidUTF8(message, "�")), " ")
}

// retryAfter returns the delay that an error asks for, or 0.
func retryAfter(err error) time.Duration {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

// serviceError returns what the Temporal server says in err: one of the types of package
// serviceerror, never wrapped, or another error.
func serviceError(err error) any { return serviceerror.FromStatus(status.Convert(firstFailure(err))) }

// serviceErrorOf returns the error of the Temporal server in err, if it has type E, or
// the zero E.
func serviceErrorOf[E error](err error) E {
	e, _ := serviceError(err).(E)
	return e
}

// firstFailure returns the failure of the part that failed, if err is that of several
// operations, and else err.
func firstFailure(err error) error {
	all, ok := errors.AsType[*serviceerror.MultiOperationExecution](serviceerror.FromStatus(status.Convert(err)))
	if !ok {
		return err
	}
	for _, part := range all.OperationErrors() {
		if _, aborted := errors.AsType[*serviceerror.MultiOperationAborted](part); part != nil && !aborted {
			return serviceerror.ToStatus(part).Err()
		}
	}
	return err
}

func alreadyStarted(err error) *serviceerror.WorkflowExecutionAlreadyStarted {
	return serviceErrorOf[*serviceerror.WorkflowExecutionAlreadyStarted](err)
}

func isNotFound(err error) bool { return serviceErrorOf[*serviceerror.NotFound](err) != nil }
