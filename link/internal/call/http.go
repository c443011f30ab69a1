package call

import (
	"context"
	"errors"

	"github.com/lsm/fiso/common/callctx"
	"github.com/lsm/fiso/common/http1"
)

// The messages are those of HTTP/1.1. HTTP/2 is translated into them.
type (
	// Field is one field of a header.
	Field = http1.Field
	// Header is a header, or a trailer.
	Header = http1.Header
	// Request is what an application sent.
	Request = http1.Request
	// ResponseWriter answers a Request.
	ResponseWriter = http1.ResponseWriter
	// Handler answers calls.
	Handler = http1.Handler
	// Outgoing is one attempt at a target.
	Outgoing = http1.Outgoing
	// Answer is what a target answered.
	Answer = http1.Answer
	// Error is a failed attempt.
	Error = http1.Error
	// Reason says in one word why an attempt failed; retry.on speaks of them.
	Reason = http1.Reason
	// Ending is the context of a connection or a call.
	Ending = callctx.Context
	// Hook is what is done when an Ending ends.
	Hook = callctx.Hook
)

// The reasons.
const (
	Connect = http1.ReasonConnect
	Timeout = http1.ReasonTimeout
	Reset   = http1.ReasonReset
	Garbage = http1.ReasonGarbage
	Body    = http1.ReasonBody
	Unfit   = http1.ReasonUnfit
	Gone    = http1.ReasonGone
	// Unserved is a connection that takes no further request, as connections of
	// HTTP/2 come to: nothing was sent, and it says nothing of the target.
	Unserved Reason = "unserved"
	// Refused is a request that the target refused before it acted on it
	// (REFUSED_STREAM).
	Refused Reason = "refused"
)

// What the limits of a head are called where they are set.
const (
	RequestHeadSetting = "maxHeaderBytes of the configuration"
	AnswerHeadSetting  = "maxResponseHeaderBytes of the target's configuration"
)

// Transport makes attempts at one target. It is safe for concurrent use.
type Transport interface {
	// RoundTrip sends out to the endpoint and returns when the head of the
	// answer is there, or with an error of type *Error. ctx covers the
	// attempt, the body of the answer included. It makes one attempt, and
	// never sends a request twice, whatever happens to a connection: how
	// often a call is made is not its business.
	// interim gets 1xx answers on the way; nil drops them.
	RoundTrip(ctx context.Context, endpoint string, out *Outgoing, interim func(status int, h Header)) (*Answer, error)
	// Close closes idle connections, and lets those in use end.
	Close()
}

// ReasonOf is the reason of a failed attempt; Reset for an error without one.
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return Reset
}
