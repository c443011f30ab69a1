package kafka

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/internal/settle"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// holding returns a handler that settles all records except some offsets of each
// partition, which it hands back when their context ends.
func holding(offsets ...int64) func(context.Context, *connector.Message) {
	return func(ctx context.Context, m *connector.Message) {
		if !slices.Contains(offsets, m.Position.Offset) {
			m.Settle(nil)
			return
		}
		context.AfterFunc(ctx, func() { m.Settle(connector.ErrInterrupted) })
	}
}

// brokers is a cluster, embedded or real.
type brokers interface{ Brokers() []string }

func admin(t testing.TB, c brokers) *kadm.Client {
	t.Helper()
	adm, err := kadm.NewOptClient(kgo.SeedBrokers(c.Brokers()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(adm.Close)
	return adm
}

// commitOf returns the group's commit of a partition.
func commitOf(t testing.TB, c brokers, group, topic string, partition int32) kadm.OffsetResponse {
	t.Helper()
	all, err := admin(t, c).FetchOffsets(t.Context(), group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // not yet
		t.Fatal(err)
	}
	at, _ := all.Lookup(topic, partition)
	return at
}

// doneAhead returns how many offsets the group's commit lists as done beyond it.
func doneAhead(t testing.TB, c brokers, partition int32) int64 {
	t.Helper()
	at := commitOf(t, c, "g", "t", partition)
	return countOffsets(doneIn(at.Metadata, at.At, at.TopicID, partition))
}

// recommit commits like another tool.
func recommit(t testing.TB, c brokers, offset int64, metadata string) {
	t.Helper()
	var at kadm.Offsets
	at.Add(kadm.Offset{Topic: "t", Partition: 0, At: offset, LeaderEpoch: -1, Metadata: metadata})
	if err := admin(t, c).CommitAllOffsets(t.Context(), "g", at); err != nil {
		t.Fatal(err)
	}
}

// crash ends a member without letting it commit.
func crash(m *member, c *kafkatest.Cluster) {
	m.t.Helper()
	f := c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: "t", Err: kerr.UnknownMemberID, Count: -1})
	m.stop()
	f.Remove()
}

func TestMetadata_comesBackAsItWas(t *testing.T) {
	for name, tc := range map[string]struct {
		text  string
		first int64
		done  string
	}{
		"nothing":                {"", 0, ""},
		"when the group started": {"fiso first=1700000000123", 1700000000123, ""},
		"what is done":           {"fiso done=AQID", 0, "AQID"},
		"both":                   {"fiso first=5 done=AQID", 5, "AQID"},
	} {
		t.Run(name, func(t *testing.T) {
			first, done := parseMetadata(tc.text)
			if first != tc.first || done != tc.done {
				t.Errorf("read as %d, %q; want %d, %q", first, done, tc.first, tc.done)
			}
			if got := formatMetadata(tc.first, tc.done); got != tc.text {
				t.Errorf("written as %q, want %q", got, tc.text)
			}
		})
	}
	for _, other := range []string{"fiso", "fisofirst=5", "consumer-1-8f2d", "first=5", "fiso first=-5", "fiso first=x", "fiso last=5"} {
		if first, done := parseMetadata(other); first != 0 || done != "" {
			t.Errorf("%q is read as %d, %q", other, first, done)
		}
	}
	if first, done := parseMetadata("fiso first=5 more=x done=AQID"); first != 5 || done != "AQID" {
		t.Errorf("a part that is not known yet hides the others: %d, %q", first, done)
	}
}

