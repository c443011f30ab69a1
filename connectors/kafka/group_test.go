package kafka

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/internal/settle"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// F1: join and leave lose nothing and, as everything is settled at once, duplicate
// nothing. https://github.com/redpanda-data/connect/issues/4009: a cooperative
// rebalance dropped records that were polled and not settled.
func TestSource_membersComeAndGoWithoutLossOrDuplicates(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Brokers: 2, Topics: map[string]int32{"t": 6}})
	stop := make(chan struct{})
	var sent int
	var producing sync.WaitGroup
	producing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			for p := range int32(6) {
				fill(t, c, "t", p, sent, 10)
			}
			sent += 10
		}
	})
	cfg := testSource(c)
	a := begin(t, cfg, nil)
	eventually(t, "a has all", func() bool { return a.assigned() == 6 })
	b := begin(t, cfg, nil)
	eventually(t, "b has its part", func() bool { return b.assigned() >= 2 && a.assigned() <= 4 && a.assigned() >= 2 })
	d := begin(t, cfg, nil)
	eventually(t, "d has its part", func() bool { return d.assigned() == 2 })
	before := a.count()
	eventually(t, "a works on", func() bool { return a.count() > before })
	b.stop()
	eventually(t, "b's part is shared", func() bool { return a.assigned()+d.assigned() == 6 })
	close(stop)
	producing.Wait()
	total := sent * 6
	eventually(t, "everything", func() bool { return a.count()+b.count()+d.count() >= total })
	all := slices.Concat(a.values(), b.values(), d.values())
	slices.Sort(all)
	distinct := slices.Compact(slices.Clone(all))
	if len(distinct) != total {
		t.Errorf("%d distinct records of %d", len(distinct), total)
	}
	if len(all) != total {
		t.Errorf("%d deliveries of %d records: a clean rebalance duplicates nothing", len(all), total)
	}
}

// F5: while a revoked partition drains, the kept partitions continue.
// https://github.com/vectordotdev/vector/issues/14865
// https://github.com/knative-extensions/eventing-kafka-broker/issues/3085
func TestSource_keptPartitionsWorkWhileARevokedOneDrains(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 2}})
	fill(t, c, "t", 0, 0, 1)
	fill(t, c, "t", 1, 0, 1)
	type hold struct {
		ctx context.Context
		m   *connector.Message
	}
	holds := make(chan hold, 2)
	a := begin(t, testSource(c), func(ctx context.Context, m *connector.Message) {
		if m.Position.Offset == 0 {
			holds <- hold{ctx, m}
			return
		}
		m.Settle(nil)
	})
	held := []hold{<-holds, <-holds}
	b := begin(t, testSource(c), nil)
	eventually(t, "one is being revoked", func() bool { return held[0].ctx.Err() != nil || held[1].ctx.Err() != nil })
	revoked, kept := held[0], held[1]
	if held[1].ctx.Err() != nil {
		revoked, kept = kept, revoked
	}
	if cause := context.Cause(revoked.ctx); !errors.Is(cause, errRevoked) {
		t.Errorf("cause %v", cause)
	}
	fill(t, c, "t", kept.m.Position.Partition, 1, 5)
	eventually(t, "the kept one works", func() bool { return len(a.offsets(kept.m.Position.Partition)) == 6 })
	if n := b.count(); n != 0 {
		t.Errorf("the other member got %d messages before the drain ended", n)
	}
	revoked.m.Settle(nil) // within the drain: counts
	eventually(t, "b has it", func() bool { return b.assigned() == 1 })
	fill(t, c, "t", revoked.m.Position.Partition, 1, 1)
	eventually(t, "b reads on", func() bool { return b.count() == 1 })
	if got := b.offsets(revoked.m.Position.Partition); !slices.Equal(got, []int64{1}) {
		t.Errorf("b was handed %v, want 1 alone", got)
	}
	kept.m.Settle(nil)
	eventually(t, "commit", func() bool { return committed(t, c, kept.m.Position.Partition) == 6 })
}

