package kafka

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newTestProducer(t *testing.T, c *kafkatest.Cluster, opts ProducerOptions, change ...func(*ProducerConfig)) *Producer {
	t.Helper()
	cfg := ProducerConfig{ClientConfig: ClientConfig{Brokers: config.Strings(c.Brokers())}}
	for _, fn := range change {
		fn(&cfg)
	}
	p, err := NewProducer(cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_ = p.Close(ctx) // some tests leave a record in flight
	})
	return p
}

func all(t *testing.T, c *kafkatest.Cluster, topic string) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	rs, err := c.Records(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func TestProducer_writesTheRecordByteForByte(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 2}})
	p := newTestProducer(t, c, ProducerOptions{})
	at := time.UnixMilli(1700000000123)
	want := Record{Topic: "t", Key: []byte{}, Value: []byte{0, 1, 255}, Time: at, Headers: []connector.Header{{Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte("2")}}}
	if err := errors.Join(p.Produce(t.Context(), want), p.Produce(t.Context(), Record{Topic: "t"})); err != nil {
		t.Fatal(err)
	}
	var got []Record
	err := ReadTopic(t.Context(), p.cfg.ClientConfig, "t", ReadOptions{}, func(r Record) error { got = append(got, r); return nil })
	if err != nil || len(got) != 2 {
		t.Fatalf("read %d records, %v", len(got), err)
	}
	slices.SortFunc(got, func(a, b Record) int { return len(b.Value) - len(a.Value) })
	r := got[0]
	if r.Key == nil || len(r.Key) != 0 || !bytes.Equal(r.Value, want.Value) || !r.Time.Equal(at) || len(r.Headers) != 2 || string(r.Headers[1].Value) != "2" {
		t.Errorf("read back %+v", r)
	}
	if got[1].Key != nil || got[1].Value != nil {
		t.Errorf("nil key and value came back as %v and %v", got[1].Key, got[1].Value)
	}
}

func TestProducer_saysWhereARecordStands(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	p := newTestProducer(t, c, ProducerOptions{})
	for offset := range int64(3) {
		at, err := p.Append(t.Context(), Record{Topic: "t", Value: []byte("v")})
		if want := (connector.PartitionOffset("t", 0, offset)); err != nil || at != want {
			t.Errorf("%v, %v", at, err)
		}
	}
	if at, err := p.Append(t.Context(), Record{Topic: "t", Value: make([]byte, maxRecord+1)}); !errors.Is(err, ErrTooLarge) || at != (connector.Position{}) {
		t.Error(at, err)
	}
	if _, err := p.Append(t.Context(), Record{Topic: "missing"}); !errors.Is(err, ErrNoTopic) {
		t.Error(err)
	}
}

