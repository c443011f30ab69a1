package credential

import (
	"time"

	"github.com/lsm/fiso/common/backoff"
)

// renewalLimiter limits renewals after a 401, so that a target that always answers 401
// causes no storm on the token server or Vault. The first renewal passes at once, later
// ones after growing waits, which are reset after a quiet time. It is not safe for
// concurrent use.
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
