// Package memory lets the service stall for minutes over a backlog of gigabytes,
// in records of 10 KB and of 1 MiB, before a fiso-flow as shipped, and then sends
// it records and batches that are made to cost as much as they can. It proves
// that resident memory stays within 256 MiB over that of an idle process, that
// fetching stops while the service stalls and goes on within a second, and that
// no hostile record costs more than a second.
package memory

import (
	"context"
	"fmt"
	"time"

	"github.com/lsm/fiso/e2e/faults/internal/ledger"
	"github.com/lsm/fiso/e2e/faults/internal/stage"
)

// Scenario is this one.
var Scenario = stage.Scenario{Name: "memory", Title: "a service that stalls over a backlog of gigabytes, and hostile records", Faults: 1, Size: size, Run: run}

const (
	backlog = 3 << 30   // bytes, in the long form
	least   = 256 << 20 // far more than a flow takes in
	every   = 100       // of the records one is large
	small   = 10_000
	large   = 1<<20 - 2<<10 // with its key and the broker's overhead 1 MiB

	// bound is the most resident memory over that of an idle process.
	bound = 256 << 20
	// quiet is the most that may be read in a second when fetching has stopped:
	// heartbeats, and looks at how far the topic reaches.
	quiet = 32 << 10
	// prompt is how soon all must go on.
	prompt = time.Second
)

func size(n int) int {
	if n%every == 3 {
		return large
	}
	return small
}

func run(ctx context.Context, s *stage.Stage) error {
	if err := stall(ctx, s); err != nil {
		return err
	}
	if err := s.Finish(ctx); err != nil {
		return err
	}
	return hostile(ctx, s)
}

func stall(ctx context.Context, s *stage.Stage) error {
	// As shipped, but for a request that may hang as long as the service does:
	// one that is given up is sent again, and would be there twice.
	s.Flow.Plain, s.Flow.SinkTimeout, s.Flow.MaxInFlight = true, time.Hour, 1024
	m, err := s.Start(ctx, "as-shipped", false)
	if err != nil {
		return err
	}
	g, err := idle(ctx, s, m)
	if err != nil {
		return err
	}
	defer g.stop()
	s.Service.Stall()
	bytes := max(least, int(float64(backlog)*s.Scale))
	events := bytes / ((every-1)*small + large) * every
	s.Produce(ctx, stage.Load{Total: events, Backlog: events, Kind: func(int) ledger.Kind { return ledger.Plain }})
	if err := s.Produced(ctx); err != nil {
		return err
	}
	s.Fault("stall", 1)
	s.Say("%d MiB wait, %s", bytes>>20, g)
	if err := s.Wait(ctx, s.Long(2*time.Minute, 10*time.Second)); err != nil {
		return err
	}
	if err := stopped(ctx, s, m); err != nil {
		return err
	}
	s.Note("a backlog of %d MiB before a service that stalls: %s", bytes>>20, g)
	if err := resumes(ctx, s, m); err != nil {
		return err
	}
	if err := s.Until(ctx, "delivering the backlog", 5*time.Minute, func() bool { return s.Ledger.Open() == 0 }); err != nil {
		return err
	}
	s.Note("while it is delivered: %s", g)
	return g.judge()
}

// stopped looks whether the process still fetches.
func stopped(ctx context.Context, s *stage.Stage, m *stage.Member) error {
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
		return fmt.Errorf("fetching goes on while the service stalls: %d bytes a second", perSecond)
	}
	return nil
}

// resumes ends the stall and looks how soon the process delivers and fetches.
func resumes(ctx context.Context, s *stage.Stage, m *stage.Member) error {
	before, err := m.Read()
	if err != nil {
		return err
	}
	begun := time.Now()
	s.Service.Resume()
	if err := s.Until(ctx, "delivering again", prompt, func() bool { return s.Ledger.Count() > 0 }); err != nil {
		return err
	}
	delivered := time.Since(begun)
	err = s.Until(ctx, "fetching again", prompt, func() bool {
		after, err := m.Read()
		return err == nil && after-before > large
	})
	s.Note("delivered %v and fetched %v after the end of the stall", delivered.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond))
	return err
}
