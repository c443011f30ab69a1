package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/lsm/fiso/connectors/kafka/internal/settle"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The callbacks of franz-go's group management. franz-go runs them one at a time and
// holds no lock; heartbeats continue meanwhile.

// onAssigned is called at the start of every generation, with the new partitions. Their
// start positions are found later, by adjust.
func (r *session) onAssigned(_ context.Context, cl *kgo.Client, added map[string][]int32) {
	r.src.health.set(aspectGroup, nil)
	member, _ := cl.GroupMetadata()
	r.mu.Lock()
	var stale []*assignment
	var again []*partition
	// A member that the group expelled can come back within one join, under a new id,
	// and franz-go treats its partitions as kept, without a callback. Other members may
	// have read them meanwhile, so they are lost and read again from the current
	// commit.
	// https://github.com/twmb/franz-go/issues/1326
	for _, p := range r.parts {
		if p.member != member || p.current != nil && !p.current.open(member) {
			p.member = member
			again = append(again, p)
			if p.current != nil {
				stale = append(stale, p.current)
				p.current = nil
			}
		}
	}
	for topic, numbers := range added {
		for _, n := range numbers {
			at := tp{topic, n}
			if old := r.parts[at]; old != nil && old.current != nil {
				stale = append(stale, old.current)
			}
			r.parts[at] = &partition{tp: at, cl: cl, member: member}
		}
	}
	r.shareBuffer()
	r.mu.Unlock()
	for _, a := range stale {
		a.close(errLost)
	}
	if len(again) > 0 {
		r.log.Warn("rejoined: the group went on without this member", "partitions", len(again))
		r.findAndAssign(again)
	}
}

// shareBuffer computes each partition's share of the buffer. It needs mu.
func (r *session) shareBuffer() {
	total := int64(r.src.cfg.MaxBufferedBytes)
	least := int64(r.src.cfg.FetchMaxPartitionBytes)
	r.partitionShare.Store(min(total, max(least, total/int64(max(1, len(r.parts))))))
}

// onFetched reads the metadata of the group's commits. franz-go calls adjust next,
// which gets the offsets only.
func (r *session) onFetched(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	done := map[tp][]settle.Run{}
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				if p.Metadata == nil {
					continue
				}
				first, _ := parseMetadata(*p.Metadata)
				r.src.noteFirstStart(first)
				done[tp{t.Topic, p.Partition}] = doneIn(*p.Metadata, p.Offset, t.TopicID, p.Partition)
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fetched = done
	return nil
}

// adjust is called with the committed offsets of new partitions before any of their
// records is fetched. Partitions with a commit start at it at once. The others are
// paused and started by findAndAssign, so that a partition without a leader delays
// neither the others nor the next rebalance.
//
// It must not return an error of its own: franz-go takes context.Canceled for leaving
// the group, and any other error for the loss of all partitions.
func (r *session) adjust(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var unknown []*partition
	ready := map[*partition]position{}
	r.mu.Lock()
	for topic, numbers := range offsets {
		for n, offset := range numbers {
			p := r.parts[tp{topic, n}]
			if p == nil {
				continue
			}
			if at := offset.EpochOffset(); at.Offset >= 0 {
				pos, epoch := r.resumePosition(p, position{offset: at.Offset, committed: at.Offset, end: -1, done: r.fetched[p.tp]}, at.Epoch)
				ready[p] = pos
				numbers[n] = kgo.NewOffset().At(pos.offset).WithEpoch(epoch)
				continue
			}
			p.hold(holdStart)
			unknown = append(unknown, p)
			numbers[n] = kgo.NewOffset().At(0) // placeholder; paused until the start is set
		}
	}
	r.fetched = nil
	r.mu.Unlock()
	r.onPoll(func() {
		for p, pos := range ready {
			r.assign(p, pos)
		}
	})
	r.findAndAssign(unknown)
	return offsets, nil
}

// resumePosition returns where to continue with a partition that this session lost
// without a chance to commit, and got again: at its own watermark, if that is ahead of
// the group's commit. Settled records stay done even if the brokers were away before
// the commit, and a coordinator that has just started may for a moment answer with an
// older commit than the newest it acknowledged, or with none. Records beyond the
// position count as done if the commit or the earlier assignment says so: another
// member may have done some of them. It needs mu.
func (r *session) resumePosition(p *partition, pos position, epoch int32) (position, int32) {
	before := r.newest[p.tp]
	if before == nil || !errors.Is(context.Cause(before.ctx), errLost) {
		return pos, epoch // a partition that was revoked is committed
	}
	before.mu.Lock()
	defer before.mu.Unlock()
	pos.done = settle.Merge(pos.done, before.tracker.DoneAhead(maxRuns))
	if own := before.tracker.Watermark(); own > pos.offset {
		pos.offset, epoch = own, before.tracker.Epoch()
	}
	return pos, epoch
}