// franz-go would go on writing to the deleted topic, and fail for ever.
func TestProducer_continuesInARecreatedTopic(t *testing.T) {
	t.Parallel() // it mostly waits
	for name, create := range map[string]bool{"by itself": true, "by somebody": false} {
		t.Run(name, func(t *testing.T) {
			c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
			p := newTestProducer(t, c, ProducerOptions{CreateTopics: create}, func(cfg *ProducerConfig) { cfg.DeliveryTimeout = time.Second })
			large := make([]byte, 2<<20)
			if err := errors.Join(p.Produce(t.Context(), Record{Topic: "t"}), p.Produce(t.Context(), Record{Topic: "t", Value: large})); err != nil {
				t.Fatal(err)
			}
			if _, err := p.adm.DeleteTopic(t.Context(), "t"); err != nil {
				t.Fatal(err)
			}
			if err := p.Produce(t.Context(), Record{Topic: "t", Value: []byte("lost")}); !errors.Is(err, ErrNoTopic) {
				t.Fatal(err)
			}
			if !create {
				if err := p.Produce(t.Context(), Record{Topic: "t"}); !errors.Is(err, ErrNoTopic) {
					t.Error(err)
				}
				if err := c.CreateTopic(t.Context(), "t", 1, nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(p.Produce(t.Context(), Record{Topic: "t", Value: []byte("kept")}), p.Produce(t.Context(), Record{Topic: "t", Value: large})); err != nil {
				t.Fatal(err)
			}
			if rs := all(t, c, "t"); len(rs) != 2 || string(rs[0].Value) != "kept" {
				t.Errorf("%d records", len(rs))
			}
		})
	}
}

func TestProducer_aMissingTopic(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{})
	p := newTestProducer(t, c, ProducerOptions{})
	err := p.Produce(t.Context(), Record{Topic: "t", Value: []byte("x")})
	if !errors.Is(err, ErrNoTopic) || connector.ClassOf(err) != connector.Blocked || !strings.Contains(err.Error(), "create topic t") {
		t.Errorf("missing topic: %v, class %v", err, connector.ClassOf(err))
	}
	creating := newTestProducer(t, c, ProducerOptions{CreateTopics: true})
	if err := creating.Produce(t.Context(), Record{Topic: "t", Value: []byte("x")}); err != nil {
		t.Errorf("with CreateTopics: %v", err)
	}
	if err := p.Produce(t.Context(), Record{Topic: "t", Value: []byte("y")}); err != nil {
		t.Errorf("once the topic is there: %v", err)
	}
	if n := len(all(t, c, "t")); n != 2 {
		t.Errorf("%d records, want 2", n)
	}
}

// Brokers that cannot be asked about the topic have not answered.
func TestProducer_noAnswerAboutTheTopicIsNoVerdict(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	hang := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	p := newTestProducer(t, c, ProducerOptions{Dial: hang}, func(cfg *ProducerConfig) { cfg.DeliveryTimeout = time.Second })
	if err := p.Produce(t.Context(), Record{Topic: "t"}); connector.ClassOf(err) != connector.Blocked || !errors.Is(err, errUndelivered) {
		t.Errorf("%v, class %v", err, connector.ClassOf(err))
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := p.Produce(ctx, Record{Topic: "t"}); connector.ClassOf(err) != connector.Interrupted {
		t.Errorf("cancelled: %v, class %v", err, connector.ClassOf(err))
	}
}

func TestProducer_aTopicThatCannotBeCreated(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{})
	c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.PolicyViolation, Topic: "t"})
	p := newTestProducer(t, c, ProducerOptions{CreateTopics: true})
	err := p.Produce(t.Context(), Record{Topic: "t"})
	if connector.ClassOf(err) != connector.Blocked || !errors.Is(err, kerr.PolicyViolation) {
		t.Errorf("%v, class %v", err, connector.ClassOf(err))
	}
	c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Err: kerr.TopicAuthorizationFailed, Topic: "t", Count: -1})
	err = p.Produce(t.Context(), Record{Topic: "t"})
	if connector.ClassOf(err) != connector.Blocked || !strings.Contains(err.Error(), "grant") {
		t.Errorf("%v, class %v", err, connector.ClassOf(err))
	}
}

// F10: the dead letter of a record is larger than the record:
// https://github.com/getsentry/sentry-kafka-schemas/issues/482 and #273.
func TestProducer_oneTooLargeRecordTakesNoOtherWithIt(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{})
	if err := c.CreateTopic(t.Context(), "t", 1, map[string]string{"max.message.bytes": "20000"}); err != nil {
		t.Fatal(err)
	}
	p := newTestProducer(t, c, ProducerOptions{}, func(cfg *ProducerConfig) { cfg.Linger = 20 * time.Millisecond })
	noise := make([]byte, 60000)
	_, _ = rand.Read(noise) // never fails
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if err := p.Produce(t.Context(), Record{Topic: "t", Value: fmt.Append(nil, "small", i)}); err != nil {
				t.Errorf("a small record: %v", err)
			}
		})
	}
	wg.Go(func() {
		err := p.Produce(t.Context(), Record{Topic: "t", Value: noise})
		if !errors.Is(err, ErrTooLarge) || connector.ClassOf(err) != connector.Permanent || connector.IsUnsendable(err) {
			t.Errorf("60 kB of noise into a topic that takes 20 kB: %v, class %v", err, connector.ClassOf(err))
		}
	})
	wg.Go(func() {
		if err := p.Produce(t.Context(), Record{Topic: "t", Value: make([]byte, 60000)}); err != nil {
			t.Errorf("60 kB of zeros, which fit compressed: %v", err)
		}
	})
	wg.Wait()
	if n := len(all(t, c, "t")); n != 51 {
		t.Errorf("%d records stored, want 51", n)
	}
	if err := p.Produce(t.Context(), Record{Topic: "t", Value: make([]byte, maxRecord)}); !errors.Is(err, ErrTooLarge) || !connector.IsUnsendable(err) {
		t.Errorf("a record above all limits: %v", err)
	}
}

