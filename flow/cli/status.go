package cli

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/lsm/fiso/flow/supervisor"
)

// The status of all flows is polled: often during the start, less often later, because there may
// be a thousand flows.
const (
	startPollInterval = 250 * time.Millisecond
	pollInterval      = time.Second
)

// statusLogger watches the status of the flows. It logs when a flow becomes ready or stops being
// ready, and reports a start that fails.
type statusLogger struct {
	report func() supervisor.Report
	log    *slog.Logger
	// start limits how long the servers of the sources may take to answer at first; 0: no limit.
	start time.Duration
	ready map[string]bool // the status of each flow that was last logged
	slow  map[string]time.Time
}

// unreadyGrace is how long a flow may be unready before that is logged: the first assignment of a
// consumer group takes a moment.
const unreadyGrace = 3 * time.Second

// follow returns nil when ctx ends, or an error if the start fails.
func (s *statusLogger) follow(ctx context.Context) error {
	s.ready, s.slow = map[string]bool{}, map[string]time.Time{}
	tick := time.NewTicker(startPollInterval)
	defer tick.Stop()
	began := time.Now()
	starting := true
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		flows := s.report().Flows
		now := time.Now()
		s.logChanges(now, flows)
		if !starting {
			continue
		}
		over := s.start > 0 && now.Sub(began) >= s.start
		var err error
		if starting, err = s.checkStart(flows, over); err != nil {
			return err
		}
		if starting = starting && !over; !starting {
			tick.Reset(pollInterval)
		}
	}
}

// checkStart reports whether flows are still starting, or why the start failed.
func (s *statusLogger) checkStart(flows []supervisor.FlowReport, over bool) (starting bool, err error) {
	for _, f := range flows {
		switch {
		case f.Phase == "failed":
			return false, fmt.Errorf("flow %s does not start: %s", f.Name, f.Problem)
		case f.Unreached && over:
			return false, fmt.Errorf("flow %s does not start: no answer within %v: %s; correct source.config or start the broker "+
				"('fiso-flow check' shows which step fails, and --start-timeout 0 waits without a limit)", f.Name, s.start, f.Problem)
		case f.Unreached || f.Phase == "starting":
			starting = true
		}
	}
	return starting || len(flows) == 0, nil
}

// logChanges logs flows whose readiness changed.
func (s *statusLogger) logChanges(now time.Time, flows []supervisor.FlowReport) {
	for _, f := range flows {
		ok, said := s.ready[f.Name]
		switch {
		case f.Problem == "":
			delete(s.slow, f.Name)
			if !ok || !said {
				s.log.Info("flow is ready", "flow", f.Name)
			}
			s.ready[f.Name] = true
		case said && !ok:
		case s.slow[f.Name].IsZero():
			s.slow[f.Name] = now
		case now.Sub(s.slow[f.Name]) >= unreadyGrace:
			s.ready[f.Name] = false
			s.log.Warn("flow is not ready", "flow", f.Name, "reason", f.Problem)
		}
	}
}
