//go:build synctests

package simulation

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Errors that the cluster may answer, by request. After an error of commits or membership, settled
// events may be delivered again.
var (
	fetchErrors = []*kerr.Error{kerr.NotLeaderForPartition, kerr.FencedLeaderEpoch, kerr.UnknownLeaderEpoch, kerr.OffsetOutOfRange,
		kerr.KafkaStorageError, kerr.OffsetNotAvailable, kerr.UnknownTopicOrPartition, kerr.UnknownServerError}
	offsetErrors      = []*kerr.Error{kerr.NotLeaderForPartition, kerr.LeaderNotAvailable, kerr.KafkaStorageError, kerr.UnknownTopicOrPartition}
	coordinatorErrors = []*kerr.Error{kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.CoordinatorNotAvailable}
	memberErrors      = append(coordinatorErrors[:3:3], kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.RebalanceInProgress)

	brokerFaults = []struct {
		key            kmsg.Key
		errs           []*kerr.Error
		affectsCommits bool // affects commits or membership
	}{
		{kmsg.Fetch, fetchErrors, false},
		{kmsg.ListOffsets, offsetErrors, false},
		{kmsg.OffsetForLeaderEpoch, offsetErrors, false},
		{kmsg.Metadata, offsetErrors[:2], false},
		{kmsg.FindCoordinator, coordinatorErrors, true},
		{kmsg.OffsetFetch, append(coordinatorErrors[:3:3], kerr.UnstableOffsetCommit), true},
		{kmsg.OffsetCommit, append(memberErrors[:len(memberErrors):len(memberErrors)], kerr.RequestTimedOut, kerr.UnknownTopicOrPartition), true},
		{kmsg.JoinGroup, memberErrors, true},
		{kmsg.SyncGroup, memberErrors, true},
		{kmsg.Heartbeat, memberErrors, true},
		{kmsg.LeaveGroup, memberErrors, true},
		{kmsg.Produce, []*kerr.Error{kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend, kerr.NotEnoughReplicas, kerr.NotLeaderForPartition}, true},
		{kmsg.InitProducerID, coordinatorErrors, false},
	}
)

// brokerErrors makes the cluster answer a few requests of one kind with an error.
func brokerErrors(sim *simulation, rnd random) {
	a := brokerFaults[rnd.IntN(len(brokerFaults))]
	f := kfake.Fault{Keys: []kmsg.Key{a.key}, Err: oneOf(rnd, a.errs...), Count: oneOf(rnd, 1, 1, 3, 10, 50)}
	if a.key == kmsg.Produce {
		f.Topic = deadLetterTopic // records for the flow must be stored, because they are counted
	}
	long := rnd.between(time.Second, 20*time.Second)
	text := fmt.Sprintf("%d times the cluster answers %s with %s", f.Count, a.key.Name(), f.Err.Message)
	counters.count("errors to " + a.key.Name())
	if a.affectsCommits {
		sim.history.add(entry{kind: faultPeriod, text: text, until: sim.since() + long + noticeDelay})
	} else {
		sim.history.addNote("%s", text)
	}
	h := sim.kafka.Fake.Fault(f)
	sim.activeFaults.Go(func() {
		time.Sleep(long)
		h.Remove()
	})
}

// connectionsCut makes the cluster close the connections of the next requests.
func connectionsCut(sim *simulation, rnd random) {
	counters.count("connections cut")
	left := 1 + rnd.IntN(20)
	key := oneOf(rnd, kmsg.Fetch, kmsg.OffsetCommit, kmsg.Heartbeat, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.OffsetFetch, kmsg.ListOffsets, kmsg.LeaveGroup,
		kmsg.Produce)
	orders := sim.kafka.Fake.TopicInfo(topic).TopicID
	sim.history.add(entry{kind: faultPeriod, text: fmt.Sprintf("%d connections are cut by a %s", left, key.Name()),
		until: sim.since() + 10*time.Second + noticeDelay})
	until := time.Now().Add(10 * time.Second)
	sim.kafka.Fake.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
		if r, ok := req.(*kmsg.ProduceRequest); ok && isOrders(r, orders) {
			sim.kafka.Fake.KeepControl() // records for the flow must be stored, because they are counted
			return nil, nil, false
		}
		if left == 0 || time.Now().After(until) {
			sim.kafka.Fake.DropControl()
			return nil, nil, false
		}
		left--
		sim.kafka.Fake.KeepControl()
		return nil, errors.New("cut"), true
	})
}

func leadersMove(sim *simulation, rnd random) {
	counters.count("leaders move")
	sim.history.addNote("all leaders move")
	sim.kafka.Fake.ShufflePartitionLeaders()
}

func coordinatorsMove(sim *simulation, rnd random) {
	counters.count("coordinators move")
	sim.history.addNote("the coordinators move")
	if g := sim.kafka.Fake.GroupInfo(group); g != nil && g.State != "Stable" {
		// After a move, kfake does not wait for members that have not joined yet. A real cluster
		// waits for the rebalance timeout.
		sim.history.add(entry{kind: faultPeriod, text: "the coordinators move during a rebalance", until: sim.since() + noticeDelay})
	}
	sim.kafka.Fake.RehashCoordinators()
}

// nodeComesAndGoes adds a broker for a while. Each has a new name and port: kfake mishandles a broker that
// comes back with its old name.
func nodeComesAndGoes(sim *simulation, rnd random) {
	if !sim.beginFault("nodes") {
		return
	}
	sim.mu.Lock()
	sim.added++
	node := int32(brokers + sim.added) //nolint:gosec // G115: small
	sim.mu.Unlock()
	port := firstPort + int(node)
	counters.count("node joins")
	sim.history.addNote("node %d joins", node)
	sim.must(sim.addNode(node, port))
	sim.undoAfter("nodes", rnd.between(time.Second, 40*time.Second), func() {
		counters.count("node goes")
		// kfake forgets a member whose JoinGroup waits on a broker that is removed, as soon as the
		// rest of the group has joined. A real cluster would wait for it.
		sim.history.add(entry{kind: faultPeriod, text: fmt.Sprintf("node %d goes", node), until: sim.since() + noticeDelay})
		sim.removeNode(node, port)
	})
}

func (sim *simulation) addNode(node int32, port int) error {
	_, _, err := sim.kafka.Fake.AddNode(node, port)
	return err
}

func (sim *simulation) removeNode(node int32, port int) {
	sim.must(sim.kafka.Fake.RemoveNode(node))
	sim.brokerConns.close(fmt.Sprintf("127.0.0.1:%d", port))
}

func (sim *simulation) must(err error) {
	if err != nil {
		sim.t.Error(err)
	}
}

// retention deletes the beginning of a partition, often before it was read. It leaves one record:
// for an empty log, kfake reports end offset 0, which looks as if the cluster had lost the
// records.
func retention(sim *simulation, rnd random) {
	p := sim.kafka.Fake.PartitionInfo(topic, rnd.Int32N(partitions))
	at := min(p.HighWatermark-1, sim.commits()[p.Partition]+int64(rnd.IntN(60)))
	if at <= p.LogStartOffset {
		return
	}
	counters.count("retention")
	sim.history.add(entry{kind: recordsDeleted, part: p.Partition, offset: at})
	sim.must(sim.kafka.Fake.DeleteRecords(topic, p.Partition, at))
}
