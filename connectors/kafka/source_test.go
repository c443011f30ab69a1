package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eventually waits until ok returns true, and fails with the text of say after a
// timeout.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("never happened: %s", what)
		}
	}
}

// testSource returns a configuration with short timeouts.
func testSource(c *kafkatest.Cluster, change ...func(*SourceConfig)) SourceConfig {
	cfg := SourceConfig{
		ClientConfig:  ClientConfig{Brokers: config.Strings(c.Brokers())},
		ConsumerGroup: "g", StartOffset: "earliest",
		CommitInterval: 20 * time.Millisecond, HeartbeatInterval: 50 * time.Millisecond,
		SessionTimeout: 6 * time.Second, FetchMaxWait: 50 * time.Millisecond,
	}
	for _, fn := range change {
		fn(&cfg)
	}
	if cfg.Topic == "" && len(cfg.Topics) == 0 && cfg.TopicsPattern == "" {
		cfg.Topic = "t"
	}
	return cfg
}

// member is a running source.
type member struct {
	*Source
	t      testing.TB
	cancel context.CancelFunc
	done   chan error
	mu     sync.Mutex
	gaps   []Gap
	seen   []*connector.Message
}

// begin runs a source with handler handle; nil settles everything.
func begin(t testing.TB, cfg SourceConfig, handle func(context.Context, *connector.Message), opts ...func(*SourceOptions)) *member {
	t.Helper()
	m := &member{t: t, done: make(chan error, 1)}
	o := SourceOptions{ProbeInterval: 50 * time.Millisecond, DrainTimeout: 5 * time.Second, OnGap: func(g Gap) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.gaps = append(m.gaps, g)
	}}
	for _, fn := range opts {
		fn(&o)
	}
	src, err := NewSource(cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	m.Source = src
	if handle == nil {
		handle = func(_ context.Context, m *connector.Message) { m.Settle(nil) }
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	go func() {
		m.done <- src.Run(ctx, connector.Each(func(ctx context.Context, msg *connector.Message) {
			m.mu.Lock()
			m.seen = append(m.seen, msg)
			m.mu.Unlock()
			handle(ctx, msg)
		}))
	}()
	t.Cleanup(func() { m.stop() })
	return m
}

func (m *member) stop() {
	m.t.Helper()
	m.cancel()
	select {
	case err := <-m.done:
		if err != nil {
			m.t.Errorf("Run returned %v", err)
		}
		m.done <- nil
	case <-time.After(30 * time.Second):
		m.t.Fatal("Run did not return")
	}
}

// offsets returns the offsets of a partition that were handed over, in order.
func (m *member) offsets(partition int32) []int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []int64
	for _, msg := range m.seen {
		if msg.Position.Partition == partition {
			all = append(all, msg.Position.Offset)
		}
	}
	return all
}

func (m *member) values() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	for _, msg := range m.seen {
		all = append(all, string(msg.Value))
	}
	slices.Sort(all)
	return all
}

func (m *member) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.seen)
}

func (m *member) allGaps() []Gap {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.gaps)
}

func (m *member) assigned() int {
	n := 0
	for _, p := range m.Status().Partitions {
		if p.Committed >= 0 {
			n++
		}
	}
	return n
}

// fill writes n records to a partition, with values v<from>… .
func fill(t testing.TB, c *kafkatest.Cluster, topic string, partition int32, from, n int) {
	t.Helper()
	var rs []*kgo.Record
	for i := from; i < from+n; i++ {
		rs = append(rs, &kgo.Record{Topic: topic, Partition: partition, Key: fmt.Append(nil, "k", i%7), Value: fmt.Appendf(nil, "p%d-v%04d", partition, i)})
	}
	if err := c.Produce(t.Context(), rs...); err != nil {
		t.Fatal(err)
	}
}

func committed(t testing.TB, c *kafkatest.Cluster, partition int32) int64 {
	t.Helper()
	all, err := c.Committed(t.Context(), "g", "t")
	if err != nil {
		t.Fatal(err)
	}
	if at, ok := all[partition]; ok {
		return at
	}
	return -1
}

func upTo(n int) []int64 {
	all := make([]int64, n)
	for i := range all {
		all[i] = int64(i)
	}
	return all
}

func TestSource_handsOverEveryRecordInOrderAndCommitsIt(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 3}})
	for p := range int32(3) {
		fill(t, c, "t", p, 0, 100)
	}
	m := begin(t, testSource(c), nil)
	eventually(t, "300 messages", func() bool { return m.count() == 300 })
	for p := range int32(3) {
		if got := m.offsets(p); !slices.Equal(got, upTo(100)) {
			t.Errorf("partition %d: offsets %v", p, got)
		}
		eventually(t, "commit", func() bool { return committed(t, c, p) == 100 })
	}
	eventually(t, "no lag", func() bool {
		st := m.Status()
		return len(st.Partitions) == 3 && st.Problem == "" && !slices.ContainsFunc(st.Partitions, func(p connector.PartitionStatus) bool {
			return p.Lag != 0 || p.End != 100 || p.Committed != 100 || p.InFlight != 0
		})
	})
}

