package async

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/proxy"
)

// judge turns the result of a try into nil or an error whose class tells the delivery
// engine what to do.
type judge struct {
	// trial: the circuit was not closed when the try began, so a failure says more
	// about the target than about the call.
	trial         bool
	ownCredential bool // the target has its own credential
	needsWhole    bool // only a complete answer counts
}

// notTried is the error of a call that was not tried because a limit or the open
// circuit held it back.
type notTried struct{ error }

// Unwrap tells the engine that the call was not tried.
func (notTried) Unwrap() error { return connector.ErrInterrupted }

// of classifies the answer, and the error of the walk. A stream of events may never
// end, so its head is enough.
func (j judge) of(a *responseWriter, err error) error {
	code, detail, after, ok := proxy.Refused(err)
	endless := code == call.UpstreamTimeout && a.header.IsEventStream()
	if a.status != 0 && (err == nil || errors.Is(err, errBodyTooLarge) || !j.needsWhole || endless) {
		return j.status(a)
	}
	if !ok {
		return connector.ErrInterrupted
	}
	reason := errors.New(string(code) + ": " + detail)
	switch code {
	case call.RateLimited, call.TooManyCalls, call.CircuitOpen:
		return connector.AsTemporary(notTried{reason}, after)
	case call.ConnectFailed, call.UpstreamTimeout, call.UpstreamReset:
		return connector.AsUnavailable(reason, after)
	case call.CredentialUnavailable, call.CredentialExpired:
		return connector.AsBlocked(reason)
	case call.BadPath, call.PathNotAllowed, call.MethodNotAllowed, call.BadRequest, call.BodyTooLarge, call.UpgradeRefused:
		return connector.AsUnsendable(reason) // fiso-link refused it: nothing was sent
	}
	return j.failed(reason, after)
}

// status classifies an answer by its status.
func (j judge) status(a *responseWriter) error {
	reason := fmt.Errorf("the target answered %d %s", a.status, http.StatusText(a.status))
	after := proxy.RetryAfter(a.header)
	switch s := a.status; {
	case s >= 200 && s < 300:
		return nil
	case s == 401 && j.ownCredential: // an expired token must not turn a whole topic into dead letters
		return connector.AsBlocked(fmt.Errorf("%w: the target refused the credential that is configured for it", reason))
	case s == 429, s == 502, s == 503, s == 504, s >= 500 && after > 0:
		return connector.AsUnavailable(reason, after)
	case s == 408, s == 425, s >= 500:
		return j.failed(reason, after)
	}
	return connector.AsPermanent(reason)
}

// failed counts against the call if the circuit was closed, else against the target.
func (j judge) failed(reason error, after time.Duration) error {
	if j.trial {
		return connector.AsUnavailable(reason, after)
	}
	return connector.AsTemporary(reason, after)
}