// F5: a handler that does not return must not cost the group its rebalance.
// https://github.com/reactor/reactor-kafka/issues/259
// https://github.com/twmb/franz-go/issues/204
func TestSource_aDrainThatTakesTooLongIsCutShort(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 3)
	var late *connector.Message
	m := begin(t, testSource(c), func(_ context.Context, m *connector.Message) {
		if m.Position.Offset == 1 {
			late = m
			return
		}
		m.Settle(nil)
	}, func(o *SourceOptions) { o.DrainTimeout = 50 * time.Millisecond })
	eventually(t, "three", func() bool { return m.count() == 3 })
	m.stop()
	late.Settle(nil) // after the end: changes nothing
	if got := committed(t, c, 0); got != 1 {
		t.Errorf("committed %d, want 1", got)
	}
}

// A drain may take as long as the slowest call, and the process may be killed before it
// ends, so records that settle during the drain are committed during the drain.
func TestSource_commitsWhileItDrains(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 3)
	held, drains := make(chan *connector.Message, 3), make(chan struct{}, 3)
	m := begin(t, testSource(c), func(ctx context.Context, m *connector.Message) {
		context.AfterFunc(ctx, func() { drains <- struct{}{} })
		held <- m
	})
	first, second, last := <-held, <-held, <-held
	stopped := make(chan struct{})
	go func() { m.stop(); close(stopped) }()
	<-drains
	first.Settle(nil)
	last.Settle(nil)
	eventually(t, "a commit before the end of the drain", func() bool { return committed(t, c, 0) == 1 && doneAhead(t, c, 0) == 1 })
	select {
	case <-stopped:
		t.Error("it stopped with a message in flight")
	default:
	}
	second.Settle(nil)
	<-stopped
	if got := committed(t, c, 0); got != 3 {
		t.Errorf("committed %d, want all", got)
	}
}

// F4: an expelled member that comes back commits nothing from before, and continues
// from the current commit or from its own watermark, also where franz-go treats the
// partition as kept.
// https://github.com/IBM/sarama/issues/2118, https://github.com/twmb/franz-go/issues/1326
func TestSource_anExpelledMemberReadsOnFromWhatIsSettled(t *testing.T) {
	t.Parallel() // it mostly waits
	for _, code := range []*kerr.Error{kerr.UnknownMemberID, kerr.IllegalGeneration} {
		t.Run(code.Message, func(t *testing.T) {
			c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
			fill(t, c, "t", 0, 0, 10)
			release := make(chan struct{})
			held := make(chan *connector.Message, 100)
			m := begin(t, testSource(c), func(_ context.Context, m *connector.Message) {
				select {
				case <-release:
					m.Settle(nil)
				default:
					held <- m
				}
			})
			eventually(t, "ten in flight", func() bool { return m.count() == 10 })
			f := c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: "t", Err: code, Count: 1})
			for i := range 10 {
				msg := <-held
				if i < 5 {
					msg.Settle(nil)
				} else {
					defer func() { msg.Settle(nil) }()
				}
			}
			eventually(t, "the refused commit", func() bool { return f.Hits() == 1 })
			close(release)
			eventually(t, "read again", func() bool { return m.count() == 15 })
			if got := m.offsets(0)[10:]; !slices.Equal(got, []int64{5, 6, 7, 8, 9}) {
				t.Errorf("after it came back: %v, want what was not settled", got)
			}
			eventually(t, "commit", func() bool { return committed(t, c, 0) == 10 })
			eventually(t, "no problem", func() bool { return m.Status().Problem == "" })
		})
	}
}