func TestSource_messageIsTheRecordByteForByte(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	at := time.UnixMilli(1700000000123)
	err := c.Produce(t.Context(),
		&kgo.Record{Topic: "t", Key: nil, Value: nil, Timestamp: at},
		&kgo.Record{Topic: "t", Key: []byte{}, Value: []byte{}, Timestamp: at, Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "a", Value: nil}}})
	if err != nil {
		t.Fatal(err)
	}
	m := begin(t, testSource(c), nil)
	eventually(t, "both", func() bool { return m.count() == 2 })
	a, b := m.seen[0], m.seen[1]
	if a.Key != nil || a.Value != nil || len(a.Headers) != 0 || !a.Time.Equal(at) {
		t.Errorf("first message: key %v value %v headers %v time %v", a.Key, a.Value, a.Headers, a.Time)
	}
	if b.Key == nil || b.Value == nil || len(b.Headers) != 2 || b.Headers[0].Key != "a" || string(b.Headers[0].Value) != "1" || b.Headers[1].Key != "a" {
		t.Errorf("second message: key %v value %v headers %v; empty is not nil", b.Key, b.Value, b.Headers)
	}
	if got := b.Position.String(); got != "t-0-1" {
		t.Errorf("position %s", got)
	}
}

// F3, https://github.com/knative/eventing-contrib/issues/596: the next success
// committed past the failed record.
func TestSource_commitsNothingPastAnUnsettledRecord(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 20)
	held := make(chan *connector.Message, 1)
	m := begin(t, testSource(c), func(_ context.Context, m *connector.Message) {
		if m.Position.Offset == 5 {
			held <- m
			return
		}
		m.Settle(nil)
	})
	eventually(t, "20 messages", func() bool { return m.count() == 20 })
	eventually(t, "commit of 5", func() bool { return committed(t, c, 0) == 5 })
	fill(t, c, "t", 0, 20, 5)
	eventually(t, "25 messages", func() bool { return m.count() == 25 })
	eventually(t, "a status of one in flight, committed 5", func() bool {
		got := m.Status().Partitions[0]
		return got.InFlight == 1 && got.Committed == 5
	})
	if got := committed(t, c, 0); got != 5 {
		t.Errorf("committed %d past the unsettled record 5", got)
	}
	(<-held).Settle(nil)
	eventually(t, "commit of all", func() bool { return committed(t, c, 0) == 25 })
}

func TestSource_stopCommitsWhatIsSettledAndHandsBackTheRest(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 10)
	m := begin(t, testSource(c, func(cfg *SourceConfig) { cfg.CommitInterval = time.Hour }), func(ctx context.Context, m *connector.Message) {
		if m.Position.Offset < 4 {
			m.Settle(nil)
			return
		}
		go func() {
			<-ctx.Done()
			m.Settle(connector.ErrInterrupted)
		}()
	})
	eventually(t, "10 messages", func() bool { return m.count() == 10 })
	m.stop()
	if got := committed(t, c, 0); got != 4 {
		t.Fatalf("committed %d at stop, want 4", got)
	}
	again := begin(t, testSource(c), nil)
	eventually(t, "the rest", func() bool { return again.count() == 6 })
	if got := again.offsets(0); got[0] != 4 {
		t.Errorf("the next member began at %d, want 4", got[0])
	}
}

func TestSource_aRefusedMessageComesAgain(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 10)
	var mu sync.Mutex
	refusals := 3
	m := begin(t, testSource(c), func(_ context.Context, m *connector.Message) {
		mu.Lock()
		defer mu.Unlock()
		if m.Position.Offset == 6 && refusals > 0 {
			refusals--
			m.Settle(errors.New("no"))
			return
		}
		m.Settle(nil)
	})
	eventually(t, "commit of all", func() bool { return committed(t, c, 0) == 10 })
	got := m.offsets(0)
	if want := []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 6, 6, 6}; !slices.Equal(got, want) {
		t.Errorf("handed over %v, want %v", got, want)
	}
}

func TestSource_windowBoundsWhatIsHandedOver(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 50)
	settle := make(chan struct{})
	m := begin(t, testSource(c), func(ctx context.Context, m *connector.Message) {
		go func() {
			select {
			case <-settle:
				m.Settle(nil)
			case <-ctx.Done():
				m.Settle(connector.ErrInterrupted)
			}
		}()
	}, func(o *SourceOptions) { o.Window = 8 })
	eventually(t, "a full window", func() bool { return m.count() == 8 })
	if st := m.Status().Partitions[0]; st.InFlight != 8 {
		t.Errorf("in flight %d, want 8", st.InFlight)
	}
	close(settle)
	eventually(t, "all", func() bool { return m.count() == 50 })
}

