//go:build synctests

package simulation

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// observeCluster adds the observers of the cluster. The one that refuses dead letters comes before the
// one that records them, so that only accepted ones are recorded.
func (sim *simulation) observeCluster() {
	orders := sim.kafka.Fake.TopicInfo(topic).TopicID
	sim.kafka.Fake.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		sim.kafka.Fake.KeepControl()
		return sim.refuseDeadLetters(req.(*kmsg.ProduceRequest), orders)
	})
	sim.kafka.Fake.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		sim.kafka.Fake.KeepControl()
		sim.recordDeadLetters(req.(*kmsg.ProduceRequest), orders)
		return nil, nil, false
	})
	sim.kafka.Fake.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		sim.kafka.Fake.KeepControl()
		r := req.(*kmsg.OffsetCommitRequest)
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				e := entry{kind: commitRequested, part: p.Partition, offset: p.Offset, text: "by " + r.MemberID}
				if p.Metadata != nil {
					e.metadata = *p.Metadata
				}
				sim.history.add(e)
			}
		}
		return nil, nil, false
	})
}

// observeMembers records when each member of the group last sent a request.
func (sim *simulation) observeMembers() {
	for _, key := range []kmsg.Key{kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat} {
		sim.kafka.Fake.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
			sim.kafka.Fake.KeepControl()
			id := ""
			switch r := req.(type) {
			case *kmsg.JoinGroupRequest:
				id = r.MemberID
			case *kmsg.SyncGroupRequest:
				id = r.MemberID
				sim.recordOwners(r)
			case *kmsg.HeartbeatRequest:
				id = r.MemberID
			}
			sim.mu.Lock()
			defer sim.mu.Unlock()
			sim.lastRequest[id] = time.Now()
			return nil, nil, false
		})
	}
}

// recordOwners records new owners of partitions when the leader of the group sends the assignment.
func (sim *simulation) recordOwners(r *kmsg.SyncGroupRequest) {
	if len(r.GroupAssignment) == 0 {
		return // not the leader
	}
	owners := map[int32]string{}
	for _, m := range r.GroupAssignment {
		var a kmsg.ConsumerMemberAssignment
		if err := a.ReadFrom(m.MemberAssignment); err != nil {
			sim.violation("an assignment of the group cannot be read: %v", err)
		}
		for _, t := range a.Topics {
			for _, p := range t.Partitions {
				owners[p] = m.MemberID
			}
		}
	}
	sim.mu.Lock()
	defer sim.mu.Unlock()
	for p := range int32(partitions) {
		if sim.owners[p] != owners[p] {
			sim.history.add(entry{kind: ownerChanged, part: p, member: owners[p]})
		}
	}
	sim.owners = owners
}

// maxJoinWait is how long a member waits at most for the answer to JoinGroup.
const maxJoinWait = 75 * time.Second

// rebalanceTimer detects a rebalance that lasts too long. A real cluster ends a rebalance after the
// rebalance timeout, with the members that have joined. kfake restarts the timeout at each
// JoinGroup, and members without an answer send another one; kfake may also count too few members,
// so that the rebalance never completes. Only a group without members starts to count again.
type rebalanceTimer struct {
	epoch int32
	since time.Time // zero: no rebalance
}

func (s *rebalanceTimer) isStuck(g *kfake.GroupInfo) bool {
	if g == nil || g.State != "PreparingRebalance" {
		s.since = time.Time{}
		return false
	}
	if s.since.IsZero() || s.epoch != g.Epoch {
		s.epoch, s.since = g.Epoch, time.Now()
	}
	if time.Since(s.since) < 2*maxJoinWait {
		return false
	}
	s.since = time.Now()
	return true
}

// removeGoneMembers removes group members that no longer exist. kfake does that itself, but not while
// their JoinGroup waits for an answer, and each further JoinGroup postpones the end of the
// rebalance: with such a member a rebalance might never end. A real cluster does not wait for
// gone members.
func (sim *simulation) removeGoneMembers(ctx context.Context) {
	t := time.NewTicker(5 * time.Second)
	defer t.Stop()
	var timer rebalanceTimer
	for {
		if timer.isStuck(sim.kafka.Fake.GroupInfo(group)) {
			sim.history.add(entry{kind: faultPeriod, text: "the cluster does not come to an end of a rebalance", until: sim.since() + noticeDelay})
			counters.count("endless rebalance of kfake")
			sim.removeFromGroup("every member", func(kfake.GroupMember) bool { return true })
		}
		sim.removeFromGroup("a gone member", func(m kfake.GroupMember) bool {
			sim.mu.Lock()
			defer sim.mu.Unlock()
			at, ok := sim.lastRequest[m.MemberID]
			if !ok {
				sim.lastRequest[m.MemberID] = time.Now()
			}
			return ok && time.Since(at) > maxJoinWait
		})
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// watchCommits records the commits of the group.
func (sim *simulation) watchCommits(ctx context.Context) {
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for {
		sim.recordCommits()
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

func (sim *simulation) recordCommits() {
	for p, at := range sim.commits() {
		sim.history.recordCommit(p, at)
	}
}