// A coordinator that has just started may answer with an older commit than the newest
// it acknowledged, or with none: Apache Kafka 4 does so for a second after all brokers
// were killed. Starting at the older commit would deliver every later record again, and
// starting without one, under startOffset latest, would skip records.
func TestSource_anOlderCommitThanItsOwnMovesNothingBack(t *testing.T) {
	for name, offset := range map[string]int64{"older": 3, "none": -1} {
		t.Run(name, func(t *testing.T) {
			c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
			fill(t, c, "t", 0, 0, 10)
			m := begin(t, testSource(c), nil)
			eventually(t, "ten committed", func() bool { return committed(t, c, 0) == 10 })
			stale := make(chan struct{}, 100)
			c.Fake.ControlKey(kmsg.OffsetFetch.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
				stale <- struct{}{}
				return staleCommit(req.(*kmsg.OffsetFetchRequest), offset, nil), nil, true
			})
			c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: "g", TopLevel: true, Err: kerr.UnknownMemberID, Count: 1})
			<-stale
			fill(t, c, "t", 0, 10, 1)
			eventually(t, "the eleventh", func() bool { return committed(t, c, 0) == 11 })
			if got := m.offsets(0); !slices.Equal(got, upTo(11)) {
				t.Errorf("handed over %v", got)
			}
		})
	}
}

// An assignment that was lost knows only what it did itself; the commit says what
// another member did there meanwhile.
func TestSource_aReturningMemberSkipsWhatAnotherMemberSettled(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 10)
	m := begin(t, testSource(c), holding(5, 7, 8, 9), func(o *SourceOptions) { o.DrainTimeout = 50 * time.Millisecond })
	eventually(t, "committed", func() bool { return committed(t, c, 0) == 5 && doneAhead(t, c, 0) == 1 })
	c.Fake.ControlKey(kmsg.OffsetFetch.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		return staleCommit(req.(*kmsg.OffsetFetchRequest), 3, []settle.Run{{From: 7, To: 9}}), nil, true
	})
	c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: "g", TopLevel: true, Err: kerr.UnknownMemberID, Count: 1})
	eventually(t, "all that is left", func() bool { return m.count() >= 12 })
	if got := m.offsets(0)[10:]; !slices.Equal(got, []int64{5, 9}) {
		t.Errorf("then %v, want 5 and 9, which nobody has done", got)
	}
}

// staleCommit returns the answer of a coordinator that knows only an older commit.
func staleCommit(req *kmsg.OffsetFetchRequest, offset int64, done []settle.Run) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
	for _, g := range req.Groups {
		group := kmsg.NewOffsetFetchResponseGroup()
		group.Group = g.Group
		for _, t := range g.Topics {
			topic := kmsg.NewOffsetFetchResponseGroupTopic()
			topic.Topic, topic.TopicID = t.Topic, t.TopicID
			p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
			p.Offset, p.LeaderEpoch = offset, -1
			metadata := formatMetadata(1, settle.Encode(offset, partitionID(t.TopicID, p.Partition), done, maxDone))
			p.Metadata = &metadata
			topic.Partitions = append(topic.Partitions, p)
			group.Topics = append(group.Topics, topic)
		}
		resp.Groups = append(resp.Groups, group)
	}
	return resp
}

// F4: a lost partition belongs to another member, whose commits a late one would
// overwrite.
// https://github.com/vectordotdev/vector/issues/9587
func TestSource_lostPartitionsAreNeverCommitted(t *testing.T) {
	t.Parallel() // it mostly waits
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 10)
	lost := make(chan error, 100)
	held := make(chan *connector.Message, 100)
	m := begin(t, testSource(c), func(ctx context.Context, m *connector.Message) {
		context.AfterFunc(ctx, func() { lost <- context.Cause(ctx) })
		held <- m
	})
	eventually(t, "ten in flight", func() bool { return m.count() == 10 })
	out := c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Group: "g", TopLevel: true, Err: kerr.CoordinatorNotAvailable, Count: -1})
	c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: "g", TopLevel: true, Err: kerr.UnknownMemberID, Count: 1})
	if cause := <-lost; !errors.Is(cause, errLost) {
		t.Errorf("the contexts end because of %v", cause)
	}
	for i := range 10 {
		if msg := <-held; i%2 == 0 {
			msg.Settle(nil)
		} else {
			msg.Settle(connector.ErrInterrupted)
		}
	}
	eventually(t, "three tries to join", func() bool { return out.Hits() > 2 })
	if got := committed(t, c, 0); got > 0 {
		t.Errorf("committed %d of what was lost", got)
	}
	out.Remove()
	// When this member gets it back, records done meanwhile stay done.
	eventually(t, "the others", func() bool { return m.count() >= 15 })
	if got := m.offsets(0)[10:]; !slices.Equal(got, []int64{1, 3, 5, 7, 9}) {
		t.Errorf("handed over %v again, want what was not done", got)
	}
	for range 5 {
		(<-held).Settle(nil)
	}
	eventually(t, "commit", func() bool { return committed(t, c, 0) == 10 })
}

