package kafka

import (
	"context"
	"math/bits"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// budgetPollInterval is how often the polling goroutine looks whether there is room for
// partitions that wait for it, when nothing wakes it.
const budgetPollInterval = 250 * time.Millisecond

// heldBytes is what the session holds of what was polled: what waits to be handed
// over, and the large records in flight. Of small ones in flight the engine has
// a bound of its own.
func (r *session) heldBytes() int64 { return r.buffered.Load() + r.large.Load() }

// pollFetches polls, and lets partitions be fetched again that wait for the budget.
func (r *session) pollFetches(ctx context.Context) kgo.Fetches {
	if r.releaseWaiting() == 0 {
		return r.cl.PollFetches(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, budgetPollInterval)
	defer cancel()
	return r.cl.PollFetches(ctx)
}

// holdForBudget pauses a partition until its next batch fits the budget. Meanwhile
// others are fetched, and release what they hold.
func (r *session) holdForBudget(p *partition, need int64) {
	if r.unpack.fits(need, 0) {
		return // franz-go asks again by itself
	}
	p.mu.Lock()
	p.need = need
	p.mu.Unlock()
	if p.hold(holdBudget) {
		r.waitingForBudget.Add(1)
		r.log.Debug("waiting for room to unpack the next batch", "topic", p.topic, "partition", p.partition, "bytes", need)
	}
}

// releaseWaiting resumes partitions whose next batch fits now, and returns how many
// still wait.
func (r *session) releaseWaiting() int64 {
	if r.waitingForBudget.Load() == 0 {
		return 0
	}
	r.mu.Lock()
	parts := r.owned()
	r.mu.Unlock()
	var left, given int64
	for _, p := range parts {
		if !p.holding(holdBudget) {
			continue
		}
		p.mu.Lock()
		need := p.need
		p.mu.Unlock()
		if !r.unpack.fits(need, given) {
			left++
			continue
		}
		given += need
		p.release(holdBudget)
	}
	r.waitingForBudget.Store(left)
	return left
}

// wakePoller wakes the polling goroutine if partitions wait for the budget.
func (r *session) wakePoller() {
	if r.waitingForBudget.Load() == 0 {
		return
	}
	r.cmdMu.Lock()
	defer r.cmdMu.Unlock()
	if r.wakePoll != nil {
		r.wakePoll()
	}
}

// fetchSize is how much a fetch asks for, by the cost of the last ones.
type fetchSize struct {
	ratio            float64 // of cost to bytes on the wire
	total, partition int32   // asked for now
}

// adaptFetch asks brokers for less if records cost more than their bytes on the wire,
// because they are compressed or tiny: a compressed batch over the unpacker's budget
// is fetched in vain, and the unpacker cannot refuse uncompressed ones.
func (r *session) adaptFetch(c charge) {
	if c.wire < 1<<10 {
		return // says nothing
	}
	cfg, p := &r.src.cfg, &r.fetchSize
	p.ratio = max(1, float64(c.cost)/float64(c.wire), p.ratio*0.95)
	most := powerOfTwo(float64(cfg.MaxBufferedBytes)/p.ratio, int64(cfg.FetchMaxBytes))
	partition := powerOfTwo(float64(max(r.partitionShare.Load(), minShareBytes))/p.ratio, int64(cfg.FetchMaxPartitionBytes))
	if most != p.total || partition != p.partition {
		p.total, p.partition = most, partition
		r.cl.UpdateFetchMaxBytes(most, partition)
	}
}

const (
	minFetchBytes = 16 << 10 // asked for at the least; the first batch always comes whole
	minShareBytes = 2 << 20  // that a partition's part of a fetch may unpack to
)

// powerOfTwo is want, within bounds, rounded down to a power of two so that it changes
// rarely.
func powerOfTwo(want float64, most int64) int32 {
	n := int64(1) << (bits.Len64(uint64(max(want, minFetchBytes))) - 1)
	return int32(min(n, most)) // the configuration keeps most within 1 GiB
}
