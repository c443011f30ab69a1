package kafka

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// F7: by default franz-go continues at records of about the same time or, when there
// are none, at the end:
// https://pkg.go.dev/github.com/twmb/franz-go/pkg/kgo#ConsumeResetOffset
// https://github.com/confluentinc/parallel-consumer/issues/409
func TestSource_aCommittedOffsetThatTheBrokerDeletedIsAGap(t *testing.T) {
	for name, tc := range map[string]struct {
		commit int64
		want   []int64
		gap    Gap
	}{
		"below the log":  {2, []int64{5, 6, 7, 8, 9}, Gap{"t", 0, 2, 5}},
		"beyond the log": {50, []int64{5, 6, 7, 8, 9}, Gap{"t", 0, 50, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
			fill(t, c, "t", 0, 0, 10)
			if err := errors.Join(c.Commit(t.Context(), "g", "t", 0, tc.commit), c.DeleteRecords(t.Context(), "t", 0, 5)); err != nil {
				t.Fatal(err)
			}
			m := begin(t, testSource(c), nil)
			eventually(t, "what is left", func() bool { return m.count() == 5 })
			if got := m.offsets(0); !slices.Equal(got, tc.want) {
				t.Errorf("handed over %v, want %v", got, tc.want)
			}
			if gaps := m.allGaps(); !slices.Equal(gaps, []Gap{tc.gap}) {
				t.Errorf("gaps %v, want %v", gaps, tc.gap)
			}
			if notes := m.Status().Notes; len(notes) != 1 || !strings.Contains(notes[0], "the broker no longer has offset") {
				t.Errorf("notes %q", notes)
			}
			eventually(t, "commit", func() bool { return committed(t, c, 0) == 10 })
		})
	}
}

func TestSource_holdsAtAGapWhenTold(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 2}})
	fill(t, c, "t", 0, 0, 10)
	if err := errors.Join(c.Commit(t.Context(), "g", "t", 0, 2), c.DeleteRecords(t.Context(), "t", 0, 5)); err != nil {
		t.Fatal(err)
	}
	m := begin(t, testSource(c, func(cfg *SourceConfig) { cfg.OnOffsetOutOfRange = "hold" }), nil)
	eventually(t, "the problem", func() bool { return strings.Contains(m.Status().Problem, "t partition 0 is on hold") })
	fill(t, c, "t", 1, 0, 3)
	eventually(t, "the other partition", func() bool { return len(m.offsets(1)) == 3 })
	if got := m.offsets(0); len(got) != 0 {
		t.Errorf("a partition on hold handed over %v", got)
	}
	if len(m.allGaps()) != 1 {
		t.Errorf("gaps %v, want one", m.allGaps())
	}
	if got := committed(t, c, 0); got != 2 {
		t.Errorf("committed %d, want 2 as before", got)
	}
}

// A gap while consuming must not let the commit pass records in flight before it.
func TestSource_commitsNothingPastAnUnsettledRecordAtAGap(t *testing.T) {
	t.Parallel() // it mostly waits
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 3)
	held := make(chan *connector.Message, 10)
	m := begin(t, testSource(c), func(_ context.Context, m *connector.Message) { held <- m })
	eventually(t, "three in flight", func() bool { return m.count() == 3 })
	out := c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "t", Err: kerr.OffsetOutOfRange, Count: 1})
	fill(t, c, "t", 0, 3, 4)
	if err := c.DeleteRecords(t.Context(), "t", 0, 6); err != nil {
		t.Fatal(err)
	}
	_ = out
	eventually(t, "the record after the gap", func() bool { return slices.Contains(m.offsets(0), 6) })
	for range m.count() - 1 {
		(<-held).Settle(nil)
	}
	last := <-held
	eventually(t, "commit up to the last", func() bool { return committed(t, c, 0) == last.Position.Offset })
	last.Settle(nil)
	eventually(t, "commit of all", func() bool { return committed(t, c, 0) == 7 })
}

func TestSource_anOutOfRangeThatPassesIsNoGap(t *testing.T) {
	t.Parallel() // it mostly waits
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "t", Err: kerr.OffsetOutOfRange, Count: 1})
	fill(t, c, "t", 0, 0, 3)
	m := begin(t, testSource(c), nil)
	eventually(t, "three", func() bool { return m.count() == 3 })
	if gaps := m.allGaps(); len(gaps) != 0 {
		t.Errorf("gaps %v", gaps)
	}
}

