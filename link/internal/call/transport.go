package call

import (
	"context"
	"errors"

	"github.com/lsm/fiso/common/http1"
)

// Reasons of failed attempts that HTTP/1.1 does not have.
const (
	// ReasonUnserved means that the connection takes no further request, as happens
	// with HTTP/2. Nothing was sent, and it says nothing about the target.
	ReasonUnserved http1.Reason = "unserved"
	// ReasonRefused means that the target refused the request before it acted on it
	// (REFUSED_STREAM).
	ReasonRefused http1.Reason = "refused"
)

// The names of the settings that limit heads, for error texts.
const (
	RequestHeadSetting = "maxHeaderBytes of the configuration"
	AnswerHeadSetting  = "maxResponseHeaderBytes of the target's configuration"
)

// Transport makes attempts at one target. It is safe for concurrent use.
type Transport interface {
	// RoundTrip sends out to the endpoint and returns when the head of the answer has
	// arrived, or with an error of type *http1.Error. ctx covers the whole attempt, including
	// the body of the answer. It makes one attempt and never sends a request twice,
	// even if a connection breaks: the caller decides about retries. interim gets
	// 1xx answers as they arrive; nil drops them.
	RoundTrip(ctx context.Context, endpoint string, out *http1.Outgoing, interim func(status int, h http1.Header)) (*http1.Answer, error)
	// Close closes idle connections and lets those in use finish.
	Close()
}

// ReasonOf returns the reason of a failed attempt; ReasonReset for an error without one.
func ReasonOf(err error) http1.Reason {
	var e *http1.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return http1.ReasonReset
}
