package kafka

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A rebalance lasts until the slowest member has drained. Meanwhile franz-go neither
// commits nor leaves, and a clean stop must do both.
func TestSource_aStopCommitsAndLeavesWhileTheGroupWaitsForAnotherMember(t *testing.T) {
	t.Parallel() // it mostly waits
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1, "u": 2}})
	var joins atomic.Int64 // of A
	c.Fake.ControlKey(int16(kmsg.JoinGroup), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.Fake.KeepControl()
		if strings.HasPrefix(req.(*kmsg.JoinGroupRequest).MemberID, "A-") {
			joins.Add(1)
		}
		return nil, nil, false
	})
	named := func(id, topic string) SourceConfig {
		return testSource(c, func(cfg *SourceConfig) { cfg.ClientID, cfg.Topic = id, topic })
	}
	held := make(chan *connector.Message, 2)
	letGo := make(chan struct{}, 2)
	b := begin(t, named("B", "u"), func(ctx context.Context, m *connector.Message) {
		context.AfterFunc(ctx, func() { letGo <- struct{}{} })
		held <- m
	}, func(o *SourceOptions) { o.DrainTimeout = 20 * time.Second })
	fill(t, c, "u", 0, 0, 1)
	fill(t, c, "u", 1, 0, 1)
	slow := []*connector.Message{<-held, <-held}
	a := begin(t, named("A", "t"), nil)
	eventually(t, "A to have its partition", func() bool { return a.assigned() == 1 })
	begin(t, named("C", "u"), nil)
	<-letGo // B must give up a partition, and drains
	before := joins.Load()
	begin(t, named("D", "u"), nil)
	eventually(t, "A to join again", func() bool { return joins.Load() > before })
	fill(t, c, "t", 0, 0, 5)
	eventually(t, "five", func() bool { return a.count() == 5 })
	a.stop()
	if got := committed(t, c, 0); got != 5 {
		t.Errorf("committed %d of 5 after a clean stop", got)
	}
	for _, m := range c.Fake.GroupInfo("g").Members {
		if strings.HasPrefix(m.MemberID, "A-") {
			t.Error("the group still waits for a member that has stopped")
		}
	}
	for _, m := range slow {
		m.Settle(nil)
	}
	b.stop()
}

// F5: a rebalance takes a partition away, and the member is stopped while messages are
// still in flight there. It must not leave before the drain has ended: the next owner
// of the partition would deliver them again.
// https://github.com/twmb/franz-go/issues/204
func TestSource_aStopWaitsForTheDrainOfARevokedPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, net := virtualCluster(t, 2)
		defer c.Close()
		fill(t, c, "t", 0, 0, 1)
		fill(t, c, "t", 1, 0, 1)
		opts := func(o *SourceOptions) { o.Dial, o.DrainTimeout = net.DialContext, 20*time.Second }
		held, letGo := make(chan *connector.Message, 2), make(chan *connector.Message, 2)
		a := begin(t, testSource(c), func(ctx context.Context, m *connector.Message) {
			context.AfterFunc(ctx, func() { letGo <- m })
			held <- m
		}, opts)
		slow := []*connector.Message{<-held, <-held}
		b := begin(t, testSource(c), nil, opts)
		revoked := <-letGo
		stopped := make(chan struct{})
		go func() { a.stop(); close(stopped) }()
		for _, m := range slow {
			if m != revoked {
				m.Settle(nil)
			}
		}
		time.Sleep(2 * leaveTimeout) // of the bubble's clock
		if n := b.count(); n != 0 {
			t.Errorf("another member was handed %d messages before the drain ended", n)
		}
		revoked.Settle(nil)
		<-stopped
		eventually(t, "the other to have both partitions", func() bool { return b.assigned() == 2 })
		fill(t, c, "t", 0, 1, 1)
		fill(t, c, "t", 1, 1, 1)
		eventually(t, "what comes later", func() bool { return b.count() == 2 })
		for partition := range int32(2) {
			if got := b.offsets(partition); !slices.Equal(got, []int64{1}) {
				t.Errorf("of partition %d the other was handed %v, want 1 alone", partition, got)
			}
		}
		b.stop()
	})
}
