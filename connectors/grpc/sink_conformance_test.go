package grpc

import (
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/connector/connectortest"
	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

// destination is a receiver that a conformance scenario inspects and makes fail.
type destination struct {
	mu     sync.Mutex
	events []*cloudevent.Event
	fail   int
	code   codes.Code
	after  time.Duration
	block  chan struct{} // nil: not blocked
	wait   sync.WaitGroup
}

func (d *destination) take(s *session, m *pb.StreamEvent) {
	d.mu.Lock()
	block := d.block
	d.mu.Unlock()
	if block == nil {
		d.answer(s, m)
		return
	}
	d.wait.Go(func() {
		select {
		case <-block:
			d.answer(s, m)
		case <-s.ended:
		}
	})
}

func (d *destination) answer(s *session, m *pb.StreamEvent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail > 0 {
		d.fail--
		s.result(m.GetSeq(), resultStatus(d.code, "scripted", d.after))
		return
	}
	e, err := eventOf(m.GetEvent())
	if err != nil {
		s.result(m.GetSeq(), resultStatus(codes.InvalidArgument, err.Error(), 0))
		return
	}
	d.events = append(d.events, e)
	s.ok(m.GetSeq())
}

func TestSink_conforms(t *testing.T) {
	for _, row := range []struct {
		name string
		cfg  SinkConfig
	}{
		{"plain", SinkConfig{}},
		{"one stream and gzip", SinkConfig{Streams: 1, Compression: CompressionGzip}},
	} {
		t.Run(row.name, func(t *testing.T) {
			features := connectortest.Features{Temporary: true, Permanent: true, Unavailable: true, Blocked: true, RetryAfter: true, Reconnects: true}
			connectortest.RunSink(t, features, func(t testing.TB) connectortest.SinkHarness { return sinkHarness(t, row.cfg) })
		})
	}
}

func sinkHarness(t testing.TB, cfg SinkConfig) connectortest.SinkHarness {
	d := &destination{}
	t.Cleanup(d.wait.Wait)
	r := newReceiver(t, func(r *receiver) { r.take = d.take })
	cfg.Target = r.address
	return connectortest.SinkHarness{
		New: func(t testing.TB) connector.Sink {
			s, err := NewSink(cfg, SinkOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Received: func(testing.TB) []*cloudevent.Event {
			d.mu.Lock()
			defer d.mu.Unlock()
			return append([]*cloudevent.Event(nil), d.events...)
		},
		Fail: func(_ testing.TB, class connector.Class, n int, after time.Duration) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.fail, d.after = n, after
			d.code = map[connector.Class]codes.Code{
				connector.Temporary: codes.Internal, connector.Permanent: codes.InvalidArgument,
				connector.Unavailable: codes.Unavailable, connector.Blocked: codes.PermissionDenied,
			}[class]
		},
		Block: func(testing.TB) func() {
			gate := make(chan struct{})
			d.mu.Lock()
			d.block = gate
			d.mu.Unlock()
			return sync.OnceFunc(func() {
				d.mu.Lock()
				d.block = nil
				d.mu.Unlock()
				close(gate)
			})
		},
		Disconnect: func(testing.TB) { r.ln.breakAll() },
	}
}