func TestSource_aBlockedPartitionHoldsUpNoOther(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 2}})
	fill(t, c, "t", 0, 0, 10)
	m := begin(t, testSource(c), func(ctx context.Context, m *connector.Message) {
		if m.Position.Partition == 0 {
			<-ctx.Done()
			m.Settle(connector.ErrInterrupted)
			return
		}
		m.Settle(nil)
	})
	eventually(t, "the blocked one", func() bool { return len(m.offsets(0)) == 1 })
	for i := range 5 {
		fill(t, c, "t", 1, i*10, 10)
		eventually(t, "the other", func() bool { return len(m.offsets(1)) == (i+1)*10 })
	}
}

func TestSource_buffersNoMoreThanItsBound(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 2}})
	big := strings.Repeat("x", 1000)
	for p := range int32(2) {
		var rs []*kgo.Record
		for range 2000 {
			rs = append(rs, &kgo.Record{Topic: "t", Partition: p, Value: []byte(big)})
		}
		if err := c.Produce(t.Context(), rs...); err != nil {
			t.Fatal(err)
		}
	}
	free := make(chan struct{})
	m := begin(t, testSource(c, func(cfg *SourceConfig) {
		cfg.FetchMaxPartitionBytes, cfg.FetchMaxBytes, cfg.MaxBufferedBytes = 50<<10, 100<<10, 200<<10
	}), func(ctx context.Context, m *connector.Message) {
		select {
		case <-free:
		case <-ctx.Done():
		}
		m.Settle(nil)
	})
	eventually(t, "a full buffer", func() bool {
		m.Source.mu.Lock()
		defer m.Source.mu.Unlock()
		return m.session != nil && m.session.buffered.Load() >= 150<<10
	})
	held := m.session.buffered.Load()
	if held > 4<<20 {
		t.Errorf("%d bytes are buffered; the bound is 200 KiB and a fetch for each partition", held)
	}
	close(free)
	eventually(t, "all", func() bool { return m.count() == 4000 })
	if got := m.offsets(0); !slices.Equal(got, upTo(2000)) {
		t.Error("partition 0 was not read in order, each record once")
	}
	eventually(t, "an empty buffer", func() bool { return m.session.buffered.Load() == 0 })
}

func TestSource_runIsCalledOnce(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	m := begin(t, testSource(c), nil)
	m.stop()
	if err := m.Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "called before") {
		t.Errorf("second Run: %v", err)
	}
}

// beginBatches runs a source that hands over in batches; stop ends it.
func beginBatches(t *testing.T, cfg SourceConfig, opts SourceOptions, handle connector.Handler) (src *Source) {
	t.Helper()
	src, err := NewSource(cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- src.Run(ctx, handle) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return src
}

func TestSource_handsOverInBatchesNoMoreThanTheWindow(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 1000)
	const window = 64
	var mu sync.Mutex
	var open []*connector.Message
	var offsets []int64
	var most, largest int
	beginBatches(t, testSource(c), SourceOptions{Window: window}, func(_ *connector.Assignment, ms []*connector.Message) {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range ms {
			offsets = append(offsets, m.Position.Offset)
		}
		open = append(open, ms...)
		most, largest = max(most, len(open)), max(largest, len(ms))
	})
	for settled := 0; settled < 1000; {
		eventually(t, "more", func() bool { mu.Lock(); defer mu.Unlock(); return len(open) > 0 })
		mu.Lock()
		n := len(open)
		connector.SettleAll(open, nil)
		open = nil
		mu.Unlock()
		settled += n
	}
	mu.Lock()
	defer mu.Unlock()
	if most > window || largest < 2 {
		t.Errorf("%d messages were open at once, of at most %d; the largest batch was of %d", most, window, largest)
	}
	if !slices.Equal(offsets, upTo(1000)) {
		t.Error("not handed over in order, each record once")
	}
}

// When some messages of a batch are refused, the partition restarts at the oldest of
// them, as for single messages.
func TestSource_bringsBackWhatABatchRefused(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 50)
	var mu sync.Mutex
	refused, done := false, map[int64]bool{}
	src := beginBatches(t, testSource(c), SourceOptions{}, func(_ *connector.Assignment, ms []*connector.Message) {
		mu.Lock()
		defer mu.Unlock()
		for i, m := range ms {
			if m.Position.Offset == 20 && !refused {
				refused = true
				connector.SettleAll(ms[i:], errors.New("not now"))
				connector.SettleAll(ms[:i], nil)
				return
			}
		}
		for _, m := range ms {
			done[m.Position.Offset] = true
		}
		connector.SettleAll(ms, nil)
	})
	eventually(t, "the refused ones", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return refused && done[20] && done[49]
	})
	eventually(t, "no lag", func() bool { st := src.Status(); return len(st.Partitions) == 1 && st.Partitions[0].Lag == 0 })
}
