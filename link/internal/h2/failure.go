package h2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/net/http2"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
)

// goAwayText is the text of the library's error for a stream after the last one that
// the target serves (GOAWAY), so that the target did not act on it. The library exports
// no value for it. If the text changes, such a call counts as sent, and a test fails.
const goAwayText = "http2: Transport received Server's graceful shutdown GOAWAY"

// headerLimitText is the text of its error for a request whose header exceeds the limit
// of the target. No value is exported for this, either.
const headerLimitText = "http2: request header list larger than peer's advertised limit"

// largeHeadText is the text of its error for an answer whose head exceeds our limit,
// and largeFieldText of that for a single field over the limit or a head that cannot be
// decoded.
const (
	largeHeadText  = "http2: response header list larger than advertised limit"
	largeFieldText = "connection error: COMPRESSION_ERROR"
)

// failed returns the failure of an attempt in the terms of package call.
func (a *attempt) failed(err error) *http1.Error {
	sent := a.begun.Load()
	if s := a.sending; s != nil && s.failed.Load() != nil && reasonOf(a.ctx, nil, http1.ReasonBody) == http1.ReasonBody {
		return &http1.Error{Reason: http1.ReasonBody, Sent: sent, Err: *s.failed.Load()}
	}
	reason, text := http1.ReasonReset, "the target broke the connection or the rules of HTTP/2"
	var stream http2.StreamError
	var op *net.OpError
	var broken fault
	switch {
	case errors.As(err, &broken):
		reason, text = http1.ReasonGarbage, broken.Error()
	case errors.As(err, &stream):
		text = fmt.Sprintf("the target reset the stream or broke its rules (code %d)", stream.Code)
		switch stream.Code {
		case http2.ErrCodeRefusedStream:
			sent, reason = false, call.ReasonRefused
		case http2.ErrCodeProtocol, http2.ErrCodeFlowControl, http2.ErrCodeFrameSize, http2.ErrCodeCompression:
			reason = http1.ReasonGarbage
		}
	case err.Error() == goAwayText:
		sent, reason, text = false, call.ReasonUnserved, "the target serves no further stream on this connection"
	case err.Error() == largeHeadText:
		reason, text = http1.ReasonGarbage, "its head is larger than "+call.AnswerHeadSetting
	case err.Error() == largeFieldText:
		reason, text = http1.ReasonGarbage, errHead.Error()
	case err.Error() == headerLimitText:
		reason, text = http1.ReasonUnfit, "the header is larger than the target accepts"
	case !sent:
		reason, text = call.ReasonUnserved, "the connection ended before it was used"
	case errors.Is(err, io.ErrUnexpectedEOF):
		text = "the target closed the connection"
	case errors.As(err, &op):
		text = op.Err.Error()
	}
	return &http1.Error{Reason: reasonOf(a.ctx, err, reason), Sent: sent, Err: errors.New(text)}
}

// reasonOf returns the reason of a failure: the application left, one of our limits
// passed, or otherwise.
func reasonOf(ctx context.Context, err error, otherwise http1.Reason) http1.Reason {
	var timeout net.Error
	switch {
	case errors.Is(context.Cause(ctx), context.Canceled):
		return http1.ReasonGone
	case ctx.Err() != nil:
		return http1.ReasonTimeout
	case otherwise == http1.ReasonReset && errors.As(err, &timeout) && timeout.Timeout():
		return http1.ReasonTimeout
	}
	return otherwise
}