// Confluent's parallel consumer does the same:
// https://github.com/confluentinc/parallel-consumer
func TestSource_aStuckRecordCostsNoRedeliveryOfOthers(t *testing.T) {
	const n = 1000
	for name, tc := range map[string]struct {
		interval time.Duration
		end      func(*member, *kafkatest.Cluster)
		change   func(*SourceConfig)
	}{
		"after a crash":      {interval: 20 * time.Millisecond, end: crash},
		"after a clean stop": {interval: time.Hour, end: func(m *member, _ *kafkatest.Cluster) { m.stop() }},
		"of a static member": {interval: 20 * time.Millisecond, end: crash, change: func(cfg *SourceConfig) { cfg.InstanceID = "one" }},
	} {
		t.Run(name, func(t *testing.T) {
			c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
			fill(t, c, "t", 0, 0, n+1)
			cfg := testSource(c, func(cfg *SourceConfig) { cfg.CommitInterval = tc.interval })
			if tc.change != nil {
				tc.change(&cfg)
			}
			m := begin(t, cfg, holding(0))
			eventually(t, "all handed over", func() bool { return m.count() == n+1 })
			if tc.interval < time.Second {
				eventually(t, "what is done is committed", func() bool { return doneAhead(t, c, 0) == n })
			}
			tc.end(m, c)
			if got := committed(t, c, 0); got != 0 {
				t.Errorf("committed %d past the unsettled record 0", got)
			}
			// The second member also crashes, before it has read all records again.
			again := begin(t, cfg, holding(0), func(o *SourceOptions) { o.Window = 10 })
			eventually(t, "the stuck one again", func() bool { return again.count() == 1 })
			crash(again, c)
			cfg.CommitInterval = 20 * time.Millisecond
			third := begin(t, cfg, nil)
			fill(t, c, "t", 0, n+1, 1)
			eventually(t, "all is committed", func() bool { return committed(t, c, 0) == n+2 })
			if got := third.offsets(0); !slices.Equal(got, []int64{0, n + 1}) {
				t.Errorf("%d were handed over, want the stuck record 0 and the new one alone", len(got))
			}
			if got := again.offsets(0); !slices.Equal(got, []int64{0}) {
				t.Errorf("handed over %v, want the stuck record 0 alone", got)
			}
		})
	}
}

func TestSource_aRebalanceRepeatsNothingThatIsDone(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 2}})
	for p := range int32(2) {
		fill(t, c, "t", p, 0, 100)
	}
	cfg := testSource(c, func(cfg *SourceConfig) { cfg.CommitInterval = time.Hour })
	a := begin(t, cfg, holding(3, 50))
	eventually(t, "all", func() bool { return a.count() == 200 })
	b := begin(t, cfg, nil)
	eventually(t, "b has one", func() bool { return b.assigned() == 1 && a.assigned() == 1 })
	p := b.Status().Partitions[0].Partition
	fill(t, c, "t", p, 100, 1)
	eventually(t, "the new one", func() bool { return slices.Contains(b.offsets(p), 100) })
	if got := b.offsets(p); !slices.Equal(got, []int64{3, 50, 100}) {
		t.Errorf("b was handed %v, want what was not done, 3 and 50, and the new one", got)
	}
}

// Two commits are made, the start and the records done beyond it, and no more until
// something new is done.
func TestSource_commitsWhatIsDoneAheadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, net := virtualCluster(t, 1)
		fill(t, c, "t", 0, 0, 10)
		var commits atomic.Int32
		c.Fake.ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
			c.Fake.KeepControl()
			commits.Add(1)
			return nil, nil, false
		})
		cfg := SourceConfig{ClientConfig: ClientConfig{Brokers: c.Brokers()}, Topic: "t", ConsumerGroup: "g", StartOffset: "earliest"}
		m := begin(t, cfg, holding(0), func(o *SourceOptions) { o.Dial = net.DialContext })
		time.Sleep(time.Minute) // of the bubble's clock
		synctest.Wait()
		if got := commits.Load(); got != 2 {
			t.Errorf("%d commits in a minute", got)
		}
		m.stop()
		c.Close()
	})
}

