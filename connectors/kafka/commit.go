package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lsm/fiso/connectors/kafka/internal/settle"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commitTimeout bounds one commit in the background.
const commitTimeout = 15 * time.Second

// commitWhileDraining bounds one commit during a drain, so that a broker that does not
// answer does not delay the end of the drain.
const commitWhileDraining = time.Second

// errFenced stops a commit when the member or its assignments changed since the commit
// was prepared.
var errFenced = errors.New("the partitions were reassigned before the commit")

// commitMark is what a commit contains for one partition.
type commitMark struct {
	kgo.EpochOffset
	done    []settle.Run // beyond the offset
	changes uint64       // Changes of the tracker
}

// commitLoop commits, once per interval, the watermarks that moved and the records done
// beyond them.
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
			err = nil // the next commit includes it
		}
		if r.ctx.Err() == nil {
			r.src.health.set(aspectCommit, err)
		}
	}
}

// flush commits what is settled, and retries until ctx ends: what is not committed now
// is delivered again to another member.
func (r *session) flush(ctx context.Context, all []*assignment) {
	for retry := 1; ; retry++ {
		err := r.commit(ctx, all)
		if err == nil || errors.Is(err, errFenced) || isAny(err, lostMembership) {
			return
		}
		wait(ctx, retryBackoff.Delay(retry), nil)
		if ctx.Err() != nil {
			r.log.Warn("last commit of released partitions failed", "error", err)
			return
		}
	}
}

// commit commits what moved. One commit runs at a time, and an assignment's committed
// offset never falls.
func (r *session) commit(ctx context.Context, all []*assignment) error {
	select {
	case r.commits <- struct{}{}:
		defer func() { <-r.commits }()
	case <-ctx.Done():
		return fmt.Errorf("commit: %w", ctx.Err())
	}
	marks := map[tp]commitMark{}
	by := map[tp]*assignment{}
	for _, a := range all {
		if m, ok := a.toCommit(!r.noMetadata.Load()); ok {
			marks[a.part.tp], by[a.part.tp] = m, a
		}
	}
	if len(by) == 0 {
		return nil
	}
	// The fence runs after franz-go has put the member's id and generation into the
	// request. If the member joined again after the watermarks were read, the request
	// would otherwise commit offsets of the old generation under the new one, and the
	// broker could not tell that they are stale.
	// https://github.com/IBM/sarama/issues/2118
	fence := func(req *kmsg.OffsetCommitRequest) error {
		for _, a := range by {
			if !a.open(req.MemberID) {
				return errFenced
			}
		}
		return nil
	}
	failures, err := r.send(ctx, marks, fence)
	if err == nil && r.metadataTooLong(failures) {
		for at, m := range marks {
			m.done = nil
			marks[at] = m
		}
		failures, err = r.send(ctx, marks, fence)
	}
	if err != nil {
		return err
	}
	var lost []*assignment
	for at, a := range by {
		switch err := failures[at]; {
		case err == nil:
			a.noteCommitted(marks[at])
		case isAny(err, lostMembership):
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

// metadataTooLong reports whether the broker refused a commit because its metadata,
// which lists the records done beyond the offset, is too long. The session then commits
// offsets only.
func (r *session) metadataTooLong(failures map[tp]error) bool {
	for _, err := range failures {
		if errors.Is(err, kerr.OffsetMetadataTooLarge) && !r.noMetadata.Swap(true) {
			r.log.Warn("commit metadata refused, committing offsets only", "hint", "set offset.metadata.max.bytes of the broker to 4096")
			return true
		}
	}
	return false
}

// send commits and returns the error of each partition.
func (r *session) send(ctx context.Context, marks map[tp]commitMark, fence func(*kmsg.OffsetCommitRequest) error) (failures map[tp]error, err error) {
	first := r.src.firstStart()
	pre := func(req *kmsg.OffsetCommitRequest) error {
		for _, t := range req.Topics {
			for i := range t.Partitions {
				p := &t.Partitions[i]
				m := marks[tp{t.Topic, p.Partition}]
				metadata := formatMetadata(first, settle.Encode(m.Offset, partitionID(t.TopicID, p.Partition), m.done, maxDone))
				p.Metadata = &metadata
			}
		}
		return fence(req)
	}
	offsets := map[string]map[int32]kgo.EpochOffset{}
	for at, m := range marks {
		if offsets[at.topic] == nil {
			offsets[at.topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[at.topic][at.partition] = m.EpochOffset
	}
	if r.isStopping() {
		req, resp, err := r.commitDirect(ctx, offsets, pre)
		if err != nil {
			return nil, err
		}
		failures = answers(req, resp)
	} else {
		done := func(_ *kgo.Client, req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, e error) {
			if e != nil {
				err = fmt.Errorf("commit: %w", e)
				return
			}
			failures = answers(req, resp)
		}
		r.cl.CommitOffsetsSync(kgo.PreCommitFnContext(ctx, pre), offsets, done)
	}
	if err != nil {
		return nil, err
	}
	for at := range marks {
		if _, ok := failures[at]; !ok {
			failures[at] = errors.New("the broker's answer does not name the partition")
		}
	}
	return failures, nil
}