// assign makes the assignment and starts its pump. It runs on the polling goroutine. It
// returns false, and does nothing, for a partition that is no longer ours.
func (r *session) assign(p *partition, pos position) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopping || r.parts[p.tp] != p {
		return false
	}
	if p.current != nil {
		p.current.close(errRewound)
	}
	if len(pos.done) > 0 {
		r.log.Debug("skipping records done beyond the committed offset",
			"topic", p.topic, "partition", p.partition, "offset", pos.offset, "offsets", countOffsets(pos.done))
	}
	a := newAssignment(r, p, pos, r.newest[p.tp])
	p.current = a
	r.src.health.set(aspectSession, nil)
	r.newest[p.tp] = a
	r.wg.Go(func() { a.pump(r.handle) })
	return true
}

// onRevoked is called with the partitions to give up: messages in flight may finish,
// settled ones are committed, and the others are delivered again. Other partitions
// continue meanwhile. The group waits until onRevoked returns, so it is bounded well
// below the rebalance timeout.
func (r *session) onRevoked(_ context.Context, cl *kgo.Client, gone map[string][]int32) {
	r.revokes <- struct{}{}
	defer func() { <-r.revokes }()
	member, _ := cl.GroupMetadata()
	parts := r.removePartitions(gone)
	var ours []*partition
	for _, p := range parts {
		if p.member == member {
			ours = append(ours, p)
		} else if p.current != nil {
			p.current.close(errLost) // another member may have read on
		}
	}
	open := r.finish(ours, errRevoked)
	r.awaitDrained(open)
	ctx, cancel := context.WithTimeout(r.base, leaveTimeout)
	defer cancel()
	r.flush(ctx, open)
	for _, a := range open {
		a.close(errRevoked)
	}
	clearHolds(parts)
}

// onLost is called when the group went on without this member: other members may
// already read its partitions, so nothing is committed.
func (r *session) onLost(context.Context, *kgo.Client, map[string][]int32) {
	r.mu.Lock()
	parts := r.owned()
	r.parts = map[tp]*partition{}
	r.mu.Unlock()
	for _, p := range parts {
		if p.current != nil {
			p.current.close(errLost)
		}
	}
	clearHolds(parts)
	if len(parts) > 0 {
		r.log.Warn("all partitions lost: the group went on without this member", "partitions", len(parts))
	}
}

// removePartitions removes partitions from parts and returns them.
func (r *session) removePartitions(gone map[string][]int32) []*partition {
	r.mu.Lock()
	defer r.mu.Unlock()
	var parts []*partition
	for topic, numbers := range gone {
		for _, n := range numbers {
			if p := r.parts[tp{topic, n}]; p != nil {
				parts = append(parts, p)
				delete(r.parts, p.tp)
			}
		}
	}
	r.shareBuffer()
	return parts
}

// finish finishes the assignments of parts and returns them; they can still be settled.
func (r *session) finish(parts []*partition, cause error) []*assignment {
	var open []*assignment
	r.mu.Lock()
	for _, p := range parts {
		if p.current != nil {
			open = append(open, p.current)
		}
	}
	r.mu.Unlock()
	for _, a := range open {
		a.finish(cause)
	}
	return open
}

// awaitDrained waits until no message is in flight, at most for the drain timeout.
func (r *session) awaitDrained(all []*assignment) {
	ctx, cancel := context.WithTimeout(r.base, r.drain)
	defer cancel()
	tick := time.NewTicker(r.src.cfg.CommitInterval)
	defer tick.Stop()
	for _, a := range all {
		for waiting := true; waiting; {
			select {
			case <-a.drained:
				waiting = false
			case <-tick.C:
				// The process may be killed before the drain ends, so settled messages
				// are committed meanwhile. flush repeats a commit that fails.
				soon, stop := context.WithTimeout(ctx, commitWhileDraining)
				_ = r.commit(soon, all)
				stop()
			case <-ctx.Done():
				r.log.Warn("messages in flight after the drain timeout",
					"topic", a.part.topic, "partition", a.part.partition, "inFlight", a.status().InFlight, "waited", r.drain)
				waiting = false
			}
		}
	}
}

// clearHolds resumes partitions. franz-go would remember the pauses for the next time
// it gets the partition.
func clearHolds(parts []*partition) {
	for _, p := range parts {
		for _, why := range []holdReason{holdFull, holdStart, holdGap, holdError, holdBudget} {
			p.release(why)
		}
	}
}

// pause waits for d, and reports whether the session still runs.
func (r *session) pause(d time.Duration) bool {
	wait(r.ctx, d, nil)
	return r.ctx.Err() == nil
}
