package grpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

const (
	// maxStatusText is how much of a server's message an error quotes, in bytes.
	maxStatusText = 300
	// maxRetryDelay bounds the delay passed on from a RetryInfo. The caller decides how
	// much of it to wait.
	maxRetryDelay = 7 * 24 * time.Hour
)

// CodeError is the status of an event or of a stream that delivered nothing. Its text
// quotes the start of the server's message.
type CodeError struct {
	Code codes.Code
	text string
}

// Error returns a text such as "publish to orders:9000: InvalidArgument: no such order".
func (e *CodeError) Error() string { return e.text }

// resultVerdict turns the result of an event into nil or a classified error.
func (s *Sink) resultVerdict(st *rpcstatus.Status) error {
	code := codes.Code(st.GetCode()) //nolint:gosec // any number is a code
	if code == codes.OK {
		return nil
	}
	err := &CodeError{code, fmt.Sprintf("%s: %v%s", s.name, code, s.quoted(st.GetMessage()))}
	switch code {
	case codes.InvalidArgument:
		return connector.AsPermanent(err)
	case codes.Unavailable, codes.ResourceExhausted, codes.DeadlineExceeded, codes.Canceled:
		return connector.AsUnavailable(err, delayAsked(st))
	case codes.Unauthenticated, codes.PermissionDenied:
		return connector.AsBlocked(err)
	default:
		return connector.AsTemporary(err, delayAsked(st))
	}
}

// streamVerdict is the error of the events that a stream has not answered. cause is why
// the sink itself ended the stream; else err is the status of the call. The status of a
// stream never rejects an event, because it does not say which one it means.
func (s *Sink) streamVerdict(err, cause error) error {
	switch {
	case errors.Is(cause, connector.ErrClosed):
		return s.closedError()
	case cause != nil && !errors.Is(cause, context.Canceled):
		return connector.AsUnavailable(fmt.Errorf("%s: %w", s.name, cause), 0)
	case connector.ClassOf(err) == connector.Blocked: // the credential cannot be read
		return fmt.Errorf("%s: %w", s.name, err)
	}
	if err == nil || errors.Is(err, io.EOF) {
		return connector.AsUnavailable(fmt.Errorf("%s: the receiver ended the stream before it answered", s.name), 0)
	}
	st := status.Convert(err)
	text := fmt.Sprintf("%s: %v%s", s.name, st.Code(), s.quoted(st.Message()))
	if hint := s.hint(st.Code()); hint != "" {
		return connector.AsBlocked(&CodeError{st.Code(), text + "; " + hint})
	}
	return connector.AsUnavailable(&CodeError{st.Code(), text}, delayAsked(st.Proto()))
}

// hint says what to do about a stream that is refused because of how the sink or the
// receiver is configured. Such a refusal says nothing about an event, and would reject all
// of them. "": the code does not mean that.
func (s *Sink) hint(code codes.Code) string {
	switch code {
	case codes.Unauthenticated:
		return "the receiver does not accept the credential: check auth, and the client certificate in tls"
	case codes.PermissionDenied:
		return "the credential is valid but may not publish here: check what the receiver allows it"
	case codes.NotFound:
		if s.flow == "" {
			return "the receiver has several flows, or none: set flow"
		}
		return fmt.Sprintf("the receiver has no flow %s: check flow", s.flow)
	case codes.Unimplemented:
		return "the server does not implement fiso.v1.Events: check target"
	}
	return ""
}

// tooLarge refuses an event that nobody was asked about.
func (s *Sink) tooLarge(size, most int64, whose string) error {
	return connector.AsUnsendable(fmt.Errorf("%s: the event has %d bytes, and %s at most %d", s.name, size, whose, most))
}

// delayAsked returns the delay that a status asks for, or 0.
func delayAsked(st *rpcstatus.Status) time.Duration {
	for _, detail := range st.GetDetails() {
		info := new(errdetails.RetryInfo)
		if detail.MessageIs(info) && detail.UnmarshalTo(info) == nil {
			return min(max(info.GetRetryDelay().AsDuration(), 0), maxRetryDelay)
		}
	}
	return 0
}

// quoted returns ": " and the start of a server's message, without the token, or "".
func (s *Sink) quoted(message string) string {
	if token, err := s.credential.reveal(); err == nil && token != "" {
		message = strings.ReplaceAll(message, token, config.Mask)
	}
	message = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, message)
	if message = strings.TrimSpace(message); message == "" {
		return ""
	}
	if len(message) > maxStatusText {
		cut := maxStatusText
		for !utf8.RuneStart(message[cut]) {
			cut--
		}
		message = message[:cut] + "…"
	}
	return ": " + message
}
