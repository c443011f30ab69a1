// Package members makes fiso-flow processes join and leave a group of one to four members, fifty
// times each, while all deliver. The scenario proves that a rebalance loses nothing, repeats
// nothing, and lets every partition continue.
package members

import (
	"context"
	"fmt"
	"time"

	"github.com/lsm/fiso/e2e/faults/internal/harness"
)

// Scenario is the scenario of this package.
var Scenario = harness.Scenario{Name: "members", Title: "joins and leaves of a group of 1 to 4", Faults: 100, Run: run}

const most = 4

func run(ctx context.Context, s *harness.Env) error {
	s.Service.SetMaxDelay(10 * time.Millisecond)
	s.Produce(ctx, harness.Load{PerSecond: 1200})
	first, err := s.StartDelivering(ctx, "member-0", false)
	if err != nil {
		return err
	}
	group := []*harness.Member{first}
	times := max(2, s.ScaledCount(s.Faults))
	joins, leaves := times/2, times/2
	for joins+leaves > 0 {
		s.Fault("join or leave", times)
		join := len(group) == 1 || len(group) < most && joins > 0 && s.Rand.IntN(2) == 0 || leaves == 0
		if join {
			m, err := s.StartDelivering(ctx, fmt.Sprintf("member-%d", joins), false)
			if err != nil {
				return err
			}
			group = append(group, m)
			joins--
		} else {
			i := s.Rand.IntN(len(group))
			if err := group[i].Stop(ctx); err != nil {
				return err
			}
			group = append(group[:i], group[i+1:]...)
			leaves--
		}
		if err := s.Wait(ctx, s.Between(0, 500*time.Millisecond)); err != nil {
			return err
		}
	}
	return s.Finish(ctx)
}
