package grpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	cepb "github.com/cloudevents/sdk-go/binding/format/protobuf/v2/pb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/lsm/fiso/common/connector"
	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

const testPatience = 10 * time.Second

func sourceConfig() SourceConfig { return SourceConfig{Listen: "127.0.0.1:0"} }

// runningSource is a source with a handler that records its messages.
type runningSource struct {
	*Source
	t       testing.TB
	address string
	end     context.CancelFunc
	done    chan struct{}
	err     error // of Run; read after done is closed

	mu  sync.Mutex
	got []*connector.Message
}

// runSource runs a source until the test ends. handle may be nil: messages are recorded
// and not settled.
func runSource(t testing.TB, cfg SourceConfig, opts SourceOptions, handle func(*connector.Message)) *runningSource {
	t.Helper()
	if opts.DrainTimeout == 0 {
		opts.DrainTimeout = 300 * time.Millisecond
	}
	address := make(chan net.Addr, 1)
	opts.Listening = func(a net.Addr) { address <- a }
	s, err := NewSource(cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &runningSource{Source: s, t: t, end: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = s.Run(ctx, func(_ *connector.Assignment, ms []*connector.Message) {
			for _, m := range ms {
				r.mu.Lock()
				r.got = append(r.got, m)
				r.mu.Unlock()
				if handle != nil {
					handle(m)
				}
			}
		})
	}()
	t.Cleanup(r.stop)
	select {
	case a := <-address:
		r.address = a.String()
	case <-r.done:
		t.Fatalf("the source does not run: %v", r.err)
	}
	return r
}

func (r *runningSource) stop() {
	r.end()
	select {
	case <-r.done:
	case <-time.After(testPatience):
		r.t.Error("Run has not returned")
	}
}

// messages waits for n messages.
func (r *runningSource) messages(n int) []*connector.Message {
	r.t.Helper()
	eventuallySource(r.t, fmt.Sprintf("%d messages are handed over", n), func() bool { return r.count() >= n })
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func (r *runningSource) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

func (r *runningSource) ids() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []string
	for _, m := range r.got {
		ids = append(ids, m.ID)
	}
	return ids
}

func settleOK(m *connector.Message) { m.Settle(nil) }

// eventuallySource waits for a condition that another goroutine fulfils.
func eventuallySource(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(testPatience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

// dialSource connects to a source until the test ends.
func dialSource(t testing.TB, address string, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	if len(opts) == 0 {
		opts = append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	conn, err := grpc.NewClient("passthrough:///"+address, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// testProducer is one stream of a producer. Its reader collects what the source sends.
type testProducer struct {
	t       testing.TB
	stream  pb.Events_PublishStreamClient
	cancel  context.CancelFunc
	readEnd chan struct{}

	mu       sync.Mutex
	settings []*pb.Settings
	results  map[int64]*pb.Result
	order    []int64
	drains   []*pb.Drain
	err      error // how the stream ended
	twice    bool
	early    bool // something came before the settings
	seq      int64
}

func openStream(t testing.TB, conn *grpc.ClientConn, md ...string) *testProducer {
	t.Helper()
	p := openStreamUnread(t, conn, md...)
	go p.read()
	t.Cleanup(func() { <-p.readEnd })
	t.Cleanup(p.cancel)
	return p
}

// openStreamUnread opens a stream that nobody reads.
func openStreamUnread(t testing.TB, conn *grpc.ClientConn, md ...string) *testProducer {
	t.Helper()
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(context.Background(), md...))
	t.Cleanup(cancel)
	stream, err := pb.NewEventsClient(conn).PublishStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return &testProducer{t: t, stream: stream, cancel: cancel, readEnd: make(chan struct{}), results: map[int64]*pb.Result{}}
}

func (p *testProducer) read() {
	defer close(p.readEnd)
	for {
		m, err := p.stream.Recv()
		p.mu.Lock()
		if err != nil {
			p.err = err
			p.mu.Unlock()
			return
		}
		p.early = p.early || m.GetSettings() == nil && len(p.settings) == 0
		switch {
		case m.GetSettings() != nil:
			p.settings = append(p.settings, m.GetSettings())
		case m.GetDrain() != nil:
			p.drains = append(p.drains, m.GetDrain())
		case m.GetResult() != nil:
			seq := m.GetResult().Seq
			p.twice = p.twice || p.results[seq] != nil
			p.results[seq] = m.GetResult()
			p.order = append(p.order, seq)
		}
		p.mu.Unlock()
	}
}

// send sends an event with a key and returns its number.
func (p *testProducer) send(key string, e *cepb.CloudEvent) int64 {
	p.t.Helper()
	p.seq++
	p.sendRaw(&pb.StreamEvent{Seq: p.seq, Key: []byte(key), Event: e})
	return p.seq
}

func (p *testProducer) sendRaw(e *pb.StreamEvent) {
	p.t.Helper()
	if err := p.stream.Send(&pb.PublishStreamRequest{Message: &pb.PublishStreamRequest_Event{Event: e}}); err != nil && !errors.Is(err, io.EOF) {
		p.t.Errorf("send event %d: %v", e.Seq, err)
	}
}

func (p *testProducer) open(name string, epoch int64) {
	p.t.Helper()
	m := &pb.PublishStreamRequest{Message: &pb.PublishStreamRequest_Open{Open: &pb.Open{Producer: name, Epoch: epoch}}}
	if err := p.stream.Send(m); err != nil {
		p.t.Errorf("open: %v", err)
	}
}

// result waits for the result of an event.
func (p *testProducer) result(seq int64) *pb.Result {
	p.t.Helper()
	var r *pb.Result
	eventuallySource(p.t, fmt.Sprintf("event %d is answered", seq), func() bool {
		r = p.answered(seq)
		return r != nil
	})
	return r
}

func (p *testProducer) answered(seq int64) *pb.Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.results[seq]
}

func (p *testProducer) drainedBy() *pb.Drain {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.drains) == 0 {
		return nil
	}
	return p.drains[0]
}

// code waits for the result of an event and returns its code.
func (p *testProducer) code(seq int64) codes.Code {
	p.t.Helper()
	return codes.Code(p.result(seq).GetStatus().GetCode())
}

// ended waits for the end of the stream and returns its status.
func (p *testProducer) ended() *status.Status {
	p.t.Helper()
	select {
	case <-p.readEnd:
	case <-time.After(testPatience):
		p.t.Fatal("the stream does not end")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.twice {
		p.t.Error("an event was answered twice")
	}
	if p.early {
		p.t.Error("something came before the settings")
	}
	if errors.Is(p.err, io.EOF) {
		return status.New(codes.OK, "")
	}
	return status.Convert(p.err)
}

// waitSettings waits for the first message of the source.
func (p *testProducer) waitSettings() *pb.Settings {
	p.t.Helper()
	var s *pb.Settings
	eventuallySource(p.t, "the settings come", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.settings) > 0 {
			s = p.settings[0]
		}
		return s != nil
	})
	return s
}

func testEvent(id string) *cepb.CloudEvent {
	return &cepb.CloudEvent{Id: id, Source: "/t", SpecVersion: "1.0", Type: "t", Data: &cepb.CloudEvent_BinaryData{BinaryData: []byte(id)}}
}

// detailOf returns the detail of a type, and fails the test without one.
func detailOf[T any](t testing.TB, s *spb.Status) T {
	t.Helper()
	for _, d := range status.FromProto(s).Details() {
		if found, ok := d.(T); ok {
			return found
		}
	}
	var none T
	t.Fatalf("%v has no %T", s, none)
	return none
}

// wantRetry checks that a result asks for the event again.
func wantRetry(t testing.TB, r *pb.Result, code codes.Code, after time.Duration) {
	t.Helper()
	if got := codes.Code(r.GetStatus().GetCode()); got != code {
		t.Fatalf("event %d is answered with %v (%s); want %v", r.GetSeq(), got, r.GetStatus().GetMessage(), code)
	}
	if got := detailOf[*errdetails.RetryInfo](t, r.GetStatus()).RetryDelay.AsDuration(); got != after {
		t.Errorf("event %d is to be sent again after %v; want %v", r.GetSeq(), got, after)
	}
}

// wantCode checks the code of a call, and returns its message.
func wantCode(t testing.TB, err error, want codes.Code) string {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Fatalf("the call ended with %v; want %v", err, want)
	}
	return status.Convert(err).Message()
}

func publish(t testing.TB, conn *grpc.ClientConn, md []string, events ...*pb.KeyedEvent) (*pb.PublishResponse, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(context.Background(), md...), testPatience)
	defer cancel()
	return pb.NewEventsClient(conn).Publish(ctx, &pb.PublishRequest{Events: events})
}

func keyed(key, id string) *pb.KeyedEvent {
	return &pb.KeyedEvent{Key: []byte(key), Event: testEvent(id)}
}

func keyless(id string) *pb.KeyedEvent { return &pb.KeyedEvent{Event: testEvent(id)} }

type pbResult = pb.Result

func streamEvent(seq int64) *pb.StreamEvent { return &pb.StreamEvent{Seq: seq, Event: testEvent("a")} }

func openOf(producer string, epoch int64) *pb.Open { return &pb.Open{Producer: producer, Epoch: epoch} }

func (p *testProducer) sendEmpty() { _ = p.stream.Send(&pb.PublishStreamRequest{}) }

// unusedAddress returns an address on which nobody listens.
func unusedAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
