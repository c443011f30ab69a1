package kafka

import (
	"context"
	"math/bits"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// roomLook is how often the polling goroutine looks whether there is room for
// partitions that wait for it, when nothing wakes it.
const roomLook = 250 * time.Millisecond

// held is what the session holds of what was polled: what waits to be handed
// over, and the large records in flight. Of small ones in flight the engine has
// a bound of its own.
func (r *session) held() int64 { return r.buffered.Load() + r.large.Load() }

// pollFetches polls, and looks after partitions that wait for room to unpack.
func (r *session) pollFetches(ctx context.Context) kgo.Fetches {
	if r.letIn() == 0 {
		return r.cl.PollFetches(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, roomLook)
	defer cancel()
	return r.cl.PollFetches(ctx)
}

// awaitRoomFor has a partition wait for room to unpack its next batch. While it
// is not fetched, others are; what they hold is what it waits for.
func (r *session) awaitRoomFor(p *partition, need int64) {
	if r.unpack.fits(need, 0) {
		return // franz-go asks again by itself
	}
	p.mu.Lock()
	p.need = need
	p.mu.Unlock()
	if p.hold(holdRoom) {
		r.crowded.Add(1)
		r.log.Debug("waiting for room to unpack the next batch", "topic", p.topic, "partition", p.partition, "bytes", need)
	}
}

// letIn lets partitions be fetched again for whose next batch there is room, and
// returns how many still wait.
func (r *session) letIn() int64 {
	if r.crowded.Load() == 0 {
		return 0
	}
	r.mu.Lock()
	parts := r.owned()
	r.mu.Unlock()
	var left, given int64
	for _, p := range parts {
		if !p.holding(holdRoom) {
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
		p.release(holdRoom)
	}
	r.crowded.Store(left)
	return left
}

// roomFreed wakes the polling goroutine when partitions wait for room.
func (r *session) roomFreed() {
	if r.crowded.Load() == 0 {
		return
	}
	r.cmdMu.Lock()
	defer r.cmdMu.Unlock()
	if r.wakePoll != nil {
		r.wakePoll()
	}
}

// pace is how much is asked for in a fetch, by what the last ones cost.
type pace struct {
	ratio           float64 // of cost to bytes on the wire
	most, partition int32   // asked for now
}

// adaptFetch asks brokers for less at once where records cost more than their
// bytes on the wire, because they are compressed or tiny: what does not fit into
// the budget of the unpacker is fetched for nothing, and what is not compressed
// cannot be refused by it.
func (r *session) adaptFetch(c charge) {
	if c.wire < 1<<10 {
		return // says nothing
	}
	cfg, p := &r.src.cfg, &r.pace
	p.ratio = max(1, float64(c.cost)/float64(c.wire), p.ratio*0.95)
	most := atMost(float64(cfg.MaxBufferedBytes)/p.ratio, int64(cfg.FetchMaxBytes))
	partition := atMost(float64(max(r.share.Load(), leastShare))/p.ratio, int64(cfg.FetchMaxPartitionBytes))
	if most != p.most || partition != p.partition {
		p.most, p.partition = most, partition
		r.cl.UpdateFetchMaxBytes(most, partition)
	}
}

const (
	leastFetch = 16 << 10 // asked for at the least; the first batch always comes whole
	leastShare = 2 << 20  // that a partition's part of a fetch may unpack to
)

// atMost is want rounded down to a power of two, so that it changes rarely, and
// within bounds.
func atMost(want float64, most int64) int32 {
	n := int64(1) << (bits.Len64(uint64(max(want, leastFetch))) - 1)
	return int32(min(n, most)) // the configuration keeps most within 1 GiB
}
