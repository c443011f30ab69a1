package grpc

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

const (
	// retryDelay is the delay of RetryInfo unless the flow asks for a longer one.
	retryDelay = 200 * time.Millisecond

	errorDomain         = "fiso"
	reasonEventTooLarge = "EVENT_TOO_LARGE"
)

// answer is the result of one event, not sent yet.
type answer struct {
	seq     int64
	status  *spb.Status // nil: OK
	outcome pb.Outcome
	size    int // what the event takes of the credit until the answer is sent
}

// statusOf returns a status with details.
func statusOf(code codes.Code, text string, details ...protoadapt.MessageV1) *status.Status {
	s, err := status.New(code, text).WithDetails(details...)
	if err != nil { // only for a detail that cannot be serialized, and ours can
		return status.New(code, text)
	}
	return s
}

// retryStatus says that the event is to be sent again after a delay.
func retryStatus(code codes.Code, text string, after time.Duration) *spb.Status {
	return statusOf(code, text, &errdetails.RetryInfo{RetryDelay: durationpb.New(after)}).Proto()
}

func unavailable(text string) *spb.Status { return retryStatus(codes.Unavailable, text, retryDelay) }

// These texts are the same for many events, so the statuses are made once. Nobody
// changes them.
var (
	statusDraining = unavailable("the receiver is about to stop; send the event again on a new stream")
	statusGivenUp  = unavailable("the stream ended before the event was begun; send it again")
	statusFull     = retryStatus(codes.ResourceExhausted, "the receiver holds as many bytes as it may (maxBufferedBytes); send the event again", retryDelay)
	statusCredit   = retryStatus(codes.ResourceExhausted, "more events or bytes than max_in_flight or max_in_flight_bytes allow; send the event again", retryDelay)
	statusFenced   = status.New(codes.Aborted, "a stream of this producer with a higher epoch is open").Proto()

	// By the code of a fence.
	statusBehind = map[codes.Code]*spb.Status{
		codes.Unavailable:       retryStatus(codes.Unavailable, "an earlier event of this key was handed back; send the events of the key again, from that one", retryDelay),
		codes.ResourceExhausted: retryStatus(codes.ResourceExhausted, "an earlier event of this key was not accepted; send the events of the key again, from that one", retryDelay),
	}
)

// statusOfSettle returns the status of an event that was settled with err; nil: OK.
// It hides the text of err, which belongs to the flow and may name things that the
// producer should not know.
func statusOfSettle(err error) *spb.Status {
	if err == nil {
		return nil
	}
	if after := connector.RetryAfter(err); after > retryDelay {
		return retryStatus(codes.Unavailable, textNotSettled, after)
	}
	return statusNotSettled
}

const textNotSettled = "the event was not settled; send it again, with the same id"

var statusNotSettled = unavailable(textNotSettled)

func tooLargeDetails(limit int) *errdetails.ErrorInfo {
	return &errdetails.ErrorInfo{Reason: reasonEventTooLarge, Domain: errorDomain, Metadata: map[string]string{"max_event_bytes": fmt.Sprint(limit)}}
}

// statusTooLarge refuses an event for its size.
func statusTooLarge(size, limit int) *spb.Status {
	text := fmt.Sprintf("the event has %d bytes; at most %d are taken (maxEventBytes)", size, limit)
	return statusOf(codes.InvalidArgument, text, tooLargeDetails(limit)).Proto()
}

// statusInvalid refuses an event that is no valid CloudEvent.
func statusInvalid(e *cloudevent.Event, err error) *spb.Status {
	violation := &errdetails.BadRequest_FieldViolation{Field: wrongAttribute(e, err), Description: err.Error()}
	return statusOf(codes.InvalidArgument, "the event: "+err.Error(),
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{violation}}).Proto()
}

// wrongAttribute names the attribute that an error is about; "event" if none is known.
func wrongAttribute(e *cloudevent.Event, err error) string {
	var named interface{ Attribute() string }
	switch {
	case errors.As(err, &named):
		return named.Attribute()
	case e == nil:
		return "event"
	case e.ID == "":
		return "id"
	case e.Source == "":
		return "source"
	case e.Type == "":
		return "type"
	}
	return "event"
}

// outcomeOf tells how a message was settled.
func outcomeOf(m *connector.Message) pb.Outcome {
	switch m.Outcome {
	case connector.Delivered:
		return pb.Outcome_OUTCOME_DELIVERED
	case connector.Filtered:
		return pb.Outcome_OUTCOME_FILTERED
	case connector.Dropped:
		return pb.Outcome_OUTCOME_DROPPED
	case connector.DeadLettered:
		return pb.Outcome_OUTCOME_DEAD_LETTERED
	default:
		return pb.Outcome_OUTCOME_UNSPECIFIED
	}
}

// statusOK is shared: nobody changes it.
var statusOK = new(spb.Status)

// code returns the status to send.
func (a answer) code() *spb.Status {
	if a.status == nil {
		return statusOK
	}
	return a.status
}

func (a answer) result() *pb.Result {
	return &pb.Result{Seq: a.seq, Status: a.code(), Outcome: a.outcome}
}
