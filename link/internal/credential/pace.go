package credential

import (
	"time"

	"github.com/lsm/fiso/common/backoff"
)

// pace keeps 401s from becoming a storm on whoever gives credentials out: a
// target that answers nothing else is not to be helped by new ones. The first
// goes through at once, those that follow after longer and longer waits, until
// there was peace for a while. It is not safe for concurrent use.
type pace struct {
	rounds int
	last   time.Time
}

var renewals = backoff.Policy{Initial: time.Second, Max: time.Minute}

func (p *pace) allow(now time.Time) bool {
	if now.Sub(p.last) > 2*renewals.Max {
		p.rounds = 0
	}
	if p.rounds > 0 && now.Sub(p.last) < renewals.Delay(p.rounds) {
		return false
	}
	p.rounds++
	p.last = now
	return true
}
