package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lsm/fiso/connectors/kafka/internal/settle"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// position is where an assignment starts.
type position struct {
	offset    int64
	committed int64        // -1: no commit, or the committed offset no longer exists
	end       int64        // -1: unknown
	set       bool         // chosen by startOffset, not committed yet
	done      []settle.Run // done beyond the offset; not handed over again
}

// snapshot holds the topics and partitions that the source's first probe saw.
type snapshot struct {
	at     time.Time
	topics map[string]topicPartitions
}

type topicPartitions struct{ partitions map[int32]bool }

// noteFirstStart keeps the earliest time at which, by the metadata of commits, the
// group first started.
func (s *Source) noteFirstStart(ms int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ms > 0 && (s.first == 0 || ms < s.first) {
		s.first = ms
	}
}

func (s *Source) firstStart() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first
}

// findAndAssign finds the start positions of partitions and assigns them, in a
// goroutine that ends with the session. It retries until it succeeds or the group takes
// the partitions away.
func (r *session) findAndAssign(parts []*partition) {
	var mine []*partition
	r.mu.Lock()
	for _, p := range parts {
		if !p.starting && !r.stopping && r.parts[p.tp] == p {
			p.starting = true
			p.hold(holdStart)
			mine = append(mine, p)
		}
	}
	if len(mine) > 0 {
		r.wg.Go(func() { r.assignWhenFound(mine) })
	}
	r.mu.Unlock()
}

func (r *session) assignWhenFound(parts []*partition) {
	for retry := 1; ; retry++ {
		if parts = r.stillOurs(parts); len(parts) == 0 {
			r.src.health.set(aspectStart, nil)
			return
		}
		found, err := r.findStarts(parts)
		if failed := r.commitStarts(found); failed != nil {
			err = failed
		} else if len(found) > 0 {
			r.startAt(found)
		}
		if r.ctx.Err() != nil {
			return
		}
		if err != nil && !errors.Is(err, errFenced) {
			r.src.health.set(aspectStart, fmt.Errorf("find the start positions: %w", explain(err)))
		}
		if len(r.stillOurs(parts)) > 0 && !r.pause(retryBackoff.Delay(retry)) {
			return
		}
	}
}

// stillOurs returns the partitions that the group has not taken back and that have no
// assignment yet.
func (r *session) stillOurs(parts []*partition) []*partition {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ours []*partition
	for _, p := range parts {
		if r.parts[p.tp] == p && p.starting {
			ours = append(ours, p)
		}
	}
	return ours
}

// startAt assigns partitions at their positions and resumes fetching. When franz-go has
// not begun to read a partition yet (adjust returned a moment ago), it begins at the
// offset set here and not at the placeholder.
func (r *session) startAt(found map[*partition]position) {
	r.onPoll(func() {
		set := map[string]map[int32]kgo.EpochOffset{}
		for p, pos := range found {
			if !r.assign(p, pos) {
				continue
			}
			if set[p.topic] == nil {
				set[p.topic] = map[int32]kgo.EpochOffset{}
			}
			set[p.topic][p.partition] = kgo.EpochOffset{Epoch: -1, Offset: pos.offset}
		}
		r.cl.SetOffsets(set)
		for p := range found {
			r.mu.Lock()
			p.starting = false
			r.mu.Unlock()
			p.release(holdStart)
		}
	})
}

// findStarts reads the group's commits, and resolves startOffset for the partitions
// without one. It leaves out partitions whose start cannot be found now.
func (r *session) findStarts(parts []*partition) (map[*partition]position, error) {
	ctx, cancel := context.WithTimeout(r.ctx, commitTimeout)
	defer cancel()
	commits, err := r.adm.FetchOffsets(kadm.RequireStable(ctx), r.src.cfg.ConsumerGroup)
	if err != nil {
		return nil, fmt.Errorf("read the group's commits: %w", err)
	}
	commits.Each(func(o kadm.OffsetResponse) {
		first, _ := parseMetadata(o.Metadata)
		r.src.noteFirstStart(first)
	})
	found, missing := r.committedStarts(parts, commits)
	if len(missing) == 0 {
		return found, nil
	}
	known := r.src.snapshot()
	if known == nil {
		return found, errors.New("the topics were not listed yet")
	}
	l, err := r.list(ctx, missing)
	if err != nil {
		return found, err
	}
	for _, p := range missing {
		want := r.src.start
		if r.src.isLater(p.tp, commits, known) {
			want = start{kind: startEarliest}
		}
		if pos, ok := l.resolve(p.tp, want); ok {
			r.log.Info("starting without a commit", "topic", p.topic, "partition", p.partition, "offset", pos.offset)
			found[p] = pos
		}
	}
	if len(found) < len(parts) {
		return found, errors.New("not all partitions have a leader")
	}
	return found, nil
}

