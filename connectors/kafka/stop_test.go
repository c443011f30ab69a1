package kafka

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A rebalance lasts as long as the slowest member takes to drain. franz-go
// commits nothing meanwhile and does not leave; a clean stop must all the same.
func TestSource_aStopCommitsAndLeavesWhileTheGroupWaitsForAnotherMember(t *testing.T) {
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
	<-letGo // B must let go of a partition, and drains
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