// Records that do not fit the metadata are delivered again; no record that was not done
// is left out.
func TestSource_moreThanFitsIsHandedOverAgain(t *testing.T) {
	const n = 20_000
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, n)
	even := func(ctx context.Context, m *connector.Message) {
		if m.Position.Offset%2 == 0 {
			holding(m.Position.Offset)(ctx, m)
			return
		}
		m.Settle(nil)
	}
	wide := func(o *SourceOptions) { o.Window = 2 * n }
	m := begin(t, testSource(c, func(cfg *SourceConfig) { cfg.CommitInterval = time.Hour }), even, wide)
	eventually(t, "all handed over", func() bool { return m.count() == n })
	m.stop()
	at := commitOf(t, c, "g", "t", 0)
	if len(at.Metadata) > 3<<10 {
		t.Errorf("%d characters of metadata", len(at.Metadata))
	}
	fits := doneAhead(t, c, 0)
	if fits < 8000 {
		t.Errorf("%d of %d fit", fits, n/2)
	}
	again := begin(t, testSource(c), nil, wide)
	eventually(t, "all is committed", func() bool { return committed(t, c, 0) == n })
	got := again.offsets(0)
	if len(got) != int(n-fits) {
		t.Errorf("%d were handed over again, want %d: %d are done and noted", len(got), n-fits, fits)
	}
	for offset := int64(0); offset < n; offset += 2 {
		if _, ok := slices.BinarySearch(got, offset); !ok {
			t.Fatalf("%d was not done, and was not handed over again", offset)
		}
	}
}

func TestSource_aBrokerThatTakesNoLongMetadataGetsOffsetsAlone(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 10)
	free := make(chan struct{})
	m := begin(t, testSource(c), func(ctx context.Context, m *connector.Message) {
		if m.Position.Offset == 5 {
			<-free
		}
		holding(7)(ctx, m)
	})
	eventually(t, "five", func() bool { return committed(t, c, 0) == 5 })
	f := c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: "t", Err: kerr.OffsetMetadataTooLarge, Count: 1})
	close(free)
	eventually(t, "seven", func() bool { return committed(t, c, 0) == 7 && f.Hits() == 1 })
	eventually(t, "ten", func() bool { return m.count() == 10 })
	if p := m.Status().Problem; p != "" {
		t.Errorf("problem %q; there is none", p)
	}
	m.stop()
	if at := commitOf(t, c, "g", "t", 0); at.At != 7 || strings.Contains(at.Metadata, "done") {
		t.Errorf("committed %d with %q", at.At, at.Metadata)
	}
}

// Metadata of another offset, of another topic of that name, or of another tool leaves
// no record out.
func TestSource_believesOnlyItsOwnMetadata(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, c *kafkatest.Cluster, own kadm.OffsetResponse){
		"reset by a tool": func(t *testing.T, c *kafkatest.Cluster, _ kadm.OffsetResponse) { recommit(t, c, 2, "") },
		"reset with the metadata kept": func(t *testing.T, c *kafkatest.Cluster, own kadm.OffsetResponse) {
			recommit(t, c, 1, own.Metadata)
		},
		"another tool's": func(t *testing.T, c *kafkatest.Cluster, _ kadm.OffsetResponse) {
			recommit(t, c, 2, "consumer-1-8f2d6a")
		},
		"like ours": func(t *testing.T, c *kafkatest.Cluster, _ kadm.OffsetResponse) {
			recommit(t, c, 2, "fiso first=1 done="+strings.Repeat("AQ", 40))
		},
		"longer than ours": func(t *testing.T, c *kafkatest.Cluster, _ kadm.OffsetResponse) {
			recommit(t, c, 2, "fiso done="+strings.Repeat("A", 4000))
		},
		"of another leader epoch": func(t *testing.T, c *kafkatest.Cluster, own kadm.OffsetResponse) {
			recommit(t, c, 2, formatMetadata(0, settle.Encode(2, partitionID(own.TopicID, 0), []settle.Run{{From: 3, To: 10, Epoch: 99}}, maxDone)))
		},
		"of a topic that had the name": func(t *testing.T, c *kafkatest.Cluster, _ kadm.OffsetResponse) {
			recommit(t, c, 2, formatMetadata(0, settle.Encode(2, partitionID([16]byte{1}, 0), []settle.Run{{From: 3, To: 10}}, maxDone)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
			fill(t, c, "t", 0, 0, 10)
			m := begin(t, testSource(c), holding(2))
			eventually(t, "committed", func() bool { return doneAhead(t, c, 0) == 7 })
			m.stop()
			change(t, c, commitOf(t, c, "g", "t", 0))
			again := begin(t, testSource(c), nil)
			eventually(t, "all is committed", func() bool { return committed(t, c, 0) == 10 })
			if got := again.offsets(0); !slices.Equal(got[len(got)-8:], []int64{2, 3, 4, 5, 6, 7, 8, 9}) {
				t.Errorf("handed over %v, want all from 2 on", got)
			}
		})
	}
}