// committedStarts returns the positions of partitions that have a commit or were read
// before in this session, and the partitions that have neither.
func (r *session) committedStarts(parts []*partition, commits kadm.OffsetResponses) (found map[*partition]position, missing []*partition) {
	found = map[*partition]position{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range parts {
		c, ok := commits.Lookup(p.topic, p.partition)
		ok = ok && c.Err == nil && c.At >= 0
		pos := position{offset: -1, committed: -1, end: -1, set: true}
		if ok {
			pos = position{offset: c.At, committed: c.At, end: -1, done: doneIn(c.Metadata, c.At, c.TopicID, p.partition)}
		}
		if pos, _ = r.resumePosition(p, pos, -1); pos.offset >= 0 {
			found[p] = pos
		} else {
			missing = append(missing, p)
		}
	}
	return found, missing
}

// isLater reports whether a partition without a commit appeared after the group first
// started. Such a partition is read from its start, regardless of startOffset.
// https://github.com/knative-extensions/eventing-kafka/issues/549,
// https://github.com/apache/kafka/pull/22784
func (s *Source) isLater(at tp, commits kadm.OffsetResponses, known *snapshot) bool {
	was := known.topics[at.topic].partitions[at.partition]
	started := false
	commits.Each(func(o kadm.OffsetResponse) {
		if o.At >= 0 && (o.Topic == at.topic || s.pattern != nil && s.reads(o.Topic)) {
			started = true
		}
	})
	if !started {
		return !was // the group starts now: a partition is later if our first probe did not see it
	}
	// The group has started before. If our first probe saw the partition and is older
	// than that start, the partition existed at the start, and another member was
	// faster than this one.
	s.mu.Lock()
	defer s.mu.Unlock()
	return !was || s.first == 0 || known.at.UnixMilli() > s.first
}

func (s *Source) snapshot() *snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.partitionsSeen
}

// listing holds the first and end offsets of partitions, and the offsets of
// startOffset's time.
type listing struct{ starts, ends, times kadm.ListedOffsets }

func (r *session) list(ctx context.Context, parts []*partition) (l listing, err error) {
	seen := map[string]bool{}
	var topics []string
	for _, p := range parts {
		if !seen[p.topic] {
			seen[p.topic] = true
			topics = append(topics, p.topic)
		}
	}
	// When one broker fails, the partitions of the others are still listed.
	var errs [3]error
	l.starts, errs[0] = r.adm.ListStartOffsets(ctx, topics...)
	l.ends, errs[1] = r.listEnds(ctx, topics...)
	if r.src.start.kind == startTime {
		l.times, errs[2] = r.adm.ListOffsetsAfterMilli(ctx, r.src.start.time.UnixMilli(), topics...)
	}
	if err = errors.Join(errs[:]...); err != nil && len(l.starts) == 0 {
		return l, fmt.Errorf("list offsets: %w", err)
	}
	return l, nil
}

func (r *session) listEnds(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
	if r.src.cfg.Isolation == "read_committed" {
		return r.adm.ListCommittedOffsets(ctx, topics...)
	}
	return r.adm.ListEndOffsets(ctx, topics...)
}

// bounds returns the first offset and the end of a partition.
func (l listing) bounds(at tp) (first, end int64, ok bool) {
	s, ok1 := l.starts.Lookup(at.topic, at.partition)
	e, ok2 := l.ends.Lookup(at.topic, at.partition)
	return s.Offset, e.Offset, ok1 && ok2 && s.Err == nil && e.Err == nil && s.Offset >= 0 && e.Offset >= 0
}

// resolve returns the position that want stands for.
func (l listing) resolve(at tp, want start) (position, bool) {
	first, end, ok := l.bounds(at)
	if !ok {
		return position{}, false
	}
	pos := position{offset: first, committed: -1, end: end, set: true}
	switch want.kind {
	case startLatest:
		pos.offset = end
	case startAt:
		pos.offset = min(max(want.offset, first), end)
	case startTime:
		t, ok := l.times.Lookup(at.topic, at.partition)
		if !ok || t.Err != nil {
			return position{}, false
		}
		pos.offset = end
		if t.Offset >= 0 {
			pos.offset = min(max(t.Offset, first), end)
		}
	}
	return pos, true
}

// commitStarts commits the positions that startOffset stands for before any record is
// delivered. Without it, after a crash before the first ordinary commit, `latest` would
// be resolved again, past records that were already seen.
// https://github.com/knative-extensions/eventing-kafka/issues/549
func (r *session) commitStarts(found map[*partition]position) error {
	marks := map[tp]commitMark{}
	members := map[*partition]string{}
	r.mu.Lock()
	for p, pos := range found {
		if !pos.set || r.parts[p.tp] != p {
			continue
		}
		marks[p.tp] = commitMark{EpochOffset: kgo.EpochOffset{Epoch: -1, Offset: pos.offset}}
		members[p] = p.member
	}
	r.mu.Unlock()
	if len(members) == 0 {
		return nil
	}
	if r.src.firstStart() == 0 {
		r.src.noteFirstStart(time.Now().UnixMilli())
	}
	ctx, cancel := context.WithTimeout(r.ctx, commitTimeout)
	defer cancel()
	select {
	case r.commits <- struct{}{}:
		defer func() { <-r.commits }()
	case <-ctx.Done():
		return fmt.Errorf("commit: %w", ctx.Err())
	}
	failures, err := r.send(ctx, marks, func(req *kmsg.OffsetCommitRequest) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		for p, member := range members {
			if r.parts[p.tp] != p || member != req.MemberID {
				return errFenced
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := firstFailure(failures); err != nil {
		return err
	}
	for p := range members {
		pos := found[p]
		pos.committed = pos.offset
		found[p] = pos
	}
	return nil
}
