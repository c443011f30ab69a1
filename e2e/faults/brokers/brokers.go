// Package brokers stops brokers: it restarts three of them one after the other, kills each under
// the producer, and finally kills all and keeps them down for a minute. The scenario proves that
// two fiso-flow processes survive that without help, lose no acknowledged record, and continue
// when a broker does. Events that they settle while nothing can be committed may come again if the
// group removes the processes meanwhile; a rolling restart repeats nothing.
package brokers

import (
	"context"
	"fmt"
	"time"

	"github.com/lsm/fiso/e2e/faults/internal/harness"
)

// Scenario is the scenario of this package.
var Scenario = harness.Scenario{Name: "brokers", Title: "three brokers: rolling restarts, kill -9, all away for a minute", Brokers: 3, Faults: 10, Run: run}

const brokers = 3

func run(ctx context.Context, s *harness.Env) error {
	s.Flow.SessionTimeout = 10 * time.Second
	s.Service.SetMaxDelay(5 * time.Millisecond)
	s.Produce(ctx, harness.Load{PerSecond: 700})
	for _, name := range []string{"a", "b"} {
		if _, err := s.StartDelivering(ctx, name, false); err != nil {
			return err
		}
	}
	times := max(2, s.ScaledCount(s.Faults))
	for i := range times - 1 {
		id := 1 + i%brokers
		if err := one(ctx, s, id, i%2 == 1, times); err != nil {
			return err
		}
	}
	s.Fault("all brokers killed, fault", times)
	ended := s.Outage()
	for id := 1; id <= brokers; id++ {
		s.Kafka.Kill(id)
	}
	if err := s.Wait(ctx, s.Scaled(time.Minute, 5*time.Second)); err != nil {
		return err
	}
	if err := s.Kafka.Start(1, 2, 3); err != nil {
		return fmt.Errorf("start all brokers: %w", err)
	}
	if err := s.WaitDelivered(ctx, 1000); err != nil {
		return err
	}
	ended()
	return s.Finish(ctx)
}

// one stops one broker and starts it again.
func one(ctx context.Context, s *harness.Env, id int, kill bool, of int) error {
	if kill {
		s.Fault(fmt.Sprintf("kill -9 of broker %d, fault", id), of)
		ended := s.Outage()
		s.Kafka.Kill(id)
		if err := s.WaitDelivered(ctx, 500); err != nil { // while the broker is down
			return err
		}
		ended()
	} else {
		s.Fault(fmt.Sprintf("restart of broker %d, fault", id), of)
		s.Kafka.Stop(id)
	}
	if err := s.Kafka.Start(id); err != nil {
		return fmt.Errorf("start broker %d: %w", id, err)
	}
	return s.WaitDelivered(ctx, 500)
}
