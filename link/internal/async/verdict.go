package async

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/fault"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/proxy"
)

// judge says what became of a try to make a call: nil, or an error by whose class
// the delivery engine goes on.
type judge struct {
	// trial: the circuit was not closed when the try began. A failure then says
	// more of the target than of the call.
	trial bool
	owns  bool // the target has a credential of its own
	whole bool // an answer counts when it came to its end
}

// waits is the error of a call whose turn has not come: it was not tried.
type waits struct{ error }

// Unwrap says so to the engine.
func (waits) Unwrap() error { return connector.ErrInterrupted }

// of judges an answer, and the error of the walk. An answer that is a stream of
// events may have no end: it counts with its head.
func (j judge) of(a *responseWriter, err error) error {
	code, detail, after, ok := proxy.Refused(err)
	endless := code == call.UpstreamTimeout && a.header.IsEventStream()
	if a.status != 0 && (err == nil || errors.Is(err, errBodyTooLarge) || !j.whole || endless) {
		return j.status(a)
	}
	if !ok {
		return connector.ErrInterrupted
	}
	reason := errors.New(string(code) + ": " + detail)
	switch code {
	case call.RateLimited, call.TooManyCalls, call.CircuitOpen:
		return connector.AsTemporary(waits{reason}, after)
	case call.ConnectFailed, call.UpstreamTimeout, call.UpstreamReset:
		return connector.AsUnavailable(reason, after)
	case call.CredentialUnavailable, call.CredentialExpired:
		return connector.AsBlocked(reason)
	case call.BadPath, call.PathNotAllowed, call.MethodNotAllowed, call.BadRequest, call.BodyTooLarge, call.UpgradeRefused:
		return connector.AsPermanent(fault.New(fault.SinkRejected, reason)) // by our rules: nothing was sent
	}
	return j.failed(reason, after)
}

// status judges an answer by its status.
func (j judge) status(a *responseWriter) error {
	reason := fmt.Errorf("the target answered %d %s", a.status, http.StatusText(a.status))
	after := proxy.RetryAfter(a.header)
	switch s := a.status; {
	case s >= 200 && s < 300:
		return nil
	case s == 401 && j.owns: // an expired token must not pour a topic into the dead letters
		return connector.AsBlocked(fmt.Errorf("%w: it refuses the credential of this target", reason))
	case s == 429, s == 502, s == 503, s == 504, s >= 500 && after > 0:
		return connector.AsUnavailable(reason, after)
	case s == 408, s == 425, s >= 500:
		return j.failed(reason, after)
	}
	return connector.AsPermanent(reason)
}

// failed is a failure of this call, if the circuit was closed.
func (j judge) failed(reason error, after time.Duration) error {
	if j.trial {
		return connector.AsUnavailable(reason, after)
	}
	return connector.AsTemporary(reason, after)
}