// A partition may be lost and come back several times during one long call. An
// assignment in between has no messages in flight of its own, and the next one must
// still wait.
func TestAssignment_isDrainedOnceThoseBeforeItAre(t *testing.T) {
	run := &session{base: t.Context(), drain: time.Minute, window: 10}
	part := &partition{tp: tp{"t", 0}}
	slow := newAssignment(run, part, position{}, nil)
	msg := &slab(slow, []*kgo.Record{{Topic: "t", Offset: 3, LeaderEpoch: 1}}, 0).records[0]
	msg.number, _ = slow.tracker.HandOver(3, 1)
	slow.close(errLost)
	before := slow
	for range 3 {
		a := newAssignment(run, part, position{}, before)
		var pump sync.WaitGroup
		pump.Go(func() { a.pump(nil) })
		defer pump.Wait()
		a.close(errLost)
		select {
		case <-a.drained:
			t.Fatal("it is drained with a call of an earlier one under way")
		default:
		}
		before = a
	}
	msg.Settle(nil)
	<-before.drained
	if got, want := before.mergedDoneAfterClose(), []settle.Run{{From: 3, To: 4, Epoch: 1}}; !slices.Equal(got, want) {
		t.Errorf("the last knows of %v, want %v", got, want)
	}
}

// The records of a truncated log are not the ones that were done there before.
func TestAssignment_learnsNothingOfALogThatIsNotWhatItWas(t *testing.T) {
	run := &session{base: t.Context(), drain: time.Minute, window: 10}
	part := &partition{tp: tp{"t", 0}}
	a := newAssignment(run, part, position{}, nil)
	records := slab(a, []*kgo.Record{{Topic: "t", Offset: 3}, {Topic: "t", Offset: 4}}, 0).records
	for i := range records {
		records[i].number, _ = a.tracker.HandOver(records[i].Position.Offset, 0)
	}
	a.close(errLost)
	records[0].Settle(nil)
	a.forget()
	records[1].Settle(nil)
	if got := a.mergedDoneAfterClose(); len(got) > 0 {
		t.Errorf("it says that %v is done", got)
	}
}

// F4, https://github.com/IBM/sarama/issues/2118: the member may join again between
// reading the watermarks and sending them. The stale commit would carry the new
// generation, and no broker could tell it from a valid one.
func TestCommit_isFencedByTheMembershipItWasReadUnder(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 5)
	m := begin(t, testSource(c, func(cfg *SourceConfig) { cfg.CommitInterval = time.Hour }), nil)
	eventually(t, "five are settled", func() bool { return m.count() == 5 && m.Status().Partitions[0].InFlight == 0 })
	r := m.session
	a := r.live()[0]
	member := func(id string) (before string) {
		a.mu.Lock()
		defer a.mu.Unlock()
		before, a.member = a.member, id
		return before
	}
	now := member("as it was called before")
	if err := r.commit(t.Context(), r.live()); !errors.Is(err, errFenced) {
		t.Errorf("the commit of an earlier membership: %v", err)
	}
	if got := committed(t, c, 0); got > 0 {
		t.Errorf("committed %d", got)
	}
	member(now)
	if err := r.commit(t.Context(), r.live()); err != nil || committed(t, c, 0) != 5 {
		t.Errorf("the commit of this membership: %v, committed %d", err, committed(t, c, 0))
	}
}

