//go:build synctests

package simulation

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// observe adds the observers of the cluster. The one that refuses dead letters comes before the
// one that records them, so that only accepted ones are recorded.
func (w *world) observe() {
	orders := w.kafka.Fake.TopicInfo(topic).TopicID
	w.kafka.Fake.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.kafka.Fake.KeepControl()
		return w.refuseLetters(req.(*kmsg.ProduceRequest), orders)
	})
	w.kafka.Fake.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.kafka.Fake.KeepControl()
		w.noteLetters(req.(*kmsg.ProduceRequest), orders)
		return nil, nil, false
	})
	w.kafka.Fake.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.kafka.Fake.KeepControl()
		r := req.(*kmsg.OffsetCommitRequest)
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				e := entry{what: asked, part: p.Partition, offset: p.Offset, text: "by " + r.MemberID}
				if p.Metadata != nil {
					e.note = *p.Metadata
				}
				w.history.add(e)
			}
		}
		return nil, nil, false
	})
}

// noteMembers records when each member of the group last sent a request.
func (w *world) noteMembers() {
	for _, key := range []kmsg.Key{kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat} {
		w.kafka.Fake.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
			w.kafka.Fake.KeepControl()
			id := ""
			switch r := req.(type) {
			case *kmsg.JoinGroupRequest:
				id = r.MemberID
			case *kmsg.SyncGroupRequest:
				id = r.MemberID
				w.noteOwners(r)
			case *kmsg.HeartbeatRequest:
				id = r.MemberID
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.heard[id] = time.Now()
			return nil, nil, false
		})
	}
}

// noteOwners records new owners of partitions when the leader of the group sends the assignment.
func (w *world) noteOwners(r *kmsg.SyncGroupRequest) {
	if len(r.GroupAssignment) == 0 {
		return // not the leader
	}
	owners := map[int32]string{}
	for _, m := range r.GroupAssignment {
		var a kmsg.ConsumerMemberAssignment
		if err := a.ReadFrom(m.MemberAssignment); err != nil {
			w.broken("an assignment of the group cannot be read: %v", err)
		}
		for _, t := range a.Topics {
			for _, p := range t.Partitions {
				owners[p] = m.MemberID
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range int32(partitions) {
		if w.owners[p] != owners[p] {
			w.history.add(entry{what: owned, part: p, who: owners[p]})
		}
	}
	w.owners = owners
}

// mostJoin is how long a member waits at most for the answer to JoinGroup.
const mostJoin = 75 * time.Second

// stall detects a rebalance that lasts too long. A real cluster ends a rebalance after the
// rebalance timeout, with the members that have joined. kfake restarts the timeout at each
// JoinGroup, and members without an answer send another one; kfake may also count too few members,
// so that the rebalance never completes. Only a group without members starts to count again.
type stall struct {
	epoch int32
	since time.Time // zero: no rebalance
}

func (s *stall) endless(g *kfake.GroupInfo) bool {
	if g == nil || g.State != "PreparingRebalance" {
		s.since = time.Time{}
		return false
	}
	if s.since.IsZero() || s.epoch != g.Epoch {
		s.epoch, s.since = g.Epoch, time.Now()
	}
	if time.Since(s.since) < 2*mostJoin {
		return false
	}
	s.since = time.Now()
	return true
}

// expelGhosts removes group members that no longer exist. kfake does that itself, but not while
// their JoinGroup waits for an answer, and each further JoinGroup postpones the end of the
// rebalance: with such a ghost a rebalance might never end. A real cluster does not wait for
// ghosts.
func (w *world) expelGhosts(ctx context.Context) {
	t := time.NewTicker(5 * time.Second)
	defer t.Stop()
	var stuck stall
	for {
		if stuck.endless(w.kafka.Fake.GroupInfo(group)) {
			w.history.add(entry{what: excuse, text: "the cluster does not come to an end of a rebalance", until: w.since() + noticed})
			happened.count("endless rebalance of kfake")
			w.expel("everyone", func(kfake.GroupMember) bool { return true })
		}
		w.expel("a ghost", func(m kfake.GroupMember) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			at, ok := w.heard[m.MemberID]
			if !ok {
				w.heard[m.MemberID] = time.Now()
			}
			return ok && time.Since(at) > mostJoin
		})
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// watchCommits records the commits of the group.
func (w *world) watchCommits(ctx context.Context) {
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for {
		w.lookAtCommits()
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

func (w *world) lookAtCommits() {
	for p, at := range w.commits() {
		w.history.saw(p, at)
	}
}
