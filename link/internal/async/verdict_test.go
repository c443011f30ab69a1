package async

import (
	"testing"
	"time"

	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/proxy"
)

// A target may ask for patience, and not for a year of it.
func TestJudge_waitsAnHourAtMostWhateverIsAsked(t *testing.T) {
	for asked, want := range map[string]time.Duration{"": 0, "3": 3 * time.Second, "999999999": time.Hour, "Fri, 31 Dec 2199 23:59:59 GMT": time.Hour} {
		a := &answer{status: 503, header: header("Retry-After", asked)}
		if v := judge(a, nil, false, false); v.after != want || (v.outcome == away) != (want > 0) {
			t.Errorf("%q: %+v", asked, v)
		}
	}
}

// UL6: a call whose body is too large to be signed stays so: trying again helps nobody.
func TestJudge_refusesACallThatCannotBeSigned(t *testing.T) {
	for _, code := range []call.Code{call.BodyTooLarge, call.BadRequest} {
		v := judge(&answer{}, proxy.Refuse(code, "raise retry.maxBodyBytes", 0), true, false)
		if v.outcome != refused || v.reason != string(code)+": raise retry.maxBodyBytes" {
			t.Errorf("%s: %+v", code, v)
		}
	}
}
