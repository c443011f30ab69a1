package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// retryFetch is how long a partition is paused after a temporary error.
const retryFetch = 2 * time.Second

// fetchFailed handles the fetch error of one partition. It runs on the polling
// goroutine. franz-go retries most errors itself; the errors that reach fetchFailed
// need a decision, or franz-go would repeat the request at once and without end.
func (r *session) fetchFailed(p *partition, a *assignment, err error) {
	if loss, ok := errors.AsType[*kgo.ErrDataLoss](err); ok && a != nil {
		a.forget()
		r.truncated(p, a, loss)
		return
	}
	if full, ok := errors.AsType[*errNoRoom](err); ok {
		r.holdForBudget(p, full.need)
		return
	}
	if batch, text, ok := tooLarge(err, int64(r.src.cfg.MaxBatchBytes)); ok {
		// The next fetch would return the same batch, and only a person may decide to
		// skip it.
		if p.hold(holdGap) {
			p.setProblem(fmt.Sprintf("%s partition %d is on hold: %s; raise maxBatchBytes to read it, or reset the group's offset to %d to leave it out",
				p.topic, p.partition, text, batch.NextOffset))
			r.log.Error("partition held, batch too large to unpack",
				"topic", p.topic, "partition", p.partition, "from", batch.Offset, "to", batch.NextOffset-1, "maxBatchBytes", r.src.cfg.MaxBatchBytes)
		}
		return
	}
	switch {
	case errors.Is(err, kerr.OffsetOutOfRange) && a != nil:
		if p.hold(holdGap) {
			r.spawn(func() { r.outOfRange(p, a) })
		}
	case errors.Is(err, kerr.UnknownTopicID):
		r.src.forgetTopic(p.topic)
		r.fail(fmt.Errorf("topic %s was deleted and created again: %w", p.topic, err))
	case a == nil && !r.isStarting(p):
		// franz-go drops a partition whose commit it may not read, and never asks for
		// it again within the session.
		r.fail(fmt.Errorf("read the commit of %s partition %d: %w", p.topic, p.partition, explain(err)))
	default:
		r.fetchLater(p, err)
	}
}

// fetchLater pauses a partition for a while and sets its problem.
func (r *session) fetchLater(p *partition, err error) {
	if !p.hold(holdError) {
		return
	}
	p.setProblem(fmt.Sprintf("read %s partition %d: %v", p.topic, p.partition, explain(err)))
	r.log.Warn("fetch failed, will retry", "wait", retryFetch, "topic", p.topic, "partition", p.partition, "error", err)
	r.spawn(func() {
		if r.pause(retryFetch) {
			p.release(holdError)
		}
		// The problem is kept for as long again, so that it does not come and go while
		// the error lasts.
		if r.pause(retryFetch) {
			p.mu.Lock()
			if p.holds&(holdError|holdGap) == 0 {
				p.problem = ""
			}
			p.mu.Unlock()
		}
	})
}

// spawn runs fn in a goroutine that the end of the session waits for.
func (r *session) spawn(fn func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.stopping {
		r.wg.Go(fn)
	}
}

func (r *session) isStarting(p *partition) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return p.starting
}

// outOfRange asks the broker for the offsets that it still has of a partition whose
// next offset it refused, and resumes reading there. franz-go by itself would go to the
// first record of about the same time or, when there is none, to the end.
func (r *session) outOfRange(p *partition, a *assignment) {
	for retry := 1; ; retry++ {
		ctx, cancel := context.WithTimeout(r.ctx, commitTimeout)
		l, err := r.list(ctx, []*partition{p})
		cancel()
		first, end, ok := l.bounds(p.tp)
		if ok {
			r.resume(p, a, first, end)
			return
		}
		r.log.Warn("offset out of range, listing offsets failed", "topic", p.topic, "partition", p.partition, "error", err)
		if !r.pause(retryBackoff.Delay(retry)) {
			return
		}
	}
}

// resume continues at the earliest record left, unless the partition is to be held.
func (r *session) resume(p *partition, a *assignment, first, end int64) {
	next := a.position()
	if next >= first {
		// This is not retention: the log may have changed. Where retention has only
		// passed our position, the records done beyond the gap stay done.
		a.forget()
	}
	if next >= first && next <= end {
		// A new leader was behind for a moment.
		if r.pause(retryFetch) {
			r.onPoll(func() {
				if r.isCurrent(p, a) {
					r.seek(p, a.position())
				}
				p.release(holdGap)
			})
		}
		return
	}
	g := Gap{Topic: p.topic, Partition: p.partition, From: next, To: first}
	r.src.gap(g)
	if r.holdAt(p, g) {
		return
	}
	r.onPoll(func() {
		r.moveTo(p, a, first)
		p.release(holdGap)
	})
}

// holdAt holds the partition if onOffsetOutOfRange is hold, and reports whether it did.
func (r *session) holdAt(p *partition, g Gap) bool {
	if r.src.cfg.OnOffsetOutOfRange != "hold" {
		return false
	}
	p.hold(holdGap)
	p.setProblem(fmt.Sprintf("%s partition %d is on hold: the broker no longer has offset %d, the next it has is %d; "+
		"reset the group's offset, or set onOffsetOutOfRange: earliest", g.Topic, g.Partition, g.From, g.To))
	return true
}

// moveTo continues reading at offset, across a gap. It runs on the polling goroutine.
// When offset is ahead, the assignment stays, and the gap counts as settled once all
// records before it are. When offset is behind, the broker has lost what was read and
// committed, and a new assignment reads the records that took its place.
func (r *session) moveTo(p *partition, a *assignment, offset int64) {
	if !r.isCurrent(p, a) {
		return
	}
	if offset > a.position() {
		skip := make([]record, 1)
		skip[0].a, skip[0].control, skip[0].epoch = a, true, -1
		skip[0].Position.Offset = offset - 1
		a.appendBatch(batch{records: skip})
	} else {
		a.close(errRewound)
		r.assign(p, position{offset: offset, committed: -1, end: -1})
	}
	r.seek(p, offset)
}

// isCurrent reports whether a is the current assignment of p.
func (r *session) isCurrent(p *partition, a *assignment) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.parts[p.tp] == p && p.current == a
}

func (r *session) seek(p *partition, offset int64) {
	r.cl.SetOffsets(map[string]map[int32]kgo.EpochOffset{p.topic: {p.partition: {Epoch: -1, Offset: offset}}})
}

// truncated handles a log that lost its end. franz-go compared leader epochs to find
// the offset where the log differs from what was read, and continues there.
func (r *session) truncated(p *partition, a *assignment, loss *kgo.ErrDataLoss) {
	g := Gap{Topic: p.topic, Partition: p.partition, From: loss.ConsumedTo, To: loss.ResetTo}
	r.src.gap(g)
	if !r.holdAt(p, g) {
		// Records before the loss still exist, and some of them may not be settled.
		r.moveTo(p, a, min(loss.ResetTo, a.restartPosition().offset))
	}
}
