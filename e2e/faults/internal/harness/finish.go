package harness

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lsm/fiso/e2e/faults/internal/ledger"
)

// Result is the result of a scenario.
type Result struct {
	Scenario string
	Faults   int
	ledger.Verdict
	// Recovered is the time from the last fault until every partition delivered again.
	Recovered time.Duration
	Seconds   float64
	// Notes are figures of the scenario.
	Notes []string
	// Err is why the scenario did not run to its end.
	Err error
}

// Good reports whether the scenario ran to its end and no guarantee was broken.
func (r *Result) Good() bool { return r.Err == nil && r.Verdict.Good() }

const (
	// recovery is how long after the last fault each partition may take to deliver again.
	recovery = 15 * time.Second
	// settling is how long delivering everything may take at the end.
	settling = 2 * time.Minute
)

// Finish ends a scenario with running processes: it checks that every partition delivers, waits
// until everything is settled, and stops the processes.
func (s *Env) Finish(ctx context.Context) error {
	if err := s.StopProducing(ctx); err != nil {
		return err
	}
	if err := s.checkAllPartitionsDeliver(ctx); err != nil {
		return err
	}
	s.log("the last fault is over, %d of %d delivered", s.Ledger.Count(), s.Ledger.Len())
	if err := s.WaitUntil(ctx, "settling everything", settling, func() bool {
		return len(s.Ledger.Unsettled(0)) == 0 && (s.Settled == nil || s.Settled())
	}); err != nil {
		return err
	}
	for _, m := range s.running() {
		if err := m.Stop(ctx); err != nil {
			return err
		}
	}
	return s.committed(ctx)
}

// committed waits until the last commits, which were made before the last process ended, are read.
func (s *Env) committed(ctx context.Context) error {
	commits, err := s.Kafka.Committed(ctx, s.Flow.Group, s.Topic)
	if err != nil {
		return err
	}
	return s.WaitUntil(ctx, "reading the last commits", 20*time.Second, func() bool { return s.Ledger.HasCommits(commits) })
}

// checkAllPartitionsDeliver writes an event of each key and waits until each partition delivers again.
func (s *Env) checkAllPartitionsDeliver(ctx context.Context) error {
	begun := time.Now()
	for key := range keys {
		s.producer.produceOne(key, ledger.Plain)
	}
	if err := s.producer.cl.Flush(ctx); err != nil {
		return fmt.Errorf("write events after the last fault: %w", err)
	}
	err := s.WaitUntil(ctx, "each partition delivering after the last fault", recovery, func() bool { return s.Ledger.AllDeliveredSince(begun) })
	s.recovered = time.Since(begun)
	return err
}

// Note adds a figure to the result.
func (s *Env) Note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// tearDown stops everything and judges the run.
func (s *Env) tearDown(err error) Result {
	for _, m := range s.running() {
		m.expectExit()
		m.Continue()
		m.proc.Kill()
	}
	if s.producer != nil {
		if s.producer.cancel != nil {
			s.producer.cancel()
		}
		s.producer.run.Wait()
		s.producer.cl.Close()
		if n := s.producer.lost.Load(); n > 0 {
			err = errors.Join(err, fmt.Errorf("%d records were refused by the broker", n))
		}
	}
	s.cancel()
	s.background.Wait()
	if s.Service != nil {
		s.Service.close()
	}
	r := Result{
		Scenario: s.Name, Faults: s.faults, Verdict: s.Ledger.Verdict(), Recovered: s.recovered,
		Seconds: time.Since(s.begun).Seconds(), Notes: s.notes, Err: err,
	}
	return r
}
