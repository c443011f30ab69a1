package async

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/proxy"
)

// What shows that the target is away counts against no call, nor does what fiso-link or
// the credential lacks.
func TestJudge_givesEveryEndItsClass(t *testing.T) {
	refused := func(code call.Code) error { return proxy.Refuse(code, "why", 0) }
	for name, test := range map[string]struct {
		judge
		status int
		err    error
		want   connector.Class
		reason string // "": no error
	}{
		"done":                         {status: 204},
		"a verdict":                    {status: 500, want: connector.Temporary, reason: "the target answered 500 Internal Server Error"},
		"too early":                    {status: 425, want: connector.Temporary, reason: "the target answered 425 Too Early"},
		"a verdict of a trial":         {judge{trial: true}, 500, nil, connector.Unavailable, "the target answered 500 Internal Server Error"},
		"throttled":                    {status: 429, want: connector.Unavailable, reason: "the target answered 429 Too Many Requests"},
		"busy":                         {status: 503, want: connector.Unavailable, reason: "the target answered 503 Service Unavailable"},
		"refused":                      {status: 422, want: connector.Permanent, reason: "the target answered 422 Unprocessable Entity"},
		"a caller's credential":        {status: 401, want: connector.Permanent, reason: "the target answered 401 Unauthorized"},
		"a credential of ours":         {judge{ownCredential: true}, 401, nil, connector.Blocked, "the target answered 401 Unauthorized: the target refused the credential that is configured for it"},
		"no credential":                {err: refused(call.CredentialUnavailable), want: connector.Blocked, reason: "CREDENTIAL_UNAVAILABLE: why"},
		"an old credential":            {err: refused(call.CredentialExpired), want: connector.Blocked, reason: "CREDENTIAL_EXPIRED: why"},
		"nobody there":                 {err: refused(call.ConnectFailed), want: connector.Unavailable, reason: "CONNECT_FAILED: why"},
		"no answer in time":            {err: refused(call.UpstreamTimeout), want: connector.Unavailable, reason: "UPSTREAM_TIMEOUT: why"},
		"a connection that broke":      {err: refused(call.UpstreamReset), want: connector.Unavailable, reason: "UPSTREAM_RESET: why"},
		"half an answer":               {judge{needsWhole: true}, 200, refused(call.UpstreamReset), connector.Unavailable, "UPSTREAM_RESET: why"},
		"half an answer of no concern": {status: 200, err: refused(call.UpstreamReset)},
		"no HTTP":                      {err: refused(call.UpstreamGarbage), want: connector.Temporary, reason: "UPSTREAM_GARBAGE: why"},
		"no place":                     {err: refused(call.TooManyCalls), want: connector.Temporary, reason: "TOO_MANY_CALLS: why"},
		"cut short":                    {err: context.Canceled, want: connector.Interrupted, reason: connector.ErrInterrupted.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.of(&responseWriter{status: test.status}, test.err)
			if test.reason == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || connector.ClassOf(err) != test.want || err.Error() != test.reason {
				t.Errorf("%v, class %v", err, connector.ClassOf(err))
			}
		})
	}
}

// A call that a limit held back was not tried, and is tried when fiso-link says.
func TestJudge_aCallWhoseTurnHasNotComeWasNotTried(t *testing.T) {
	for _, code := range []call.Code{call.RateLimited, call.TooManyCalls, call.CircuitOpen} {
		err := judge{}.of(&responseWriter{}, proxy.Refuse(code, "why", 3*time.Second))
		if !errors.Is(err, connector.ErrInterrupted) || connector.RetryAfter(err) != 3*time.Second || err.Error() != string(code)+": why" {
			t.Errorf("%s: %v, after %v", code, err, connector.RetryAfter(err))
		}
	}
}

func TestJudge_aBusyTargetSaysWhenToComeAgain(t *testing.T) {
	for _, status := range []int{429, 500, 503} {
		err := judge{}.of(&responseWriter{status: status, header: header("Retry-After", "3")}, nil)
		if connector.ClassOf(err) != connector.Unavailable || connector.RetryAfter(err) != 3*time.Second {
			t.Errorf("%d: %v, class %v, after %v", status, err, connector.ClassOf(err), connector.RetryAfter(err))
		}
	}
}

// UL6: a call whose body is too large to be signed is a dead letter at once: retrying
// cannot help.
func TestJudge_refusesACallThatCannotBeSigned(t *testing.T) {
	for _, code := range []call.Code{call.BodyTooLarge, call.BadRequest} {
		err := judge{ownCredential: true}.of(&responseWriter{}, proxy.Refuse(code, "raise retry.maxBodyBytes", 0))
		if !connector.IsUnsendable(err) || err.Error() != string(code)+": raise retry.maxBodyBytes" {
			t.Errorf("%s: %v", code, err)
		}
	}
}
