//go:build unix

package grpc

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/lsm/fiso/common/cloudevent"
	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

// sized returns an event with n bytes of data.
func sized(n int) *cloudevent.Event {
	e := keyedEvent("orders-3-1234567", "customer-17")
	e.Time = time.Date(2026, 1, 2, 3, 4, 5, 6000000, time.UTC)
	e.SetExtension("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	data := make([]byte, n)
	for i := range data {
		data[i] = 'x'
	}
	e.DataContentType, e.Data = "text/plain", cloudevent.Bytes(data)
	return e
}

// answerer is the least a server can do: it answers each event as it arrives.
type answerer struct{ pb.UnimplementedEventsServer }

func (answerer) PublishStream(stream pb.Events_PublishStreamServer) error {
	if err := stream.Send(&pb.PublishStreamResponse{Message: &pb.PublishStreamResponse_Settings{Settings: &pb.Settings{MaxInFlight: 1 << 20, MaxInFlightBytes: 1 << 30}}}); err != nil {
		return err
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			return nil //nolint:nilerr // the client is done
		}
		if err := stream.Send(&pb.PublishStreamResponse{Message: &pb.PublishStreamResponse_Result{Result: &pb.Result{Seq: m.GetEvent().GetSeq()}}}); err != nil {
			return err
		}
	}
}

func benchServer(tb testing.TB) string {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterEventsServer(server, answerer{})
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(ln) }) // returns when it is stopped
	tb.Cleanup(func() {
		server.Stop()
		serving.Wait()
	})
	return ln.Addr().String()
}

// floor is a client of few lines: the generated code, one lock for sending, and a map of
// channels. It has no keys, no limits, and no answer to anything that breaks.
type floor struct {
	stream  pb.Events_PublishStreamClient
	sending sync.Mutex
	mu      sync.Mutex
	seq     int64
	waiting map[int64]chan struct{}
}

func newFloor(ctx context.Context, conn *grpc.ClientConn) (*floor, error) {
	stream, err := pb.NewEventsClient(conn).PublishStream(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := stream.Recv(); err != nil {
		return nil, err
	}
	return &floor{stream: stream, waiting: map[int64]chan struct{}{}}, nil
}

func (f *floor) read() {
	for {
		m, err := f.stream.Recv()
		if err != nil {
			return
		}
		f.mu.Lock()
		done := f.waiting[m.GetResult().GetSeq()]
		delete(f.waiting, m.GetResult().GetSeq())
		f.mu.Unlock()
		done <- struct{}{}
	}
}

func (f *floor) send(e *cloudevent.Event, done chan struct{}) error {
	m, err := protoOf(e)
	if err != nil {
		return err
	}
	f.sending.Lock()
	f.mu.Lock()
	f.seq++
	seq := f.seq
	f.waiting[seq] = done
	f.mu.Unlock()
	err = f.stream.Send(&pb.PublishStreamRequest{Message: &pb.PublishStreamRequest_Event{Event: &pb.StreamEvent{Seq: seq, Key: e.Key, Event: m}}})
	f.sending.Unlock()
	if err != nil {
		return err
	}
	<-done
	return nil
}

// BenchmarkSend compares Send with the floor. CPU time is that of the process, server
// included, which is the same for both.
func BenchmarkSend(b *testing.B) {
	address := benchServer(b)
	for _, callers := range []int{1, 16, 256} {
		for _, size := range []int{500, 10_000} {
			name := fmt.Sprintf("callers=%d/bytes=%d", callers, size)
			e := sized(size)
			b.Run("floor/"+name, func(b *testing.B) {
				conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = conn.Close() }()
				ctx, cancel := context.WithCancel(b.Context())
				f, err := newFloor(ctx, conn)
				if err != nil {
					b.Fatal(err)
				}
				var reader sync.WaitGroup
				reader.Go(f.read)
				defer reader.Wait()
				defer cancel()
				parallel(b, callers, func(done chan struct{}) error { return f.send(e, done) })
			})
			b.Run("sink/"+name, func(b *testing.B) {
				s, err := NewSink(SinkConfig{Target: address, Streams: 1}, SinkOptions{})
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = s.Close(context.Background()) }()
				ctx, cancel := context.WithCancel(b.Context())
				defer cancel()
				if err := s.Send(ctx, e); err != nil {
					b.Fatal(err)
				}
				parallel(b, callers, func(chan struct{}) error { return s.Send(ctx, e) })
			})
		}
	}
}

// parallel divides b.N calls among callers and reports the CPU time of each call.
func parallel(b *testing.B, callers int, call func(done chan struct{}) error) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var wait sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime()
	for range callers {
		wait.Go(func() {
			done := make(chan struct{}, 1)
			for left.Add(-1) >= 0 {
				if err := call(done); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
