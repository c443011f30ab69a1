package kafka

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// virtualCluster starts a cluster with the topic t on a network inside the process, for
// tests in virtual time.
func virtualCluster(t *testing.T, partitions int32) (*kafkatest.Cluster, *kfake.VirtualNetwork) {
	t.Helper()
	net := new(kfake.VirtualNetwork)
	c, err := kafkatest.Start(kafkatest.Options{
		Topics: map[string]int32{"t": partitions},
		Port:   9092, Options: []kfake.Opt{kfake.ListenFn(net.Listen)}, Client: []kgo.Opt{kgo.Dialer(net.DialContext)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, net
}

// A cluster, a producer and a source run in virtual time, so default timeouts of
// seconds and minutes cost no time.
func TestSource_runsInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, net := virtualCluster(t, 1)
		p, err := NewProducer(ProducerConfig{ClientConfig: ClientConfig{Brokers: c.Brokers()}}, ProducerOptions{Dial: net.DialContext})
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if err := p.Produce(t.Context(), Record{Topic: "t", Value: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
		src, err := NewSource(SourceConfig{ClientConfig: ClientConfig{Brokers: c.Brokers()}, Topic: "t", ConsumerGroup: "g", StartOffset: "earliest"}, SourceOptions{Dial: net.DialContext})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var got []int64
		done := make(chan error)
		go func() {
			done <- src.Run(ctx, connector.Each(func(_ context.Context, m *connector.Message) {
				got = append(got, m.Position.Offset)
				m.Settle(nil)
			}))
		}()
		time.Sleep(time.Minute) // of the bubble's clock
		synctest.Wait()
		if !slices.Equal(got, upTo(10)) {
			t.Errorf("handed over %v", got)
		}
		if st := src.Status(); st.Problem != "" || len(st.Partitions) != 1 || st.Partitions[0].Committed != 10 || st.Partitions[0].Lag != 0 {
			t.Errorf("status %+v", st)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = p.Close(t.Context()) // nothing is in flight
		c.Close()
	})
}

func TestSource_readsUncommittedWhenTold(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	if err := c.ProduceTx(t.Context(), "tx", false, &kgo.Record{Topic: "t", Value: []byte("aborted")}); err != nil {
		t.Fatal(err)
	}
	m := begin(t, testSource(c, func(cfg *SourceConfig) { cfg.Isolation = "read_uncommitted" }), nil)
	eventually(t, "the aborted record", func() bool { return m.count() == 1 })
	eventually(t, "no lag", func() bool { st := m.Status().Partitions; return len(st) == 1 && st[0].End == 2 && st[0].Lag == 0 })
}

func TestSource_theLastCommitIsTriedAgain(t *testing.T) {
	t.Parallel() // it mostly waits
	for name, tc := range map[string]struct {
		count int
		want  int64
	}{"for a moment": {2, 5}, "in vain": {-1, 0}} {
		t.Run(name, func(t *testing.T) {
			c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
			fill(t, c, "t", 0, 0, 5)
			m := begin(t, testSource(c, func(cfg *SourceConfig) { cfg.CommitInterval = time.Hour }), nil)
			eventually(t, "five", func() bool { return m.count() == 5 })
			f := c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: "t", Err: kerr.InvalidCommitOffsetSize, Count: tc.count})
			m.stop()
			f.Remove()
			if got := committed(t, c, 0); got != tc.want {
				t.Errorf("committed %d, want %d", got, tc.want)
			}
		})
	}
}

func TestSource_commitsThatAreRefusedAreAProblem(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	m := begin(t, testSource(c), nil)
	eventually(t, "start", func() bool { return m.assigned() == 1 })
	f := c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: "t", Err: kerr.InvalidCommitOffsetSize, Count: -1})
	fill(t, c, "t", 0, 0, 5)
	eventually(t, "the problem", func() bool { return strings.Contains(m.Status().Problem, "commit t partition 0") })
	f.Remove()
	eventually(t, "commit", func() bool { return committed(t, c, 0) == 5 && m.Status().Problem == "" })
}

// A handler that ignores its context delays Run by the drain timeout at most.
func TestSource_aHandlerThatDoesNotReturnIsLeftBehind(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 1)
	free := make(chan struct{})
	defer close(free)
	m := begin(t, testSource(c), func(context.Context, *connector.Message) { <-free }, func(o *SourceOptions) { o.DrainTimeout = 50 * time.Millisecond })
	eventually(t, "one", func() bool { return m.count() == 1 })
	m.stop()
}

func TestSource_readsARecreatedTopicFromItsStart(t *testing.T) {
	t.Parallel() // it mostly waits
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	m := begin(t, testSource(c, func(cfg *SourceConfig) { cfg.StartOffset = "latest" }), nil)
	eventually(t, "start", func() bool { return m.assigned() == 1 })
	if err := c.Fake.DeleteTopic("t"); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic(t.Context(), "t", 1, nil); err != nil {
		t.Fatal(err)
	}
	fill(t, c, "t", 0, 0, 5)
	eventually(t, "all of the new topic", func() bool { return len(m.offsets(0)) >= 5 })
	if got := m.offsets(0); !slices.Equal(got, upTo(5)) {
		t.Errorf("handed over %v", got)
	}
}

func TestSource_asksAgainForAnUnknownOffsetRange(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	fill(t, c, "t", 0, 0, 10)
	if err := c.Commit(t.Context(), "g", "t", 0, 50); err != nil {
		t.Fatal(err)
	}
	f := c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: "t", Err: kerr.TopicAuthorizationFailed, Count: -1})
	m := begin(t, testSource(c), nil)
	eventually(t, "asked twice", func() bool { return f.Hits() > 4 })
	f.Remove()
	eventually(t, "ten", func() bool { return m.count() == 10 })
}

func TestNotes_areBounded(t *testing.T) {
	s, err := NewSource(SourceConfig{ClientConfig: ClientConfig{Brokers: []string{"b"}}, Topic: "t", ConsumerGroup: "g"}, SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		s.gap(Gap{"t", 0, 1, 2})
	}
	if n := len(s.Status().Notes); n != maxNotes {
		t.Errorf("%d notes, want %d", n, maxNotes)
	}
}

func TestSource_optionsThatCannotWorkEndRun(t *testing.T) {
	s, err := NewSource(SourceConfig{ClientConfig: ClientConfig{Brokers: []string{"b"}}, Topic: "t", ConsumerGroup: "g"}, SourceOptions{Options: []kgo.Opt{kgo.MaxConcurrentFetches(-5), kgo.FetchMinBytes(100), kgo.FetchMaxBytes(1)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "franz-go refuses") {
		t.Errorf("Run: %v", err)
	}
	if _, err := NewProducer(ProducerConfig{ClientConfig: ClientConfig{Brokers: []string{"b"}}}, ProducerOptions{Options: []kgo.Opt{kgo.MetadataMinAge(time.Hour)}}); err == nil {
		t.Error("NewProducer took them")
	}
}