func TestProducer_aSizeThatMayNotBeAskedForIsTheDefault(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	p := newTestProducer(t, c, ProducerOptions{})
	if err := p.Produce(t.Context(), Record{Topic: "t"}); err != nil {
		t.Fatal(err)
	}
	if got := p.batchMax("t"); got != defaultBatch {
		t.Errorf("batch size %d, want %d", got, defaultBatch)
	}
	q := newTestProducer(t, c, ProducerOptions{}, func(cfg *ProducerConfig) { cfg.MaxMessageBytes = 5000 })
	if err := q.Produce(t.Context(), Record{Topic: "t"}); err != nil || q.batchMax("t") != 5000 {
		t.Errorf("%v, batch size %d, want the configured 5000", err, q.batchMax("t"))
	}
}

// F8, https://github.com/twmb/franz-go/issues/1217: after REQUEST_TIMED_OUT and a
// cancelled context, the broker dropped the next record as a duplicate and reported it
// as stored. A record that is reported as stored must exist, whatever contexts ended
// meanwhile.
func TestProducer_whatIsReportedStoredIsThere(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	p := newTestProducer(t, c, ProducerOptions{})
	if err := p.Produce(t.Context(), Record{Topic: "t", Value: []byte("first")}); err != nil {
		t.Fatal(err)
	}
	// The broker answers with a timeout and still stores the record, again and again.
	f := c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "t", Err: kerr.RequestTimedOut, Count: 2})
	var stored []string
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			value := fmt.Sprint("v", i)
			if err := p.Produce(ctx, Record{Topic: "t", Value: []byte(value)}); err == nil {
				mu.Lock()
				stored = append(stored, value)
				mu.Unlock()
			}
		})
		if i%2 == 0 {
			eventually(t, "under way", func() bool {
				return !p.inFlight.has(p.cfg.MaxBuffered) || f.Hits() > 1
			})
			cancel()
		} else {
			defer cancel()
		}
	}
	wg.Wait()
	there := map[string]int{}
	for _, r := range all(t, c, "t") {
		there[string(r.Value)]++
	}
	for _, v := range stored {
		if there[v] != 1 {
			t.Errorf("%s was reported stored and is there %d times", v, there[v])
		}
	}
}