func TestSource_aRefusedFetchIsReportedAndRetried(t *testing.T) {
	t.Parallel() // it mostly waits
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 3)
	f := c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "t", Err: kerr.TopicAuthorizationFailed, Count: -1})
	m := begin(t, testSource(c), nil)
	eventually(t, "the problem", func() bool { return strings.Contains(m.Status().Problem, "grant it READ") })
	if n := f.Hits(); n > 20 {
		t.Errorf("%d fetches were refused in no time: a hot loop", n)
	}
	f.Remove()
	eventually(t, "three", func() bool { return m.count() == 3 })
	eventually(t, "no problem any more", func() bool { return m.Status().Problem == "" })
}

// A batch that unpacks to more than the limit neither ends the process
// (https://github.com/twmb/franz-go/pull/1461) nor is skipped.
func TestSource_aBatchTooLargeToUnpackHoldsItsPartition(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 2}, Client: []kgo.Opt{kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ProducerBatchMaxBytes(8 << 20)}})
	if err := c.Produce(t.Context(), &kgo.Record{Topic: "t", Value: []byte(strings.Repeat("0", 4<<20))}); err != nil {
		t.Fatal(err)
	}
	m := begin(t, testSource(c, func(cfg *SourceConfig) { cfg.MaxBatchBytes = 1 << 20 }), nil)
	eventually(t, "the problem", func() bool { return strings.Contains(m.Status().Problem, "raise maxBatchBytes") })
	fill(t, c, "t", 1, 0, 3)
	eventually(t, "the other partition", func() bool { return len(m.offsets(1)) == 3 })
	if len(m.offsets(0)) != 0 || committed(t, c, 0) > 0 {
		t.Error("the batch was skipped")
	}
}

func TestSource_transactionMarkersLeaveNoLag(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 2)
	for i, commit := range []bool{true, false} {
		err := c.ProduceTx(t.Context(), "tx", commit, &kgo.Record{Topic: "t", Value: []byte{byte('a' + i)}}, &kgo.Record{Topic: "t", Value: []byte{byte('a' + i)}})
		if err != nil {
			t.Fatal(err)
		}
	}
	m := begin(t, testSource(c), nil)
	eventually(t, "no lag", func() bool {
		st := m.Status().Partitions
		return len(st) == 1 && st[0].Lag == 0 && st[0].End == 8
	})
	if got := m.values(); !slices.Equal(got, []string{"a", "a", "p0-v0000", "p0-v0001"}) {
		t.Errorf("read %q; the aborted transaction must not show", got)
	}
	eventually(t, "commit past the last marker", func() bool { return committed(t, c, 0) == 8 })
}

// truncateLog makes the source believe that the log of partition 0, which it read up to
// offset 10, diverged at offset 7.
func truncateLog(m *member) {
	r := m.session
	r.onPoll(func() {
		r.mu.Lock()
		p := r.parts[tp{"t", 0}]
		r.mu.Unlock()
		r.fetchFailed(p, p.current, &kgo.ErrDataLoss{Topic: "t", Partition: 0, ConsumedTo: 10, ResetTo: 7})
	})
}

func TestSource_readsATruncatedLogFromWhereItDiverged(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 10)
	m := begin(t, testSource(c), nil)
	eventually(t, "ten", func() bool { return m.count() == 10 && committed(t, c, 0) == 10 })
	truncateLog(m)
	eventually(t, "the last three again", func() bool { return m.count() == 13 })
	if got := m.offsets(0)[10:]; !slices.Equal(got, []int64{7, 8, 9}) {
		t.Errorf("then %v, want 7, 8, 9", got)
	}
	if gaps := m.allGaps(); !slices.Equal(gaps, []Gap{{"t", 0, 10, 7}}) {
		t.Errorf("gaps %v", gaps)
	}
}

// Records that were in flight when the log lost its end are not done, and offsets done
// beyond them may hold other records now.
func TestSource_truncatedLogForgetsWhatIsDoneAhead(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 10)
	m := begin(t, testSource(c), holding(2))
	eventually(t, "ten", func() bool { return m.count() == 10 })
	eventually(t, "what is done ahead is committed", func() bool { return doneAhead(t, c, 0) == 7 })
	truncateLog(m)
	eventually(t, "all from the unsettled one on", func() bool { return m.count() == 18 })
	if got := m.offsets(0)[10:]; !slices.Equal(got, []int64{2, 3, 4, 5, 6, 7, 8, 9}) {
		t.Errorf("then %v, want 2 to 9", got)
	}
	if got := committed(t, c, 0); got != 2 {
		t.Errorf("committed %d past the unsettled record 2", got)
	}
}
