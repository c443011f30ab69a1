package kafka

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestSource_startOffsetIsWhereTheGroupBegins(t *testing.T) {
	base := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, tc := range map[string]struct {
		start string
		want  []int64 // offsets handed over, of ten existing records and a later one
	}{
		"earliest":              {"earliest", []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
		"latest":                {"latest", []int64{10}},
		"an offset":             {"7", []int64{7, 8, 9, 10}},
		"an offset past end":    {"99", []int64{10}},
		"a time":                {"2026-01-02T03:04:11Z", []int64{6, 7, 8, 9, 10}},
		"a time after the last": {"2099-01-01T00:00:00Z", []int64{10}},
		"a time before all":     {"1999-01-01T00:00:00Z", []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
	} {
		t.Run(name, func(t *testing.T) {
			c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
			for i := range 10 {
				if err := c.Produce(t.Context(), &kgo.Record{Topic: "t", Value: []byte("x"), Timestamp: base.Add(time.Duration(i) * time.Second)}); err != nil {
					t.Fatal(err)
				}
			}
			m := begin(t, testSource(c, func(cfg *SourceConfig) { cfg.StartOffset = StartOffset(tc.start) }), nil)
			eventually(t, "the resolved start is committed", func() bool { return committed(t, c, 0) >= tc.want[0] })
			fill(t, c, "t", 0, 10, 1)
			eventually(t, "the last", func() bool { return slices.Contains(m.offsets(0), 10) })
			if got := m.offsets(0); !slices.Equal(got, tc.want) {
				t.Errorf("handed over %v, want %v", got, tc.want)
			}
		})
	}
}

func TestSource_anOffsetBelowTheLogIsRaisedToItsStart(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 10)
	if err := c.DeleteRecords(t.Context(), "t", 0, 5); err != nil {
		t.Fatal(err)
	}
	m := begin(t, testSource(c, func(cfg *SourceConfig) { cfg.StartOffset = "2" }), nil)
	eventually(t, "five", func() bool { return m.count() == 5 })
	if got := m.offsets(0); got[0] != 5 {
		t.Errorf("began at %d, want 5", got[0])
	}
	if gaps := m.allGaps(); len(gaps) != 0 {
		t.Errorf("gaps %v; a start is no gap", gaps)
	}
}

// F6, https://github.com/knative-extensions/eventing-kafka/issues/549 and #420: a
// restart before the first commit resolved `latest` again and skipped the records in
// between.
func TestSource_latestIsCommittedBeforeTheFirstDelivery(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 2}})
	fill(t, c, "t", 0, 0, 10)
	cfg := testSource(c, func(cfg *SourceConfig) { cfg.StartOffset, cfg.CommitInterval = "latest", time.Hour })
	m := begin(t, cfg, func(context.Context, *connector.Message) {}, func(o *SourceOptions) { o.DrainTimeout = time.Millisecond })
	eventually(t, "the start is committed", func() bool { return committed(t, c, 0) == 10 && committed(t, c, 1) == 0 })
	fill(t, c, "t", 0, 10, 3)
	eventually(t, "three messages", func() bool { return m.count() == 3 })
	m.stop() // nothing was settled
	fill(t, c, "t", 1, 0, 2)
	again := begin(t, cfg, nil)
	eventually(t, "all five", func() bool { return again.count() == 5 })
}

func TestSource_deliversNothingWhileTheStartCannotBeCommitted(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 3)
	refuse := c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.NotCoordinator, Count: -1})
	refuse.Remove()
	refuse = c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: "t", Err: kerr.InvalidCommitOffsetSize, Count: -1})
	m := begin(t, testSource(c), nil)
	eventually(t, "the problem is said", func() bool { return strings.Contains(m.Status().Problem, "INVALID_COMMIT_OFFSET_SIZE") })
	if n := m.count(); n != 0 {
		t.Errorf("%d messages before the start was committed", n)
	}
	refuse.Remove()
	eventually(t, "three", func() bool { return m.count() == 3 && m.Status().Problem == "" })
}

// F6, https://github.com/apache/kafka/pull/22784 (KAFKA-20539): records written to
// a new partition before the group noticed it were skipped under `latest`.
func TestSource_laterPartitionsAreReadFromTheirStart(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 10)
	m := begin(t, testSource(c, func(cfg *SourceConfig) { cfg.StartOffset, cfg.MetadataMaxAge = "latest", time.Hour }), nil)
	eventually(t, "start", func() bool { return committed(t, c, 0) == 10 })
	if err := c.AddPartitions(t.Context(), "t", 3); err != nil {
		t.Fatal(err)
	}
	fill(t, c, "t", 2, 0, 5)            // before the source knows the partition
	m.session.cl.ForceMetadataRefresh() // instead of waiting for metadataMaxAge
	eventually(t, "the later partition", func() bool { return len(m.offsets(2)) == 5 })
	if got := m.offsets(0); len(got) != 0 {
		t.Errorf("partition 0 handed over %v under latest", got)
	}
}

