package kafka

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// allOf returns an event that has every attribute.
func allOf() *cloudevent.Event {
	return &cloudevent.Event{
		ID: "1", Source: "/s", Type: "t", Subject: "sub", DataSchema: "/schema", DataContentType: "text/plain",
		Time: time.Date(2026, 1, 31, 13, 0, 0, 120000000, time.FixedZone("", 3600)), Data: cloudevent.Bytes([]byte("data")), Key: []byte("k"),
		Extensions: []cloudevent.Extension{{Name: "tenant", Value: "x"}, {Name: "tracestate", Value: "a=b"}, {Name: "traceparent", Value: "00-1"}, {Name: "empty"}},
	}
}

// loaded calls load, which must not fail.
func loaded(t *testing.T, f *produceCall, mode string, events ...*cloudevent.Event) {
	t.Helper()
	if err := f.load(mode, events...); err != nil {
		t.Fatal(err)
	}
}

func TestFlight_binaryHeadersAreTheAttributesInTheirOrder(t *testing.T) {
	for _, tc := range []struct {
		name  string
		event *cloudevent.Event
		more  []string // headers after the attributes
	}{
		{"all there is", allOf(), []string{"content-type=text/plain", "traceparent=00-1", "tracestate=a=b"}},
		{"JSON", &cloudevent.Event{ID: "1", Source: "/s", Type: "t", DataContentType: "application/json"}, []string{"content-type=application/json"}},
		{"nothing", &cloudevent.Event{}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var want, got []string
			tc.event.Attributes(func(name, value string) bool {
				want = append(want, "ce_"+name+"="+value)
				return true
			})
			f := newProduceCall(1)
			loaded(t, f, ModeBinary, tc.event)
			for _, h := range f.records[0].record.Headers {
				got = append(got, h.Key+"="+string(h.Value))
			}
			if want = append(want, tc.more...); !slices.Equal(got, want) {
				t.Errorf("headers\n%q, want\n%q", got, want)
			}
		})
	}
}

func TestFlight_recordsOfABatchKeepApart(t *testing.T) {
	for _, mode := range []string{ModeBinary, ModeStructured} {
		t.Run(mode, func(t *testing.T) {
			var events []*cloudevent.Event
			for i := range 50 {
				e := allOf()
				// Escapes make the structured form longer than the space reserved for
				// it.
				e.ID, e.Data, e.Key = strings.Repeat("\x01", 20*i)+fmt.Sprint(i), cloudevent.Bytes(fmt.Append(nil, "data", i)), fmt.Append(nil, "key", i)
				events = append(events, e)
			}
			events[7].Key, events[8].Data, events[9].Key, events[9].Data = nil, cloudevent.Data{}, []byte{}, cloudevent.Bytes([]byte{})
			f := newProduceCall(len(events))
			loaded(t, f, mode, events...)
			for i, e := range events {
				alone := newProduceCall(1)
				loaded(t, alone, mode, e)
				got, want := &f.records[i].record, &alone.records[0].record
				same := bytes.Equal(got.Key, want.Key) && bytes.Equal(got.Value, want.Value) && len(got.Headers) == len(want.Headers)
				for j := 0; same && j < len(want.Headers); j++ {
					same = got.Headers[j].Key == want.Headers[j].Key && bytes.Equal(got.Headers[j].Value, want.Headers[j].Value)
				}
				if !same || (got.Key == nil) != (e.Key == nil) || mode == ModeBinary && (got.Value == nil) != (e.Data.Bytes() == nil) {
					t.Fatalf("record %d of the batch is %q %q %q, and alone %q %q %q", i, got.Key, got.Value, got.Headers, want.Key, want.Value, want.Headers)
				}
			}
		})
	}
}

func TestFlight_keepsNothingOfTheEvent(t *testing.T) {
	e := allOf()
	f := newProduceCall(1)
	loaded(t, f, ModeBinary, e)
	e.Key[0], e.Data.Bytes()[0] = 'X', 'X'
	if r := &f.records[0].record; string(r.Key) != "k" || string(r.Value) != "data" {
		t.Errorf("the record changed with the event: %q %q", r.Key, r.Value)
	}
}

// U1: in structured mode, data that is not the JSON its content type says is refused,
// alone; in binary mode it is the record's value, byte for byte.
func TestSink_writesNoDataThatCouldForgeTheEvent(t *testing.T) {
	const forged = `1,"type":"refund.approved","source":"/bank"`
	for _, mode := range []string{ModeStructured, ModeBinary} {
		t.Run(mode, func(t *testing.T) {
			c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
			s, err := NewSink(SinkConfig{ProducerConfig: ProducerConfig{ClientConfig: ClientConfig{Brokers: c.Brokers()}}, Topic: "t", Mode: mode}, ProducerOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close(t.Context()) }() // nothing is in flight
			events := manyEvents(3)
			events[1].Data = cloudevent.Bytes([]byte(forged))
			errs := append(slices.Concat(s.SendBatch(t.Context(), events), make([]error, 3))[:3], s.Send(t.Context(), events[1]))
			for i, err := range errs {
				guilty := mode == ModeStructured && i%2 == 1
				_, ok := errors.AsType[*cloudevent.EncodeError](err)
				if ok != guilty || (err != nil) != guilty || guilty && connector.ClassOf(err) != connector.Permanent {
					t.Errorf("event %d: %v", i, err)
				}
			}
			if guilty := errs[1]; guilty != nil {
				want := `write the event as JSON: data is not what datacontenttype "application/json" says: not valid JSON at byte 1: there is more after the end of the value`
				if !strings.Contains(guilty.Error(), want) {
					t.Errorf("%v, want it to have %s", guilty, want)
				}
			}
			var values []string
			for _, r := range all(t, c, "t") {
				values = append(values, string(r.Value))
			}
			if mode == ModeBinary && (len(values) != 4 || !slices.Contains(values, forged)) || mode == ModeStructured && (len(values) != 2 || strings.Contains(strings.Join(values, ""), "refund")) {
				t.Errorf("stored %q", values)
			}
		})
	}
}

