package kafka

import (
	"context"
	"math/bits"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// budgetPollInterval is how often the polling goroutine checks whether waiting
// partitions fit the budget, when nothing wakes it.
const budgetPollInterval = 250 * time.Millisecond

// heldBytes returns the bytes that the session holds: records that wait to be handed
// over, and large records in flight. The number of small records in flight is bounded
// by the engine.
func (r *session) heldBytes() int64 { return r.buffered.Load() + r.large.Load() }

// pollFetches resumes partitions that fit the budget again, and polls.
func (r *session) pollFetches(ctx context.Context) kgo.Fetches {
	if r.releaseWaiting() == 0 {
		return r.cl.PollFetches(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, budgetPollInterval)
	defer cancel()
	return r.cl.PollFetches(ctx)
}

// holdForBudget pauses a partition until its next batch fits the budget. Other
// partitions are fetched meanwhile, and free memory as they are handed over.
func (r *session) holdForBudget(p *partition, need int64) {
	if r.unpack.fits(need, 0) {
		return // franz-go fetches it again by itself
	}
	p.mu.Lock()
	p.need = need
	p.mu.Unlock()
	if p.hold(holdBudget) {
		r.waitingForBudget.Add(1)
		r.log.Debug("waiting for memory to unpack the next batch", "topic", p.topic, "partition", p.partition, "bytes", need)
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

// fetchSize is how many bytes a fetch asks for, given the cost of earlier ones.
type fetchSize struct {
	ratio            float64 // cost per byte on the wire
	total, partition int32   // current limits, in bytes
}

// adaptFetch asks brokers for less when records cost more memory than their bytes on
// the wire, because they are compressed or tiny. A compressed batch over the budget
// would be fetched in vain, and the unpacker cannot refuse uncompressed batches.
func (r *session) adaptFetch(c charge) {
	if c.wire < 1<<10 {
		return // too little for an estimate
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
	minFetchBytes = 16 << 10 // least to ask for; the first batch always comes whole
	minShareBytes = 2 << 20  // least that one partition's part of a fetch may unpack to
)

// powerOfTwo returns want within bounds, rounded down to a power of two so that the
// limit changes rarely.
func powerOfTwo(want float64, most int64) int32 {
	n := int64(1) << (bits.Len64(uint64(max(want, minFetchBytes))) - 1)
	return int32(min(n, most)) // the configuration keeps most within 1 GiB
}