// F8, https://github.com/twmb/franz-go/issues/1217: the end of a context ends the wait
// for a record, and does not cancel the record.
func TestProducer_aContextEndsTheWaitAndNotTheRecord(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	p := newTestProducer(t, c, ProducerOptions{}, func(cfg *ProducerConfig) {
		cfg.MaxBuffered, cfg.Linger = 1, 100*time.Millisecond // a record is not sent before its context ends
	})
	if err := p.Produce(t.Context(), Record{Topic: "t"}); err != nil {
		t.Fatal(err)
	}
	hold := c.HoldProduce()
	first, ctx1 := make(chan error, 1), cancelled(t)
	ctx, cancel := context.WithCancel(t.Context())
	w, err := p.Begin(ctx, Record{Topic: "t", Value: []byte("under way")})
	if err != nil {
		t.Fatal(err)
	}
	go func() { first <- w.Wait(ctx) }()
	cancel()
	if err := <-first; !errors.Is(err, ErrOutcomeUnknown) || connector.ClassOf(err) != connector.Interrupted ||
		err.Error() != "write to topic t: the answer was not waited for, and the record may be stored: context canceled" {
		t.Errorf("the wait that ended: %v, class %v", err, connector.ClassOf(err))
	}
	waiting, cancelWaiting := context.WithCancel(t.Context())
	second := make(chan error, 1)
	go func() { second <- p.Produce(waiting, Record{Topic: "t", Value: []byte("never")}) }()
	cancelWaiting()
	if err := <-second; connector.ClassOf(err) != connector.Interrupted || errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("waiting for a place: %v, class %v", err, connector.ClassOf(err))
	}
	if err := p.Produce(ctx1, Record{Topic: "t"}); connector.ClassOf(err) != connector.Interrupted {
		t.Errorf("with a context that ended: %v", err)
	}
	hold.Release()
	if err := w.Wait(t.Context()); err != nil || w.Position() != connector.PartitionOffset("t", 0, 1) {
		t.Errorf("the record under way: %v at %v; the context of an earlier wait may not matter", err, w.Position())
	}
	if n := len(all(t, c, "t")); n != 2 {
		t.Errorf("%d records stored, want 2", n)
	}
}

