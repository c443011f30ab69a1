package credential

import (
	"time"

	"github.com/lsm/fiso/common/backoff"
)

// renewalLimiter keeps 401s from becoming a storm on whoever gives credentials out: a
// target that answers nothing else is not to be helped by new ones. The first
// goes through at once, those that follow after longer and longer waits, until
// there was peace for a while. It is not safe for concurrent use.
type renewalLimiter struct {
	rounds int
	last   time.Time
}

var maxRenewals = backoff.Policy{Initial: time.Second, Max: time.Minute}

func (p *renewalLimiter) allow(now time.Time) bool {
	if now.Sub(p.last) > 2*maxRenewals.Max {
		p.rounds = 0
	}
	if p.rounds > 0 && now.Sub(p.last) < maxRenewals.Delay(p.rounds) {
		return false
	}
	p.rounds++
	p.last = now
	return true
}
