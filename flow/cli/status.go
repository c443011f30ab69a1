package cli

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/lsm/fiso/flow/supervisor"
)

// startPollInterval is how often the flows are asked how they stand while they start,
// and pollInterval is how often later: there may be a thousand.
const (
	startPollInterval = 250 * time.Millisecond
	pollInterval      = time.Second
)

// statusLogger follows how the flows stand: it logs each flow that becomes ready or
// stops being it, and refuses a start that does not come about.
type statusLogger struct {
	report func() supervisor.Report
	log    *slog.Logger
	// start is how long what the flows read from may take to answer at first;
	// 0: for ever.
	start time.Duration
	ready map[string]bool // what was last said of each flow
	slow  map[string]time.Time
}

// unreadyGrace is how long a flow may be unready before that is worth a line: a
// group's first assignment takes a moment.
const unreadyGrace = 3 * time.Second

// follow returns when ctx ends, or with an error when a start is to be refused.
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

// checkStart reports whether the start still goes on, or why it failed.
func (s *statusLogger) checkStart(flows []supervisor.FlowReport, over bool) (starting bool, err error) {
	for _, f := range flows {
		switch {
		case f.Phase == "failed":
			return false, fmt.Errorf("flow %s does not start: %s", f.Name, f.Problem)
		case f.Unreached && over:
			return false, fmt.Errorf("flow %s does not start: nothing answered within %v: %s\n"+
				"Correct its source.config or start what it reads from; 'fiso-flow check' tells step by step. With --start-timeout 0 fiso-flow waits", f.Name, s.start, f.Problem)
		case f.Unreached || f.Phase == "starting":
			starting = true
		}
	}
	return starting || len(flows) == 0, nil
}

// logChanges logs what changed.
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
