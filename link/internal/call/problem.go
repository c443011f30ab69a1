package call

import (
	"encoding/json"
	"net/http"

	"github.com/lsm/fiso/common/http1"
)

// Code is the stable name of an error that fiso-link itself answers. It is in the
// header fiso-error and in the body, and programs may rely on it.
type Code string

// The codes. README.md explains them.
const (
	BadRequest            Code = "BAD_REQUEST"
	BadPath               Code = "BAD_PATH"
	HostNotAllowed        Code = "HOST_NOT_ALLOWED"
	OriginNotAllowed      Code = "ORIGIN_NOT_ALLOWED"
	PathNotAllowed        Code = "PATH_NOT_ALLOWED"
	MethodNotAllowed      Code = "METHOD_NOT_ALLOWED"
	UnknownTarget         Code = "UNKNOWN_TARGET"
	RequestTimeout        Code = "REQUEST_TIMEOUT"
	BodyTooLarge          Code = "BODY_TOO_LARGE"
	HeaderTooLarge        Code = "HEADER_TOO_LARGE"
	ExpectationFailed     Code = "EXPECTATION_FAILED"
	RateLimited           Code = "RATE_LIMITED"
	TooManyCalls          Code = "TOO_MANY_CALLS"
	CircuitOpen           Code = "CIRCUIT_OPEN"
	CredentialUnavailable Code = "CREDENTIAL_UNAVAILABLE"
	CredentialExpired     Code = "CREDENTIAL_EXPIRED"
	ConnectFailed         Code = "CONNECT_FAILED"
	UpstreamReset         Code = "UPSTREAM_RESET"
	UpstreamGarbage       Code = "UPSTREAM_GARBAGE"
	UpstreamTimeout       Code = "UPSTREAM_TIMEOUT"
	AsyncUnavailable      Code = "ASYNC_UNAVAILABLE"
	AsyncOutcomeUnknown   Code = "ASYNC_OUTCOME_UNKNOWN"
	KeyFailed             Code = "KEY_FAILED"
	UpgradeRefused        Code = "UPGRADE_REFUSED"
	Internal              Code = "INTERNAL"
)

// statuses are the HTTP statuses of the codes.
var statuses = map[Code]int{
	BadRequest: 400, BadPath: 400, HostNotAllowed: 403, OriginNotAllowed: 403, PathNotAllowed: 403, MethodNotAllowed: 403,
	UnknownTarget: 404, RequestTimeout: 408, BodyTooLarge: 413, HeaderTooLarge: 431, ExpectationFailed: 417, RateLimited: 429, TooManyCalls: 503, CircuitOpen: 503,
	CredentialUnavailable: 502, CredentialExpired: 502, ConnectFailed: 502, UpstreamReset: 502, UpstreamGarbage: 502, UpstreamTimeout: 504,
	AsyncUnavailable: 503, AsyncOutcomeUnknown: 503, KeyFailed: 400, UpgradeRefused: 400, Internal: 500,
}

// Status returns the HTTP status of the code.
func (c Code) Status() int {
	if s := statuses[c]; s != 0 {
		return s
	}
	return http.StatusInternalServerError
}

// CodeOf returns the code for a malformed request that is refused with status.
func CodeOf(status int) Code {
	switch status {
	case http.StatusRequestTimeout:
		return RequestTimeout
	case http.StatusExpectationFailed:
		return ExpectationFailed
	case http.StatusRequestHeaderFieldsTooLarge:
		return HeaderTooLarge
	}
	return BadRequest
}

// Problem is the body of an error answer: application/problem+json (RFC 9457).
type Problem struct {
	Type   string `json:"type"` // about:blank: the title is the text of the status
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   Code   `json:"code"`
	// Detail tells a person what happened and what to do next. It holds no secret, and
	// nothing of the request that could be one.
	Detail string `json:"detail,omitempty"`
	Target string `json:"target,omitempty"`
}

// NewProblem returns the problem of a code.
func NewProblem(code Code, target, detail string) Problem {
	return Problem{Type: "about:blank", Title: http.StatusText(code.Status()), Status: code.Status(), Code: code, Detail: detail, Target: target}
}

// JSON returns the body to send.
func (p Problem) JSON() []byte {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // cannot happen: texts and a number
	}
	return append(b, '\n')
}

// ErrorField is the header field that marks an answer of fiso-link itself, not of a
// target.
const ErrorField = "fiso-error"

// Header returns the header of the answer. The caller adds Retry-After where needed.
func (p Problem) Header() http1.Header {
	return http1.Header{
		{Name: "Content-Type", Value: "application/problem+json"}, {Name: ErrorField, Value: string(p.Code)}, {Name: "Cache-Control", Value: "no-store"},
	}
}
