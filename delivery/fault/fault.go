// Package fault defines the stable codes that say why an event could not be
// delivered. The same code is in the dead letter's fiso-error-code header, in
// metrics and in the output of the command line.
package fault

import "errors"

// Code is a reason. Codes are part of the contract and never change.
type Code string

// The codes of the contract, section 3.5.
const (
	DecodeFailed       Code = "DECODE_FAILED"
	SchemaMismatch     Code = "SCHEMA_MISMATCH"
	TransformFailed    Code = "TRANSFORM_FAILED"
	TransformTimeout   Code = "TRANSFORM_TIMEOUT"
	OutputTooLarge     Code = "OUTPUT_TOO_LARGE"
	InterceptorFailed  Code = "INTERCEPTOR_FAILED"
	SinkDeliveryFailed Code = "SINK_DELIVERY_FAILED"
	SinkRejected       Code = "SINK_REJECTED"
)

// Error is a failure with its code. Its text is for a person and contains no
// payload and no secret.
type Error struct {
	Code Code
	Err  error
}

// New gives err a code.
func New(code Code, err error) *Error { return &Error{code, err} }

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the code in err's chain, or "" if there is none.
func CodeOf(err error) Code {
	if f, ok := errors.AsType[*Error](err); ok {
		return f.Code
	}
	return ""
}
