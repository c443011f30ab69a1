package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/lsm/fiso/common/connector"
)

// stage is a Stage in use. Nothing in it changes but what counts its use, and
// its line, both with the engine's lock held.
type stage struct {
	Stage
	batch   *Batch              // nil: one by one
	batches connector.BatchSink // set with batch
	open    *batch              // collecting
	line    line
	cost    cost          // of the processor
	users   int           // runs, and events in a worker's hands or in a batch
	retired chan struct{} // made when the stage is replaced, closed when users is 0
}

func newStage(cfg Config, s *Stage) *stage {
	st := &stage{Stage: *s, line: line{limit: s.StopTheLine}}
	if many, ok := s.Sink.(connector.BatchSink); ok && s.Batch != nil {
		st.batches, st.batch = many, s.Batch.WithDefaults(cfg.MaxInFlight)
	}
	return st
}

// use and done count what is being worked on by the stage.
func (st *stage) use() { st.users++ }

func (st *stage) done() {
	if st.users--; st.users == 0 && st.retired != nil {
		close(st.retired)
	}
}

// Swap puts st in the place of the current stage while the source and its
// assignments stay. Whatever is begun from now on is done by st. Events that
// wait, for a retry, for a dead letter queue or for the line, start again on it
// at once and from the start. Calls under way on the old stage may finish until
// DrainTimeout; what they do not finish, or fail at, is done again by st, so no
// verdict of the old stage becomes a dead letter after the swap.
//
// Swap returns nil when nobody uses the old stage any more, and its sink may be
// closed. When ctx ends first, it returns an error; st is in force all the
// same, and the old stage's calls are cancelled but one did not return. It may
// be called at any time, from any goroutine, while another Swap waits too.
func (e *Engine) Swap(ctx context.Context, st *Stage) error {
	next := newStage(e.cfg, st)
	e.mu.Lock()
	old := e.stage.Swap(next)
	old.retired = make(chan struct{})
	if old.users == 0 {
		close(old.retired)
	}
	e.restart(old)
	e.mu.Unlock()
	defer e.abandon(old)

	drain := time.NewTimer(e.cfg.DrainTimeout)
	defer drain.Stop()
	select {
	case <-old.retired:
		return nil
	case <-drain.C:
	case <-ctx.Done():
	}
	e.cut(func(_ *shard, c call) bool { return c.stage == old })
	select {
	case <-old.retired:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the new stage is in force, but calls of the old one have not returned: %w", ctx.Err())
	}
}

// restart readies all that waits. What a lane's head had achieved is void on
// another stage, and thrown away when a worker takes it.
func (e *Engine) restart(old *stage) {
	all := func(l *lane) bool {
		e.ready.push(l)
		return true
	}
	e.expel(old, all)
	e.pauses.remove(all)
	old.line.remove(all)
	e.rouse(e.ready.n)
}

// abandon lets go of a replaced stage's call contexts.
func (e *Engine) abandon(old *stage) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.shards {
		kept := s.calls[:0]
		for _, c := range s.calls {
			if c.stage != old {
				kept = append(kept, c)
				continue
			}
			c.cancel()
		}
		clear(s.calls[len(kept):])
		s.calls = kept
	}
}
