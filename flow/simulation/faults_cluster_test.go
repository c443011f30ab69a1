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
	fetching = []*kerr.Error{kerr.NotLeaderForPartition, kerr.FencedLeaderEpoch, kerr.UnknownLeaderEpoch, kerr.OffsetOutOfRange, kerr.KafkaStorageError, kerr.OffsetNotAvailable, kerr.UnknownTopicOrPartition, kerr.UnknownServerError}
	asking   = []*kerr.Error{kerr.NotLeaderForPartition, kerr.LeaderNotAvailable, kerr.KafkaStorageError, kerr.UnknownTopicOrPartition}
	grouping = []*kerr.Error{kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.CoordinatorNotAvailable}
	joining  = append(grouping[:3:3], kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.RebalanceInProgress)

	answers = []struct {
		key  kmsg.Key
		errs []*kerr.Error
		hurt bool // affects commits or membership
	}{
		{kmsg.Fetch, fetching, false},
		{kmsg.ListOffsets, asking, false},
		{kmsg.OffsetForLeaderEpoch, asking, false},
		{kmsg.Metadata, asking[:2], false},
		{kmsg.FindCoordinator, grouping, true},
		{kmsg.OffsetFetch, append(grouping[:3:3], kerr.UnstableOffsetCommit), true},
		{kmsg.OffsetCommit, append(joining[:len(joining):len(joining)], kerr.RequestTimedOut, kerr.UnknownTopicOrPartition), true},
		{kmsg.JoinGroup, joining, true},
		{kmsg.SyncGroup, joining, true},
		{kmsg.Heartbeat, joining, true},
		{kmsg.LeaveGroup, joining, true},
		{kmsg.Produce, []*kerr.Error{kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend, kerr.NotEnoughReplicas, kerr.NotLeaderForPartition}, true},
		{kmsg.InitProducerID, grouping, false},
	}
)

// brokerErrors makes the cluster answer a few requests of one kind with an error.
func brokerErrors(w *world, d dice) {
	a := answers[d.IntN(len(answers))]
	f := kfake.Fault{Keys: []kmsg.Key{a.key}, Err: one(d, a.errs...), Count: one(d, 1, 1, 3, 10, 50)}
	if a.key == kmsg.Produce {
		f.Topic = letters // records for the flow must be stored, because they are counted
	}
	long := d.between(time.Second, 20*time.Second)
	text := fmt.Sprintf("%d times the cluster answers %s with %s", f.Count, a.key.Name(), f.Err.Message)
	happened.count("errors to " + a.key.Name())
	if a.hurt {
		w.history.add(entry{what: excuse, text: text, until: w.since() + long + noticed})
	} else {
		w.history.note("%s", text)
	}
	h := w.kafka.Fake.Fault(f)
	w.troubles.Go(func() {
		time.Sleep(long)
		h.Remove()
	})
}

// connectionsCut makes the cluster close the connections of the next requests.
func connectionsCut(w *world, d dice) {
	happened.count("connections cut")
	left := 1 + d.IntN(20)
	key := one(d, kmsg.Fetch, kmsg.OffsetCommit, kmsg.Heartbeat, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.OffsetFetch, kmsg.ListOffsets, kmsg.LeaveGroup, kmsg.Produce)
	orders := w.kafka.Fake.TopicInfo(topic).TopicID
	w.history.add(entry{what: excuse, text: fmt.Sprintf("%d connections are cut by a %s", left, key.Name()), until: w.since() + 10*time.Second + noticed})
	until := time.Now().Add(10 * time.Second)
	w.kafka.Fake.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
		if r, ok := req.(*kmsg.ProduceRequest); ok && isOrders(r, orders) {
			w.kafka.Fake.KeepControl() // records for the flow must be stored, because they are counted
			return nil, nil, false
		}
		if left == 0 || time.Now().After(until) {
			w.kafka.Fake.DropControl()
			return nil, nil, false
		}
		left--
		w.kafka.Fake.KeepControl()
		return nil, errors.New("cut"), true
	})
}

func leadersMove(w *world, d dice) {
	happened.count("leaders move")
	w.history.note("all leaders move")
	w.kafka.Fake.ShufflePartitionLeaders()
}

func coordinatorsMove(w *world, d dice) {
	happened.count("coordinators move")
	w.history.note("the coordinators move")
	if g := w.kafka.Fake.GroupInfo(group); g != nil && g.State != "Stable" {
		// After a move, kfake does not wait for members that have not joined yet. A real cluster
		// waits for the rebalance timeout.
		w.history.add(entry{what: excuse, text: "the coordinators move during a rebalance", until: w.since() + noticed})
	}
	w.kafka.Fake.RehashCoordinators()
}

// nodesGo adds a broker for a while. Each has a new name and port: kfake mishandles a broker that
// comes back with its old name.
func nodesGo(w *world, d dice) {
	if !w.take("nodes") {
		return
	}
	w.mu.Lock()
	w.added++
	node := int32(brokers + w.added) //nolint:gosec // G115: small
	w.mu.Unlock()
	port := firstPort + int(node)
	happened.count("node joins")
	w.history.note("node %d joins", node)
	w.must(w.addNode(node, port))
	w.lasts("nodes", d.between(time.Second, 40*time.Second), func() {
		happened.count("node goes")
		// kfake forgets a member whose JoinGroup waits on a broker that is removed, as soon as the
		// rest of the group has joined. A real cluster would wait for it.
		w.history.add(entry{what: excuse, text: fmt.Sprintf("node %d goes", node), until: w.since() + noticed})
		w.removeNode(node, port)
	})
}

func (w *world) addNode(node int32, port int) error {
	_, _, err := w.kafka.Fake.AddNode(node, port)
	return err
}

func (w *world) removeNode(node int32, port int) {
	w.must(w.kafka.Fake.RemoveNode(node))
	w.sockets.close(fmt.Sprintf("127.0.0.1:%d", port))
}

func (w *world) must(err error) {
	if err != nil {
		w.t.Error(err)
	}
}

// retention deletes the beginning of a partition, often before it was read. It leaves one record:
// for an empty log, kfake reports end offset 0, which looks as if the cluster had lost the
// records.
func retention(w *world, d dice) {
	p := w.kafka.Fake.PartitionInfo(topic, d.Int32N(partitions))
	at := min(p.HighWatermark-1, w.commits()[p.Partition]+int64(d.IntN(60)))
	if at <= p.LogStartOffset {
		return
	}
	happened.count("retention")
	w.history.add(entry{what: trimmed, part: p.Partition, offset: at})
	w.must(w.kafka.Fake.DeleteRecords(topic, p.Partition, at))
}
