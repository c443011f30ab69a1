package temporal

import (
	"context"
	"hash/maphash"
	"sync"
	"time"
)

// Limits of perWorkflow.maxPerSecond.
const (
	minPace = 0.001
	maxPace = 1000.0
)

// paceSlots is the number of places in the table of a pacer. The table is all that it
// needs, however many workflows there are. Two workflows with the same place share their
// pace: each may be slower than allowed, never faster.
const paceSlots = 1 << 16

// pacer delays calls so that none of the workflow ids gets more than one in each
// interval. The zero pacer delays nothing.
type pacer struct {
	interval time.Duration
	seed     maphash.Seed
	begun    time.Time

	mu   sync.Mutex
	next []time.Duration // by place: when the next call is due, since begun
}

func newPacer(maxPerSecond float64) *pacer {
	if maxPerSecond == 0 {
		return new(pacer)
	}
	return &pacer{
		interval: time.Duration(float64(time.Second) / maxPerSecond), seed: maphash.MakeSeed(),
		begun: time.Now(), next: make([]time.Duration, paceSlots),
	}
}

// wait returns when a call for the workflow is due, or with the error of ctx.
func (p *pacer) wait(ctx context.Context, workflowID string) error {
	if p.interval == 0 {
		return nil
	}
	place := maphash.String(p.seed, workflowID) % paceSlots
	turn, delay, taken := p.reserve(ctx, place)
	if !taken { // the turn would come after the deadline
		<-ctx.Done()
		return ctx.Err()
	}
	if delay <= 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		p.giveBack(place, turn)
		return ctx.Err()
	}
}

// reserve takes the next turn of a place, unless it comes after the deadline of ctx. It
// returns how long the turn is away.
func (p *pacer) reserve(ctx context.Context, place uint64) (turn, delay time.Duration, taken bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Since(p.begun)
	turn = max(p.next[place], now)
	if deadline, ok := ctx.Deadline(); ok && deadline.Sub(p.begun) < turn {
		return 0, 0, false
	}
	p.next[place] = turn + p.interval
	return turn, turn - now, true
}

// giveBack frees a turn that is not used, if it is the last one. Earlier turns are lost:
// the calls behind them know their own already.
func (p *pacer) giveBack(place uint64, turn time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next[place] == turn+p.interval {
		p.next[place] = turn
	}
}
