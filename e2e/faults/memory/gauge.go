package memory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/lsm/fiso/e2e/faults/internal/harness"
)

// gauge samples the resident memory of a process.
type gauge struct {
	idle int64
	stop func()

	mu   sync.Mutex
	most int64
}

// measureIdle measures an idle process, and continues to sample it.
func measureIdle(ctx context.Context, s *harness.Env, m *harness.Member) (*gauge, error) {
	if err := s.WaitUntil(ctx, "the start", time.Minute, func() bool { return m.Ready(ctx) }); err != nil {
		return nil, err
	}
	if err := s.Wait(ctx, 2*time.Second); err != nil {
		return nil, err
	}
	g := &gauge{}
	var err error
	if g.idle, err = m.Resident(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() { g.sample(ctx, m) })
	g.stop = func() { cancel(); looking.Wait() }
	return g, nil
}

func (g *gauge) sample(ctx context.Context, m *harness.Member) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if n, err := m.Resident(); err == nil {
			g.mu.Lock()
			g.most = max(g.most, n)
			g.mu.Unlock()
		}
	}
}

// over returns the most memory above that of the idle process, in bytes.
func (g *gauge) over() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.most - g.idle
}

func (g *gauge) String() string {
	return fmt.Sprintf("%d MiB over the %d MiB of an idle process", g.over()>>20, g.idle>>20)
}

func (g *gauge) judge() error {
	if g.over() > bound {
		return fmt.Errorf("memory: %s, want at most %d MiB", g, bound>>20)
	}
	return nil
}
