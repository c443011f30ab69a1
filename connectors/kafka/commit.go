package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commitTimeout bounds one commit in the background.
const commitTimeout = 15 * time.Second

// errFenced stops a commit whose member or assignments are not what they were
// when it was put together.
var errFenced = errors.New("the partitions changed hands before the commit")

// commitLoop commits the moves of all watermarks, once an interval.
func (r *session) commitLoop() {
	t := time.NewTicker(r.src.cfg.CommitInterval)
	defer t.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return // stop commits once more, after the drain
		case <-t.C:
		}
		ctx, cancel := context.WithTimeout(r.ctx, commitTimeout)
		err := r.commit(ctx, r.live())
		cancel()
		if errors.Is(err, errFenced) || errors.Is(err, kerr.RebalanceInProgress) {
			err = nil // the next one will do
		}
		if r.ctx.Err() == nil {
			r.src.health.set(aspectCommit, err)
		}
	}
}

// flush commits what is settled, and tries again while ctx lasts: what is not
// committed now will be delivered again, to another.
func (r *session) flush(ctx context.Context, all []*assignment) {
	for retry := 1; ; retry++ {
		err := r.commit(ctx, all)
		if err == nil || errors.Is(err, errFenced) || isAny(err, gone) {
			return
		}
		wait(ctx, backoff(retry), nil)
		if ctx.Err() != nil {
			r.log.Warn("last commit of partitions let go failed; settled messages may be delivered again", "error", err)
			return
		}
	}
}

// commit commits the watermarks that moved. Commits are made one at a time, and
// an assignment's committed offset never goes down.
func (r *session) commit(ctx context.Context, all []*assignment) error {
	select {
	case r.commits <- struct{}{}:
		defer func() { <-r.commits }()
	case <-ctx.Done():
		return fmt.Errorf("commit: %w", ctx.Err())
	}
	offsets := map[string]map[int32]kgo.EpochOffset{}
	by := map[tp]*assignment{}
	for _, a := range all {
		at, ok := a.toCommit()
		if !ok {
			continue
		}
		if offsets[a.part.topic] == nil {
			offsets[a.part.topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[a.part.topic][a.part.partition] = at
		by[a.part.tp] = a
	}
	if len(by) == 0 {
		return nil
	}
	// Asked once franz-go has put the member's id and generation into the
	// request. A join between our reading the watermarks and that moment would
	// otherwise lend the new generation to offsets of the old: the commit of a
	// zombie, which the broker cannot tell from a good one.
	// https://github.com/IBM/sarama/issues/2118
	fence := func(req *kmsg.OffsetCommitRequest) error {
		for _, a := range by {
			if !a.open(req.MemberID) {
				return errFenced
			}
		}
		return nil
	}
	failures, err := r.send(ctx, offsets, fence)
	if err != nil {
		return err
	}
	var lost []*assignment
	for at, a := range by {
		switch err := failures[at]; {
		case err == nil:
			a.noteCommitted(offsets[at.topic][at.partition].Offset)
		case isAny(err, gone):
			lost = append(lost, a)
		}
	}
	for _, a := range lost {
		// franz-go joins again by itself; onAssigned or onLost follows.
		a.close(errLost)
	}
	return firstFailure(failures)
}

func firstFailure(failures map[tp]error) error {
	for at, err := range failures {
		if err != nil {
			return fmt.Errorf("commit %s partition %d: %w", at.topic, at.partition, explain(err))
		}
	}
	return nil
}

// send commits offsets and returns the error of each partition.
func (r *session) send(ctx context.Context, offsets map[string]map[int32]kgo.EpochOffset, fence func(*kmsg.OffsetCommitRequest) error) (failures map[tp]error, err error) {
	metadata := r.src.firstMetadata()
	pre := func(req *kmsg.OffsetCommitRequest) error {
		for i := range req.Topics {
			for j := range req.Topics[i].Partitions {
				req.Topics[i].Partitions[j].Metadata = &metadata
			}
		}
		return fence(req)
	}
	if r.stops() {
		req, resp, err := r.askDirect(ctx, offsets, pre)
		if err != nil {
			return nil, err
		}
		failures = answers(req, resp)
	} else {
		r.cl.CommitOffsetsSync(kgo.PreCommitFnContext(ctx, pre), offsets, func(_ *kgo.Client, req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, e error) {
			if e != nil {
				err = fmt.Errorf("commit: %w", e)
				return
			}
			failures = answers(req, resp)
		})
	}
	if err != nil {
		return nil, err
	}
	for topic, numbers := range offsets {
		for n := range numbers {
			if _, ok := failures[tp{topic, n}]; !ok {
				failures[tp{topic, n}] = errors.New("the broker's answer does not name the partition")
			}
		}
	}
	return failures, nil
}
