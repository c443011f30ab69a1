package async

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/proxy"
)

// outcome is what a try to make a call came to.
type outcome int

const (
	delivered   outcome = iota
	refused             // for good: trying again is no use
	failed              // by the call, or by the target: again, and it counts
	doubtful            // more likely by the target: it counts if that is well otherwise
	away                // the target is not there, whatever the call: again, and it does not count
	turn                // it was not its turn
	interrupted         // it was cut short by us
)

// verdict is an outcome, and what follows from it.
type verdict struct {
	outcome
	reason string        // for a person; no secrets
	after  time.Duration // when the target, or we, said to come again
}

// longestAsked is the longest wait that a target may ask for. What waits holds up
// those with its key.
const longestAsked = time.Hour

// judge is the verdict on a try. owns says that the target has a credential of
// its own; whole, that its answer has to be, unless it is a stream of events,
// which may have no end.
func judge(a *answer, err error, owns, whole bool) verdict {
	code, detail, after, ok := proxy.Refused(err)
	endless := code == call.UpstreamTimeout && a.header.IsEventStream()
	if a.status != 0 && (err == nil || errors.Is(err, errEnough) || !whole || endless) {
		return judgeStatus(a, owns)
	}
	if !ok {
		return verdict{outcome: interrupted}
	}
	v := verdict{failed, string(code) + ": " + detail, after}
	switch code {
	case call.RateLimited, call.TooManyCalls, call.CircuitOpen:
		v.outcome = turn
	case call.ConnectFailed, call.CredentialUnavailable, call.CredentialExpired:
		v.outcome = away
	case call.BadPath, call.PathNotAllowed, call.MethodNotAllowed, call.BadRequest, call.BodyTooLarge, call.UpgradeRefused:
		v.outcome = refused
	}
	return v
}

func judgeStatus(a *answer, owns bool) verdict {
	v := verdict{refused, fmt.Sprintf("the target answered %d %s", a.status, http.StatusText(a.status)), min(proxy.RetryAfter(a.header), longestAsked)}
	switch s := a.status; {
	case s >= 200 && s < 300:
		v.outcome = delivered
	case s == 401 && owns:
		v.outcome = away // an expired token must not pour a topic into the dead letters
		v.reason += ": it refuses the credential of this target"
	case s == 429, s >= 500 && v.after > 0:
		v.outcome = away
	case s == 502, s == 503, s == 504:
		v.outcome = doubtful
	case s == 408, s == 425, s >= 500:
		v.outcome = failed
	}
	return v
}
