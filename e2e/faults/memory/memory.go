// Package memory stalls the service for minutes with a backlog of gigabytes, in records of 10 KB
// and of 1 MiB, for a fiso-flow with default settings. Then it sends records and batches that are
// designed to be expensive. The scenario proves that resident memory stays within 256 MiB above
// that of an idle process, that fetching stops during the stall and continues within a second, and
// that no hostile record takes more than a second.
package memory

import (
	"context"
	"fmt"
	"time"

	"github.com/lsm/fiso/e2e/faults/internal/harness"
	"github.com/lsm/fiso/e2e/faults/internal/ledger"
)

// Scenario is the scenario of this package.
var Scenario = harness.Scenario{Name: "memory", Title: "a service that stalls over a backlog of gigabytes, and hostile records", Faults: 1,
	Size: size, Run: run}

const (
	backlog = 3 << 30   // bytes, at scale 1
	least   = 256 << 20 // far more than a flow buffers
	every   = 100       // one of this many records is large
	small   = 10_000
	large   = 1<<20 - 2<<10 // 1 MiB with its key and the overhead of the broker

	// bound limits the resident memory above that of an idle process.
	bound = 256 << 20
	// quiet is the most that may be read in a second after fetching has stopped: heartbeats, and
	// requests for the end of the topic.
	quiet = 32 << 10
	// prompt is how soon everything must continue.
	prompt = time.Second
)

func size(n int) int {
	if n%every == 3 {
		return large
	}
	return small
}

func run(ctx context.Context, s *harness.Env) error {
	if err := stall(ctx, s); err != nil {
		return err
	}
	if err := s.Finish(ctx); err != nil {
		return err
	}
	return hostile(ctx, s)
}

func stall(ctx context.Context, s *harness.Env) error {
	// Default settings, except that a request may wait as long as the service stalls: a request
	// that timed out would be sent again and delivered twice.
	s.Flow.Plain, s.Flow.SinkTimeout, s.Flow.MaxInFlight = true, time.Hour, 1024
	m, err := s.Start(ctx, "as-shipped", false)
	if err != nil {
		return err
	}
	g, err := measureIdle(ctx, s, m)
	if err != nil {
		return err
	}
	defer g.stop()
	s.Service.Stall()
	bytes := max(least, int(float64(backlog)*s.Scale))
	events := bytes / ((every-1)*small + large) * every
	s.Produce(ctx, harness.Load{Total: events, Backlog: events, Kind: func(int) ledger.Kind { return ledger.Plain }})
	if err := s.WaitProduced(ctx); err != nil {
		return err
	}
	s.Fault("stall", 1)
	s.Log("%d MiB wait, %s", bytes>>20, g)
	if err := s.Wait(ctx, s.Scaled(2*time.Minute, 10*time.Second)); err != nil {
		return err
	}
	if err := stopped(ctx, s, m); err != nil {
		return err
	}
	s.Note("a backlog of %d MiB before a service that stalls: %s", bytes>>20, g)
	if err := resumes(ctx, s, m); err != nil {
		return err
	}
	if err := s.WaitUntil(ctx, "delivering the backlog", 5*time.Minute, func() bool { return s.Ledger.Undelivered() == 0 }); err != nil {
		return err
	}
	s.Note("while it is delivered: %s", g)
	return g.judge()
}

// stopped checks that the process has stopped fetching.
func stopped(ctx context.Context, s *harness.Env, m *harness.Member) error {
	before, err := m.Read()
	if err != nil {
		return err
	}
	const look = 5 * time.Second
	if err := s.Wait(ctx, look); err != nil {
		return err
	}
	after, err := m.Read()
	if err != nil {
		return err
	}
	perSecond := (after - before) / int64(look/time.Second)
	s.Note("read in a second of the stall: %d bytes", perSecond)
	if perSecond > quiet {
		return fmt.Errorf("fetching continues while the service stalls: %d bytes a second", perSecond)
	}
	return nil
}

// resumes ends the stall and checks how soon the process delivers and fetches.
func resumes(ctx context.Context, s *harness.Env, m *harness.Member) error {
	before, err := m.Read()
	if err != nil {
		return err
	}
	begun := time.Now()
	s.Service.Resume()
	if err := s.WaitUntil(ctx, "delivering again", prompt, func() bool { return s.Ledger.Count() > 0 }); err != nil {
		return err
	}
	delivered := time.Since(begun)
	err = s.WaitUntil(ctx, "fetching again", prompt, func() bool {
		after, err := m.Read()
		return err == nil && after-before > large
	})
	s.Note("delivered %v and fetched %v after the end of the stall", delivered.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond))
	return err
}