// Records that retention deletes are a gap, and records done beyond it stay done.
func TestSource_aGapOfRetentionForgetsNothingElse(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 10)
	m := begin(t, testSource(c), holding(2, 7))
	eventually(t, "committed", func() bool { return doneAhead(t, c, 0) == 6 })
	m.stop()
	if err := c.DeleteRecords(t.Context(), "t", 0, 5); err != nil {
		t.Fatal(err)
	}
	again := begin(t, testSource(c), nil)
	eventually(t, "all is committed", func() bool { return committed(t, c, 0) == 10 })
	if got := again.offsets(0); !slices.Equal(got, []int64{7}) {
		t.Errorf("handed over %v, want 7 alone, the only one left that is not done", got)
	}
	if gaps := again.allGaps(); len(gaps) != 1 {
		t.Errorf("gaps %v", gaps)
	}
}

// An offset that is out of range for another reason than retention means that the log
// may have changed.
func TestSource_anOutOfRangeThatPassesForgetsWhatIsDoneAhead(t *testing.T) {
	t.Parallel() // it mostly waits
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 10)
	m := begin(t, testSource(c), holding(2))
	eventually(t, "committed", func() bool { return doneAhead(t, c, 0) == 7 })
	m.stop()
	c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "t", Err: kerr.OffsetOutOfRange, Count: 1})
	again := begin(t, testSource(c), nil)
	eventually(t, "all is committed", func() bool { return committed(t, c, 0) == 10 })
	if got := again.offsets(0); !slices.Equal(got, []int64{2, 3, 4, 5, 6, 7, 8, 9}) {
		t.Errorf("handed over %v, want all from 2 on", got)
	}
}

// OffsetFetch knows no topic ids before Kafka 4.1, and franz-go looks them up.
func TestSource_remembersOnOlderBrokers(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}, Options: []kfake.Opt{kfake.MaxVersions(kversion.V3_9_0())}})
	fill(t, c, "t", 0, 0, 10)
	m := begin(t, testSource(c), holding(0))
	eventually(t, "committed", func() bool { return doneAhead(t, c, 0) == 9 })
	m.stop()
	again := begin(t, testSource(c), nil)
	eventually(t, "all is committed", func() bool { return committed(t, c, 0) == 10 })
	if got := again.offsets(0); !slices.Equal(got, []int64{0}) {
		t.Errorf("handed over %v, want 0 alone", got)
	}
}

// An expelled member reads the commits itself, by another path than a member that
// joins.
func TestSource_anExpelledMemberRemembersWhatIsDone(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 10)
	m := begin(t, testSource(c), holding(0))
	eventually(t, "committed", func() bool { return doneAhead(t, c, 0) == 9 })
	c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: "t", Err: kerr.IllegalGeneration, Count: 1})
	fill(t, c, "t", 0, 10, 1)
	eventually(t, "again", func() bool { return m.count() == 12 })
	fill(t, c, "t", 0, 11, 1)
	eventually(t, "the next", func() bool { return m.count() >= 13 })
	if got := m.offsets(0)[11:]; !slices.Equal(got, []int64{0, 11}) {
		t.Errorf("then %v, want 0, which is stuck, and the next; not 10, which it has done, though its commit was refused", got)
	}
}