func TestSource_aTopicThatAppearsLaterIsReadFromItsStart(t *testing.T) {
	for name, change := range map[string]func(*SourceConfig){
		"by name":    func(cfg *SourceConfig) { cfg.Topics = []string{"t", "late"} },
		"by pattern": func(cfg *SourceConfig) { cfg.TopicsPattern = "^(t|late)$" },
	} {
		t.Run(name, func(t *testing.T) {
			c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1, "other": 1}})
			fill(t, c, "t", 0, 0, 3)
			m := begin(t, testSource(c, change, func(cfg *SourceConfig) { cfg.StartOffset, cfg.MetadataMaxAge = "latest", time.Second }), nil)
			eventually(t, "start", func() bool { return committed(t, c, 0) == 3 })
			if name == "by name" {
				eventually(t, "the missing topic is said", func() bool { return strings.Contains(m.Status().Problem, "create topic late") })
			}
			if err := c.CreateTopic(t.Context(), "late", 1, nil); err != nil {
				t.Fatal(err)
			}
			fill(t, c, "late", 0, 0, 4)
			m.session.cl.ForceMetadataRefresh()
			eventually(t, "all of it", func() bool { return m.count() == 4 })
			eventually(t, "no problem", func() bool { return m.Status().Problem == "" })
		})
	}
}

func TestSource_waitsForAMissingTopic(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{})
	m := begin(t, testSource(c), nil)
	eventually(t, "the problem", func() bool { return strings.Contains(m.Status().Problem, "topic does not exist: create topic t") })
	if err := c.CreateTopic(t.Context(), "t", 1, nil); err != nil {
		t.Fatal(err)
	}
	fill(t, c, "t", 0, 0, 4)
	eventually(t, "four", func() bool { return m.count() == 4 && m.Status().Problem == "" })
}

func TestSource_isLater_isTrueForPartitionsAddedAfterTheFirstCommit(t *testing.T) {
	before, after := time.UnixMilli(1000), time.UnixMilli(3000)
	look := func(at time.Time) *snapshot {
		return &snapshot{at: at, topics: map[string]topicPartitions{"t": {partitions: map[int32]bool{0: true, 1: true}}}}
	}
	commits := func(topic string, first string) (r map[string]map[int32]kafkaOffset) {
		return map[string]map[int32]kafkaOffset{topic: {0: commitAt(topic, 0, 5, first)}}
	}
	for name, tc := range map[string]struct {
		at      tp
		look    *snapshot
		commits map[string]map[int32]kafkaOffset
		first   int64
		pattern bool
		want    bool
	}{
		"first start":                                {at: tp{"t", 0}, look: look(before)},
		"first start, topic was not there":           {at: tp{"u", 0}, look: look(before), want: true},
		"another member was quicker":                 {at: tp{"t", 1}, look: look(before), commits: commits("t", ""), first: 2000},
		"appeared while we were away":                {at: tp{"t", 1}, look: look(after), commits: commits("t", ""), first: 2000, want: true},
		"group started by something else":            {at: tp{"t", 1}, look: look(before), commits: commits("t", ""), want: true},
		"another topic of the group, by name":        {at: tp{"t", 1}, look: look(after), commits: commits("u", ""), first: 2000},
		"another topic of the pattern, while away":   {at: tp{"t", 1}, look: look(after), commits: commits("u", ""), first: 2000, pattern: true, want: true},
		"another topic of the group, not of pattern": {at: tp{"t", 1}, look: look(after), commits: commits("zzz", ""), first: 2000, pattern: true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := SourceConfig{ClientConfig: ClientConfig{Brokers: []string{"b"}}, ConsumerGroup: "g", Topics: []string{"t", "u"}}
			if tc.pattern {
				cfg.Topics, cfg.TopicsPattern = nil, "^[tu]$"
			}
			s, err := NewSource(cfg, SourceOptions{})
			if err != nil {
				t.Fatal(err)
			}
			s.first = tc.first
			if got := s.isLater(tc.at, tc.commits, tc.look); got != tc.want {
				t.Errorf("isLater = %v, want %v", got, tc.want)
			}
		})
	}
}

// A start may be found before franz-go has begun to read the partition. It still
// counts, and nothing is fetched from the placeholder.
func TestSource_anOffsetThatIsSetEarlyIsWhereFranzGoBegins(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	for i := range 5 {
		if err := c.Produce(t.Context(), &kgo.Record{Topic: "t", Value: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
	var cl *kgo.Client
	ready := make(chan struct{})
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers()...), kgo.DisableClientMetrics(), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.DisableAutoCommit(),
		kgo.AdjustFetchOffsetsFn(func(_ context.Context, from map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
			<-ready
			cl.SetOffsets(map[string]map[int32]kgo.EpochOffset{"t": {0: {Epoch: -1, Offset: 3}}})
			from["t"][0] = kgo.NewOffset().At(0) // the placeholder
			return from, nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	close(ready)
	defer cl.Close()
	if rs := cl.PollFetches(t.Context()).Records(); len(rs) == 0 || rs[0].Offset != 3 {
		t.Errorf("%d records, from %v", len(rs), rs)
	}
}