func TestSource_aRefusedGroupIsReportedAndRetried(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 1)
	f := c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Group: "g", TopLevel: true, Err: kerr.GroupAuthorizationFailed, Count: -1})
	m := begin(t, testSource(c), nil)
	eventually(t, "the problem", func() bool { return strings.Contains(m.Status().Problem, "grant it READ on consumerGroup") })
	f.Remove()
	eventually(t, "one", func() bool { return m.count() == 1 && m.Status().Problem == "" })
}

func TestSource_aCommitThatMayNotBeReadStartsTheSourceOver(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 1)
	f := c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Topic: "t", Err: kerr.TopicAuthorizationFailed, Count: 2})
	m := begin(t, testSource(c), nil)
	eventually(t, "one", func() bool { return m.count() == 1 && m.Status().Problem == "" })
	if f.Hits() == 0 {
		t.Error("nothing was refused")
	}
}

func TestSource_movedCoordinatorsAndLeadersLoseNothing(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Brokers: 3, Topics: map[string]int32{"t": 3}})
	m := begin(t, testSource(c), nil)
	for i := range 5 {
		for p := range int32(3) {
			fill(t, c, "t", p, i*20, 20)
		}
		c.Fake.RehashCoordinators()
		c.Fake.ShufflePartitionLeaders()
		eventually(t, "this round", func() bool { return m.count() >= (i+1)*60 })
	}
	for p := range int32(3) {
		if got := m.offsets(p); !slices.Equal(got, upTo(100)) {
			t.Errorf("partition %d: %v", p, got)
		}
		eventually(t, "commit", func() bool { return committed(t, c, p) == 100 })
	}
}

func TestSource_saysWhichBrokerCannotBeReached(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close() // nothing listens there now
	c := kafkatest.Embedded(t, kafkatest.Options{})
	m := begin(t, testSource(c, func(cfg *SourceConfig) { cfg.Brokers = []string{addr} }), nil)
	eventually(t, "the problem", func() bool {
		p := m.Status().Problem
		return strings.Contains(p, addr) && strings.Contains(p, "refused")
	})
}

func TestSource_refusedCredentialsAreReportedAndRetried(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{
		Topics:  map[string]int32{"t": 1},
		Options: []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "right")},
		Client:  []kgo.Opt{kgo.SASL((&SASLConfig{Mechanism: "PLAIN", Username: "u", Password: secret("right")}).mechanism())},
	})
	m := begin(t, testSource(c, func(cfg *SourceConfig) {
		cfg.SASL = SASLConfig{Mechanism: "PLAIN", Username: "u", Password: secret("wrong")}
	}), nil)
	eventually(t, "the problem", func() bool { return strings.Contains(m.Status().Problem, "credentials") })
	if strings.Contains(m.Status().Problem, "wrong") {
		t.Error("the password is in the problem")
	}
	n := begin(t, testSource(c), nil)
	eventually(t, "the hint", func() bool { return strings.Contains(n.Status().Problem, "sasl") })
}

func TestSource_staticMemberComesBackToItsPartitions(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 5)
	cfg := testSource(c, func(cfg *SourceConfig) { cfg.InstanceID = "one" })
	m := begin(t, cfg, nil)
	eventually(t, "five", func() bool { return m.count() == 5 })
	m.stop()
	if got := committed(t, c, 0); got != 5 {
		t.Errorf("committed %d at stop, want 5", got)
	}
	if info := c.Fake.GroupInfo("g"); len(info.Members) != 1 {
		t.Errorf("%d members after a static one stopped; it must not leave", len(info.Members))
	}
	fill(t, c, "t", 0, 5, 5)
	again := begin(t, cfg, nil)
	eventually(t, "five more", func() bool { return again.count() == 5 })
}