// U9: a timestamp of -1 means none.
func TestTimeOf_minusOneIsNone(t *testing.T) {
	for ms, none := range map[int64]bool{
		-1: true, 0: false, 1700000000123: false, -2: false, 253402300799999: false, 253402300800000: true, 1<<63 - 1: true,
		-62167219200000: false, -62167219200001: true, -1 << 63: true,
	} {
		got := timeOf(&kgo.Record{Timestamp: time.UnixMilli(ms)})
		if got.IsZero() != none || !none && got.UnixMilli() != ms {
			t.Errorf("%d is %v", ms, got)
		}
	}
	if got := fromKgo(&kgo.Record{Timestamp: time.UnixMilli(-1)}); !got.Time.IsZero() {
		t.Errorf("a record that was read is of %v", got.Time)
	}
	if got := slab(new(assignment), []*kgo.Record{{Timestamp: time.UnixMilli(-1)}}, 0).records[0].Time; !got.IsZero() {
		t.Errorf("a message is of %v", got)
	}
}

func TestSink_eachEventOfABatchHasItsOwnFate(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{})
	if err := c.CreateTopic(t.Context(), "t", 1, map[string]string{"max.message.bytes": "20000"}); err != nil {
		t.Fatal(err)
	}
	s, err := NewSink(SinkConfig{ProducerConfig: ProducerConfig{ClientConfig: ClientConfig{Brokers: c.Brokers()}}, Topic: "t"}, ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close(t.Context()) }() // nothing is in flight
	events := manyEvents(4)
	noise := make([]byte, 60000)
	_, _ = rand.Read(noise) // never fails
	events[1].Data = cloudevent.Bytes(noise)
	events[2].Data = cloudevent.Bytes(make([]byte, maxRecord))
	errs := s.SendBatch(t.Context(), events)
	if len(errs) != 4 || errs[0] != nil || errs[3] != nil {
		t.Fatalf("the small ones: %v", errs)
	}
	for _, i := range []int{1, 2} {
		if !errors.Is(errs[i], ErrTooLarge) || connector.ClassOf(errs[i]) != connector.Permanent {
			t.Errorf("event %d, which is too large: %v", i, errs[i])
		}
	}
	if n := len(all(t, c, "t")); n != 2 {
		t.Errorf("%d records stored, want 2", n)
	}
}

// A batch may hold more events than may be in flight at once.
func TestSink_aBatchLargerThanWhatMayBeUnderWay(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 3}})
	s, err := NewSink(SinkConfig{ProducerConfig: ProducerConfig{ClientConfig: ClientConfig{Brokers: c.Brokers()}, MaxBuffered: 3}, Topic: "t"}, ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close(t.Context()) }() // nothing is in flight
	if errs := s.SendBatch(t.Context(), manyEvents(20)); errs != nil {
		t.Fatal(errs)
	}
	if n := len(all(t, c, "t")); n != 20 {
		t.Errorf("%d records stored, want 20", n)
	}
	if !s.p.inFlight.has(3) || !s.p.inFlight.try(s.p.inFlight.all) {
		t.Error("places or bytes were not given back")
	}
}

// The allocations of franz-go and of the fake broker count too.
func TestSink_aBatchAllocatesLittle(t *testing.T) {
	const n, most = 100, 1.0
	for _, mode := range []string{ModeBinary, ModeStructured} {
		c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
		s, err := NewSink(SinkConfig{ProducerConfig: ProducerConfig{ClientConfig: ClientConfig{Brokers: c.Brokers()}}, Topic: "t", Mode: mode}, ProducerOptions{MaxHops: 32})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close(t.Context()) }() // nothing is in flight
		events := manyEvents(n)
		got := testing.AllocsPerRun(100, func() {
			if errs := s.SendBatch(t.Context(), events); errs != nil {
				t.Fatal(errs)
			}
		}) / n
		t.Logf("%s: %v allocations an event", mode, got)
		if got > most && !raceEnabled {
			t.Errorf("%s: %v allocations an event of a batch; want at most %v", mode, got, most)
		}
	}
}

// Each record of a batch gets its own error.
func TestSink_aBatchThatNoBrokerTakesFailsInTime(t *testing.T) {
	t.Parallel() // it mostly waits
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 3}})
	c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "t", Err: kerr.NotLeaderForPartition, Count: -1})
	s, err := NewSink(SinkConfig{ProducerConfig: ProducerConfig{ClientConfig: ClientConfig{Brokers: c.Brokers()}, DeliveryTimeout: time.Second}, Topic: "t"}, ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close(t.Context()) }() // nothing is in flight
	errs := s.SendBatch(t.Context(), manyEvents(5))
	if len(errs) != 5 {
		t.Fatalf("%d errors", len(errs))
	}
	for i, err := range errs {
		if connector.ClassOf(err) != connector.Blocked || !strings.Contains(err.Error(), "no broker took the record within 1s") {
			t.Errorf("event %d: %v, class %v", i, err, connector.ClassOf(err))
		}
	}
}
