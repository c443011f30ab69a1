package kafka

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/connector/connectortest"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// line dials, and can close every connection that it made.
type line struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (l *line) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err == nil {
		l.mu.Lock()
		l.conns = append(l.conns, conn)
		l.mu.Unlock()
	}
	return conn, err
}

func (l *line) cut(testing.TB) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		_ = c.Close() // it may already be closed
	}
	l.conns = nil
}

func TestSource_conforms(t *testing.T) {
	features := connectortest.Features{Guarantees: SourceGuarantees, Keys: true, Partitions: true, Concurrent: true, Reports: true, Reconnects: true}
	connectortest.RunSource(t, features, func(t testing.TB) connectortest.SourceHarness {
		c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 4}})
		var l line
		return connectortest.SourceHarness{
			New: func(t testing.TB) connector.Source {
				s, err := NewSource(testSource(c), SourceOptions{Dial: l.dial, DrainTimeout: 500 * time.Millisecond, ProbeInterval: 20 * time.Millisecond})
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
			Produce: func(t testing.TB, inputs ...connectortest.Input) {
				var rs []*kgo.Record
				for _, in := range inputs {
					rs = append(rs, &kgo.Record{Topic: "t", Partition: int32(len(in.Key)+int(last(in.Key))) % 4, Key: []byte(in.Key), Value: []byte(in.Value)})
				}
				if err := c.Produce(t.Context(), rs...); err != nil {
					t.Fatal(err)
				}
			},
			Committed: func(t testing.TB) map[connectortest.Partition]int64 {
				at, err := c.Committed(t.Context(), "g", "t")
				if err != nil {
					t.Fatal(err)
				}
				out := map[connectortest.Partition]int64{}
				for n, offset := range at {
					out[connectortest.Partition{Topic: "t", Number: n}] = offset
				}
				return out
			},
			Disconnect: l.cut,
		}
	})
}

func last(s string) byte {
	if s == "" {
		return 0
	}
	return s[len(s)-1]
}

func sinkHarness(t testing.TB) connectortest.SinkHarness {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 2}})
	var l line
	return connectortest.SinkHarness{
		New: func(t testing.TB) connector.Sink {
			cfg := SinkConfig{ProducerConfig: ProducerConfig{ClientConfig: ClientConfig{Brokers: c.Brokers()}}, Topic: "t"}
			s, err := NewSink(cfg, ProducerOptions{Dial: l.dial})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Received: func(t testing.TB) []*cloudevent.Event {
			rs, err := c.Records(t.Context(), "t")
			if err != nil {
				t.Fatal(err)
			}
			var out []*cloudevent.Event
			for _, r := range rs {
				out = append(out, eventOf(t, r))
			}
			return out
		},
		Fail: func(_ testing.TB, class connector.Class, n int, _ time.Duration) {
			err := kerr.UnknownServerError
			switch class {
			case connector.Permanent:
				err, n = kerr.InvalidRecord, 2*n // first for the batch, then for the record alone
			case connector.Blocked:
				err = kerr.TopicAuthorizationFailed
			}
			c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "t", Err: err, Count: n})
		},
		Block:      func(testing.TB) func() { return c.HoldProduce().Release },
		Disconnect: l.cut,
	}
}

// eventOf returns the event of a record in binary mode.
func eventOf(t testing.TB, r *kgo.Record) *cloudevent.Event {
	t.Helper()
	e := new(cloudevent.Event)
	ok, err := cloudevent.FromHeaders(cloudevent.KafkaPrefix, func(yield func(string, []byte) bool) {
		for _, h := range r.Headers {
			if !yield(h.Key, h.Value) {
				return
			}
		}
	}, e)
	if err != nil || !ok {
		t.Fatalf("no CloudEvent in binary mode: %v", err)
	}
	e.Key, e.Data = r.Key, cloudevent.Bytes(r.Value)
	return e
}

func TestSink_conforms(t *testing.T) {
	connectortest.RunSink(t, connectortest.Features{Batch: true, Temporary: true, Blocked: true, Reconnects: true}, sinkHarness)
}

// The broker refuses a whole batch or nothing, so only Send shows that one event is
// refused alone.
func TestSink_conformsWithPermanentErrors(t *testing.T) {
	connectortest.RunSink(t, connectortest.Features{Permanent: true}, sinkHarness)
}
