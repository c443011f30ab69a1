package kafka

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// refuse makes the embedded broker refuse, as a whole, every batch for which guilty
// returns true, as a real broker does. Batches of other partitions in the same request
// get a temporary error. It counts the requests.
func refuse(c *kafkatest.Cluster, with *kerr.Error, guilty func(batch []byte) bool) *atomic.Int32 {
	seen := new(atomic.Int32)
	c.Fake.ControlKey(int16(kmsg.Produce), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.Fake.KeepControl()
		seen.Add(1)
		refused := false
		resp := answer(kreq.(*kmsg.ProduceRequest), func(batch []byte) *kerr.Error {
			if !guilty(batch) {
				return kerr.NotLeaderForPartition
			}
			refused = true
			return with
		})
		return resp, nil, refused
	})
	return seen
}

// answer returns a forged response with an error for each batch.
func answer(req *kmsg.ProduceRequest, to func(batch []byte) *kerr.Error) *kmsg.ProduceResponse {
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	for _, rt := range req.Topics {
		t := kmsg.NewProduceResponseTopic()
		t.Topic, t.TopicID = rt.Topic, rt.TopicID
		for _, rp := range rt.Partitions {
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition, p.ErrorCode = rp.Partition, to(rp.Records).Code
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func newTestSink(t *testing.T, c interface{ Brokers() []string }, change ...func(*SinkConfig)) *Sink {
	t.Helper()
	cfg := SinkConfig{ProducerConfig: ProducerConfig{ClientConfig: ClientConfig{Brokers: c.Brokers()}, Compression: "none"}, Topic: "t"}
	for _, fn := range change {
		fn(&cfg)
	}
	s, err := NewSink(cfg, ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return s
}

// events returns n events with a key each; the data of those in guilty says so.
func events(n int, guilty ...int) []*cloudevent.Event {
	all := make([]*cloudevent.Event, n)
	for i := range all {
		word := "good"
		if slices.Contains(guilty, i) {
			word = "guilty"
		}
		all[i] = &cloudevent.Event{ID: fmt.Sprint(i), Source: "/s", Type: "t", Key: []byte("k"), Data: cloudevent.Bytes(fmt.Appendf(nil, "%s-%03d", word, i))}
	}
	return all
}

func values(rs []*kgo.Record) []string {
	var vs []string
	for _, r := range rs {
		vs = append(vs, string(r.Value))
	}
	return vs
}

// sendTogether sends events that share a batch: they wait behind a record whose answer
// is withheld until all of them wait. It returns once all outcomes are known.
func sendTogether(t *testing.T, c *kafkatest.Cluster, s *Sink, sent []*cloudevent.Event) []error {
	t.Helper()
	alone := func(word string) error {
		return s.Send(t.Context(), &cloudevent.Event{ID: "0", Source: "/s", Type: "t", Key: []byte("k"), Data: cloudevent.Bytes([]byte(word))})
	}
	if err := alone("first"); err != nil { // the client knows the topic from here on
		t.Fatal(err)
	}
	hold := c.HoldProduce()
	second, errs := make(chan error), make(chan []error)
	go func() { second <- alone("second") }()
	<-hold.Began
	go func() { errs <- s.SendBatch(t.Context(), sent) }()
	eventually(t, "all records under way", func() bool {
		return s.p.cl.BufferedProduceRecords() == int64(len(sent)+1)
	})
	hold.Release()
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	return <-errs
}

// U6: when a broker refused a batch, every record in it failed, and every other record
// that waited for the partition.
func TestSink_aRefusedBatchCostsOnlyTheRecordAtFault(t *testing.T) {
	for name, tc := range map[string]struct {
		events int
		guilty []int
		most   int32 // produce requests
	}{
		"the first":             {60, []int{0}, 20},
		"one in the middle":     {60, []int{37}, 20},
		"the last":              {60, []int{59}, 20},
		"several":               {60, []int{3, 30, 31, 58}, 50},
		"one alone":             {1, []int{0}, 2},
		"two, both":             {2, []int{0, 1}, 4},
		"one of five hundred":   {500, []int{250}, 30},
		"all":                   {9, []int{0, 1, 2, 3, 4, 5, 6, 7, 8}, 30},
		"none":                  {60, nil, 2},
		"one of an odd number":  {7, []int{6}, 12},
		"neighbours at a split": {8, []int{3, 4}, 16},
	} {
		t.Run(name, func(t *testing.T) {
			c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
			seen := refuse(c, kerr.InvalidRecord, func(batch []byte) bool { return bytes.Contains(batch, []byte("guilty")) })
			s := newTestSink(t, c)
			sent := events(tc.events, tc.guilty...)
			errs := sendTogether(t, c, s, sent)
			want := []string{"first", "second"}
			for i, e := range sent {
				var err error
				if errs != nil {
					err = errs[i]
				}
				if slices.Contains(tc.guilty, i) {
					if !errors.Is(err, kerr.InvalidRecord) || connector.ClassOf(err) != connector.Permanent {
						t.Errorf("guilty %d: %v, class %v", i, err, connector.ClassOf(err))
					}
					continue
				}
				want = append(want, string(e.Data.Bytes()))
				if err != nil {
					t.Errorf("innocent %d: %v", i, err)
				}
			}
			if got := values(all(t, c, "t")); !slices.Equal(got, want) {
				t.Errorf("stored %d records, want %d, each once and in order: %v", len(got), len(want), got)
			}
			// Of the two earlier records, the second counts again: the fake broker
			// passes its request once more when it wakes.
			if before := int32(6); seen.Load() > before+tc.most {
				t.Errorf("%d produce requests, want at most %d", seen.Load(), before+tc.most)
			}
		})
	}
}

// U6: records of several partitions and topics in one queue.
func TestProducer_aRefusalReachesNeitherOtherPartitionsNorTopics(t *testing.T) {
	t.Parallel() // it mostly waits
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 4, "u": 1}})
	refuse(c, kerr.InvalidTimestamp, func(batch []byte) bool { return bytes.Contains(batch, []byte("guilty")) })
	p := newTestProducer(t, c, ProducerOptions{}, func(cfg *ProducerConfig) { cfg.Compression, cfg.Linger = "none", 20*time.Millisecond })
	type outcome struct {
		guilty bool
		err    error
	}
	outcomes := make(chan outcome)
	const n = 200
	for i := range n {
		guilty, topic := i%50 == 0, "t"
		if i%4 == 3 {
			topic = "u"
		}
		word := "good"
		if guilty {
			word = "guilty"
		}
		go func() {
			outcomes <- outcome{guilty, p.Produce(t.Context(), Record{Topic: topic, Key: fmt.Append(nil, i), Value: fmt.Appendf(nil, "%s %d", word, i)})}
		}()
	}
	for range n {
		if f := <-outcomes; f.guilty != (f.err != nil) || f.guilty && !errors.Is(f.err, kerr.InvalidTimestamp) {
			t.Errorf("guilty %t: %v", f.guilty, f.err)
		}
	}
	if got := len(all(t, c, "t")) + len(all(t, c, "u")); got != n-4 {
		t.Errorf("%d records stored, want %d", got, n-4)
	}
}

// U6: a topic whose max.message.bytes was lowered after the producer asked for it
// refuses full batches, although no single record is too large.
func TestSink_aBatchThatBecameTooLargeIsWrittenInParts(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	refuse(c, kerr.MessageTooLarge, func(batch []byte) bool { return len(batch) > 2000 })
	s := newTestSink(t, c, func(cfg *SinkConfig) { cfg.Linger = 20 * time.Millisecond })
	sent := events(100)
	sent[50].Data = cloudevent.Bytes(bytes.Repeat([]byte("x"), 3000))
	errs := s.SendBatch(t.Context(), sent)
	for i, err := range errs {
		if (i == 50) != (err != nil) || i == 50 && !errors.Is(err, ErrTooLarge) {
			t.Errorf("record %d: %v", i, err)
		}
	}
	if got := len(all(t, c, "t")); errs == nil || got != 99 {
		t.Errorf("%d records stored, want 99", got)
	}
}

// U6: with a refused batch, franz-go fails all records that wait for the partition,
// which may be more than one batch holds.
func TestSink_recordsWrittenApartKeepToTheLimitOfTheTopic(t *testing.T) {
	const limit = 4000
	c := kafkatest.Embedded(t, kafkatest.Options{})
	if err := c.CreateTopic(t.Context(), "t", 1, map[string]string{maxBytes: fmt.Sprint(limit)}); err != nil {
		t.Fatal(err)
	}
	var largest atomic.Int64
	refuse(c, kerr.InvalidRecord, func(batch []byte) bool {
		largest.Store(max(largest.Load(), int64(len(batch))))
		return bytes.Contains(batch, []byte("guilty"))
	})
	s := newTestSink(t, c, func(cfg *SinkConfig) { cfg.Linger = 20 * time.Millisecond })
	sent := events(100, 3)
	for _, e := range sent {
		e.Data = cloudevent.Bytes(append(e.Data.Bytes(), bytes.Repeat([]byte("."), 300)...))
	}
	errs := s.SendBatch(t.Context(), sent)
	for i, err := range errs {
		if (err != nil) != (i == 3) {
			t.Errorf("record %d: %v", i, err)
		}
	}
	if n := len(all(t, c, "t")); errs == nil || n != 99 || largest.Load() > limit {
		t.Errorf("%d records stored, the largest batch had %d bytes", n, largest.Load())
	}
}

// U6: the error of a refused record says what to do.
func TestSink_aRefusalSaysWhatToDo(t *testing.T) {
	for name, tc := range map[string]struct {
		answer *kerr.Error
		want   string
	}{
		"a record":    {kerr.InvalidRecord, "a compacted topic takes no record without a key"},
		"a timestamp": {kerr.InvalidTimestamp, "message.timestamp.before.max.ms and message.timestamp.after.max.ms"},
	} {
		t.Run(name, func(t *testing.T) {
			c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
			refuse(c, tc.answer, func([]byte) bool { return true })
			err := newTestSink(t, c).Send(t.Context(), events(1)[0])
			if connector.ClassOf(err) != connector.Permanent || !strings.HasPrefix(err.Error(), "write to topic t: ") || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, class %v", err, connector.ClassOf(err))
			}
		})
	}
}

// U6: records that an outage interrupts are not refused.
func TestSink_recordsWrittenApartHaveTheirDeadline(t *testing.T) {
	t.Parallel() // it mostly waits
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	says := kerr.InvalidRecord // answer to the first batch
	c.Fake.ControlKey(int16(kmsg.Produce), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.Fake.KeepControl()
		defer func() { says = kerr.NotLeaderForPartition }()
		return answer(kreq.(*kmsg.ProduceRequest), func([]byte) *kerr.Error { return says }), nil, true
	})
	s := newTestSink(t, c, func(cfg *SinkConfig) { cfg.Linger, cfg.DeliveryTimeout = 20*time.Millisecond, time.Second })
	for i, err := range s.SendBatch(t.Context(), events(4)) {
		if connector.ClassOf(err) != connector.Blocked || !errors.Is(err, errUndelivered) {
			t.Errorf("record %d: %v, class %v", i, err, connector.ClassOf(err))
		}
	}
}
