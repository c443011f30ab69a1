package demo

import (
	"context"
	"fmt"
	"time"
)

// waitTimeout is how long the script waits for a condition.
const waitTimeout = 15 * time.Second

// step is a failure, or an action of a person, at a fraction of the demo's length.
type step struct {
	at float64
	do func(ctx context.Context) error
	// holds must become true before the script continues; nil: no condition.
	holds func() bool
}

func (s *demo) script(ctx context.Context) error {
	for _, step := range s.steps() {
		at := s.ledger.start.Add(time.Duration(step.at * float64(s.opts.Length)))
		select {
		case <-ctx.Done():
			return stopped(ctx)
		case <-time.After(time.Until(at)):
		}
		if err := step.do(ctx); err != nil {
			return err
		}
		if step.holds != nil {
			s.await(ctx, step.holds)
		}
	}
	return nil
}

// await waits for a condition. If it times out, the totals show it.
func (s *demo) await(ctx context.Context, holds func() bool) {
	late := time.NewTimer(waitTimeout)
	defer late.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return
		case <-late.C:
			return
		case <-tick.C:
		}
	}
}

func stopped(ctx context.Context) error {
	return fmt.Errorf("stopped before the end: %w", context.Cause(ctx))
}

func (s *demo) steps() []step {
	says := func(format string, args ...any) { s.ledger.say("!", format, args...) }
	be := func(m shopState, words string) func(context.Context) error {
		return func(context.Context) error { s.upstream.setState(m); says("%s", words); return nil }
	}
	issued := 0
	return []step{
		{0.10, be(flaky, "the shop fails every fifth time: 503, or it takes the order and cuts the connection"), func() bool {
			return s.upstream.repeated() && s.ledger.outcome("UPSTREAM_RESET") > 0
		}},
		{0.28, be(healthy, "the shop works again"), nil},
		{0.33, func(context.Context) error {
			issued = s.upstream.seen().issued
			s.upstream.revoke()
			says("the shop revokes the token before its end: the next call gets 401")
			return nil
		}, func() bool { seen := s.upstream.seen(); return seen.issued > issued && seen.stale > 0 }},
		{0.42, be(unavailable, "the shop is down: 503 to everything"), func() bool { return s.ledger.outcome("CIRCUIT_OPEN") > 4 }},
		{0.55, be(healthy, "the shop is back"), func() bool { _, closed := s.ledger.breakerChanges(); return closed > 0 }},
		{0.65, func(ctx context.Context) error {
			says("the application calls the partner 12 times at once; its rateLimit is 8 a second")
			s.app.burst(ctx, "partner", "rates", 12)
			return nil
		}, nil},
		{0.74, func(context.Context) error {
			says("the configuration is saved with one more target; the news go on streaming")
			return s.save("config.yaml", s.fill(configFile+reloaded))
		}, func() bool { return s.ledger.answeredBy("weather") > 0 }},
		{0.86, func(context.Context) error {
			says("the partner's key is replaced: another one is in the file")
			return s.save("partner-key", s.upstream.rotateKey())
		}, s.upstream.rotated},
		{1, func(context.Context) error { says("the last call is made"); return nil }, nil},
	}
}
