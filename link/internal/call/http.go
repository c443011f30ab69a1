package call

import (
	"context"
	"errors"

	"github.com/lsm/fiso/common/callctx"
	"github.com/lsm/fiso/common/http1"
)

// The messages are those of HTTP/1.1. Package h2 translates HTTP/2 into them.
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
	// Reason says in one word why an attempt failed. retry.on lists reasons.
	Reason = http1.Reason
	// Ending is the context of a connection or a call.
	Ending = callctx.Context
	// Hook is a function that is called when an Ending ends.
	Hook = callctx.Hook
)

// The reasons of failed attempts.
const (
	Connect = http1.ReasonConnect
	Timeout = http1.ReasonTimeout
	Reset   = http1.ReasonReset
	Garbage = http1.ReasonGarbage
	Body    = http1.ReasonBody
	Unfit   = http1.ReasonUnfit
	Gone    = http1.ReasonGone
	// Unserved means that the connection takes no further request, as happens with
	// HTTP/2. Nothing was sent, and it says nothing about the target.
	Unserved Reason = "unserved"
	// Refused means that the target refused the request before it acted on it
	// (REFUSED_STREAM).
	Refused Reason = "refused"
)

// The names of the settings that limit heads, for error texts.
const (
	RequestHeadSetting = "maxHeaderBytes of the configuration"
	AnswerHeadSetting  = "maxResponseHeaderBytes of the target's configuration"
)

// Transport makes attempts at one target. It is safe for concurrent use.
type Transport interface {
	// RoundTrip sends out to the endpoint and returns when the head of the answer has
	// arrived, or with an error of type *Error. ctx covers the whole attempt, including
	// the body of the answer. It makes one attempt and never sends a request twice,
	// whatever happens to a connection: the caller decides about retries. interim gets
	// 1xx answers as they arrive; nil drops them.
	RoundTrip(ctx context.Context, endpoint string, out *Outgoing, interim func(status int, h Header)) (*Answer, error)
	// Close closes idle connections and lets those in use finish.
	Close()
}

// ReasonOf returns the reason of a failed attempt; Reset for an error without one.
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return Reset
}
