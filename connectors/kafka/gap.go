package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// retryFetch is how long a partition rests after an error that may pass.
const retryFetch = 2 * time.Second

// fetchFailed deals with the error of one partition. It runs on the polling
// goroutine. franz-go itself retries what is worth retrying; what comes here
// needs a decision, or would be asked for again at once without end.
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
		// Asking again gives the same batch, and skipping it is for a person
		// to decide.
		if p.hold(holdGap) {
			p.setProblem(fmt.Sprintf("%s partition %d is on hold: %s; raise maxBatchBytes to read it, or reset the group's offset to %d to leave it out", p.topic, p.partition, text, batch.NextOffset))
			r.log.Error("a batch is too large to unpack; the partition is on hold, raise maxBatchBytes", "topic", p.topic, "partition", p.partition, "from", batch.Offset, "to", batch.NextOffset-1, "maxBatchBytes", r.src.cfg.MaxBatchBytes)
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
		r.failed(fmt.Errorf("topic %s was deleted and created again: %w", p.topic, err))
	case a == nil && !r.isStarting(p):
		// franz-go drops a partition whose commit it may not read, and never
		// asks again within the session.
		r.failed(fmt.Errorf("read the commit of %s partition %d: %w", p.topic, p.partition, explain(err)))
	default:
		r.fetchLater(p, err)
	}
}

// fetchLater lets a partition rest, and says why.
func (r *session) fetchLater(p *partition, err error) {
	if !p.hold(holdError) {
		return
	}
	p.setProblem(fmt.Sprintf("read %s partition %d: %v", p.topic, p.partition, explain(err)))
	r.log.Warn("fetch failed; trying again", "topic", p.topic, "partition", p.partition, "error", err)
	r.spawn(func() {
		if r.pause(retryFetch) {
			p.release(holdError)
		}
		// Said until the next failure, or for good when there is none.
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

// outOfRange finds out what the broker has left of a partition whose next
// offset it refused, and resumes there. franz-go by itself would go to the
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
		r.log.Warn("offset out of range, and the range is not known", "topic", p.topic, "partition", p.partition, "error", err)
		if !r.pause(retryBackoff.Delay(retry)) {
			return
		}
	}
}

// resume goes on at the earliest record left, unless it is to hold.
func (r *session) resume(p *partition, a *assignment, first, end int64) {
	next := a.position()
	if next >= first {
		// Not retention: the log may not be what it was. Where retention has
		// merely caught up with us, what is done beyond the gap stays done.
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

// holdAt puts the partition on hold when gaps are to be decided by a person.
func (r *session) holdAt(p *partition, g Gap) bool {
	if r.src.cfg.OnOffsetOutOfRange != "hold" {
		return false
	}
	p.hold(holdGap)
	p.setProblem(fmt.Sprintf("%s partition %d is on hold: the broker no longer has offset %d, the next it has is %d; reset the group's offset, or set onOffsetOutOfRange: earliest", g.Topic, g.Partition, g.From, g.To))
	return true
}

// moveTo goes on reading at offset, across a gap. It runs on the polling
// goroutine. Forward the assignment stays as it is, and the gap counts as
// settled once all before it is. Backward, what was read and committed is void:
// the broker has lost it, and other records take its place.
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

// isCurrent reports whether a is what reads p now.
func (r *session) isCurrent(p *partition, a *assignment) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.parts[p.tp] == p && p.current == a
}

func (r *session) seek(p *partition, offset int64) {
	r.cl.SetOffsets(map[string]map[int32]kgo.EpochOffset{p.topic: {p.partition: {Epoch: -1, Offset: offset}}})
}

// truncated deals with a log whose end was lost: franz-go found by the leader's
// epochs where it parted from what we read, and goes on there.
func (r *session) truncated(p *partition, a *assignment, loss *kgo.ErrDataLoss) {
	g := Gap{Topic: p.topic, Partition: p.partition, From: loss.ConsumedTo, To: loss.ResetTo}
	r.src.gap(g)
	if !r.holdAt(p, g) {
		// What is older is still there, and is not done with before it is settled.
		r.moveTo(p, a, min(loss.ResetTo, a.restartPosition().offset))
	}
}