func cancelled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestProducer_closeWaitsAndThenRefuses(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	p := newTestProducer(t, c, ProducerOptions{})
	if err := p.Produce(t.Context(), Record{Topic: "t"}); err != nil {
		t.Fatal(err)
	}
	defer c.HoldProduce().Release()
	outcome := make(chan error, 1)
	go func() { outcome <- p.Produce(t.Context(), Record{Topic: "t", Value: []byte("x")}) }()
	eventually(t, "under way", func() bool { return !p.inFlight.has(p.cfg.MaxBuffered) })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Close(ctx); err == nil || !strings.Contains(err.Error(), "still in flight") {
		t.Errorf("Close = %v", err)
	}
	if err := <-outcome; !errors.Is(err, connector.ErrClosed) {
		t.Errorf("the record under way: %v", err)
	}
	if err := p.Produce(t.Context(), Record{Topic: "t"}); !errors.Is(err, connector.ErrClosed) {
		t.Errorf("Produce after Close: %v", err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestSink_binaryAndStructured(t *testing.T) {
	e := &cloudevent.Event{ID: "1", Source: "/s", Type: "t", Subject: "sub", DataContentType: "application/json",
		Time: time.UnixMilli(1700000000000).UTC(), Data: cloudevent.Bytes([]byte(`{"a":1}`)), Key: []byte("k"),
		Extensions: []cloudevent.Extension{{Name: "traceparent", Value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, {Name: "tenant", Value: "x"}}}
	for mode, check := range map[string]func(t *testing.T, r *kgo.Record, h map[string]string){
		ModeBinary: func(t *testing.T, r *kgo.Record, h map[string]string) {
			if string(r.Value) != `{"a":1}` || h["ce_id"] != "1" || h["ce_specversion"] != "1.0" || h["ce_source"] != "/s" || h["ce_tenant"] != "x" || h["content-type"] != "application/json" {
				t.Errorf("value %s headers %v", r.Value, h)
			}
		},
		ModeStructured: func(t *testing.T, r *kgo.Record, h map[string]string) {
			var back cloudevent.Event
			if err := cloudevent.ParseJSON(r.Value, &back); err != nil || back.ID != "1" || !strings.HasPrefix(h["content-type"], "application/cloudevents+json") {
				t.Errorf("value %s headers %v: %v", r.Value, h, err)
			}
		},
	} {
		t.Run(mode, func(t *testing.T) {
			c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
			s, err := NewSink(SinkConfig{ProducerConfig: ProducerConfig{ClientConfig: ClientConfig{Brokers: c.Brokers()}}, Topic: "t", Mode: mode}, ProducerOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close(t.Context()) }()
			if err := s.Send(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			if errs := s.SendBatch(t.Context(), []*cloudevent.Event{e, e}); errs != nil {
				t.Fatal(errs)
			}
			rs := all(t, c, "t")
			if len(rs) != 3 {
				t.Fatalf("%d records", len(rs))
			}
			h := map[string]string{}
			for _, kv := range rs[0].Headers {
				h[kv.Key] = string(kv.Value)
			}
			if string(rs[0].Key) != "k" || h["traceparent"] == "" {
				t.Errorf("key %s headers %v", rs[0].Key, h)
			}
			check(t, rs[0], h)
		})
	}
}

func TestSink_sendReturnsWhenItsContextEnds(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	s, err := NewSink(SinkConfig{ProducerConfig: ProducerConfig{ClientConfig: ClientConfig{Brokers: c.Brokers()}}, Topic: "t"}, ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close(t.Context()) }()
	e := &cloudevent.Event{ID: "1", Source: "s", Type: "t"}
	if err := s.Send(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	hold := c.HoldProduce()
	ctx, cancel := context.WithCancel(t.Context())
	outcomes := make(chan error, 3)
	go func() { outcomes <- s.Send(ctx, e) }()
	go func() {
		for _, err := range s.SendBatch(ctx, []*cloudevent.Event{e, e}) {
			outcomes <- err
		}
	}()
	eventually(t, "three under way", func() bool {
		return !s.p.inFlight.has(s.p.cfg.MaxBuffered - 2)
	})
	cancel()
	for range 3 {
		if err := <-outcomes; connector.ClassOf(err) != connector.Interrupted {
			t.Errorf("%v, class %v", err, connector.ClassOf(err))
		}
	}
	hold.Release()
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if n := len(all(t, c, "t")); n != 4 {
		t.Errorf("%d records, want 4: what was under way is stored all the same", n)
	}
	if errs := s.SendBatch(t.Context(), []*cloudevent.Event{e}); len(errs) != 1 || !errors.Is(errs[0], connector.ErrClosed) {
		t.Errorf("after Close: %v", errs)
	}
}

func TestReadTopic(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 3, "empty": 2}})
	base := time.UnixMilli(1700000000000)
	for i := range 30 {
		if err := c.Produce(t.Context(), &kgo.Record{Topic: "t", Partition: int32(i % 2), Value: fmt.Append(nil, i), Timestamp: base.Add(time.Duration(i) * time.Second)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.ProduceTx(t.Context(), "tx", false, &kgo.Record{Topic: "t", Partition: 2, Value: []byte("aborted")}); err != nil {
		t.Fatal(err)
	}
	cfg := ClientConfig{Brokers: c.Brokers()}
	count := func(topic string, o ReadOptions) (n int, err error) {
		err = ReadTopic(t.Context(), cfg, topic, o, func(Record) error { n++; return nil })
		return n, err
	}
	if n, err := count("t", ReadOptions{}); n != 30 || err != nil {
		t.Errorf("all: %d, %v", n, err)
	}
	if n, err := count("t", ReadOptions{Since: base.Add(20 * time.Second)}); n != 10 || err != nil {
		t.Errorf("since: %d, %v", n, err)
	}
	if n, err := count("empty", ReadOptions{}); n != 0 || err != nil {
		t.Errorf("empty: %d, %v", n, err)
	}
	if _, err := count("missing", ReadOptions{}); !errors.Is(err, ErrNoTopic) {
		t.Errorf("missing: %v", err)
	}
	stop := errors.New("enough")
	if err := ReadTopic(t.Context(), cfg, "t", ReadOptions{}, func(Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("fn's error: %v", err)
	}
	if err := ReadTopic(cancelled(t), cfg, "t", ReadOptions{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := ReadTopic(t.Context(), ClientConfig{}, "t", ReadOptions{}, nil); err == nil {
		t.Error("no brokers, and no error")
	}
	f := c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "t", Err: kerr.TopicAuthorizationFailed, Count: -1})
	if _, err := count("t", ReadOptions{}); !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("refused: %v", err)
	}
	f.Remove()
}
