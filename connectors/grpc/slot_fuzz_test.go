package grpc

import (
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/lsm/fiso/common/connector"
	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

// FuzzStream_handle: no bytes of a server crash the sink or break its accounts, and each
// call ends once.
func FuzzStream_handle(f *testing.F) {
	for _, m := range []*pb.PublishStreamResponse{
		{},
		{Message: &pb.PublishStreamResponse_Settings{Settings: &pb.Settings{MaxInFlight: -1, MaxInFlightBytes: -1, MaxEventBytes: -1}}},
		{Message: &pb.PublishStreamResponse_Result{Result: &pb.Result{Seq: 1}}},
		{Message: &pb.PublishStreamResponse_Result{Result: &pb.Result{Seq: 2, Status: resultStatus(14, "busy", time.Second)}}},
		{Message: &pb.PublishStreamResponse_Result{Result: &pb.Result{Seq: -1, Status: &status.Status{Code: -7}}}},
		{Message: &pb.PublishStreamResponse_Drain{Drain: &pb.Drain{Grace: &durationpb.Duration{Seconds: 1<<63 - 1, Nanos: -1}}}},
	} {
		wire, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire, wire)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		s, err := NewSink(SinkConfig{Target: "localhost:1", Streams: 1}, SinkOptions{})
		if err != nil {
			t.Fatal(err)
		}
		l := s.slots[0]
		l.closed = true // it opens no stream
		st := newStream(l)
		l.active, st.settings, st.opened = st, generous, time.Now()
		var calls []*call
		for _, key := range []string{"a", "a", ""} {
			e := keyedEvent("1", key)
			frame, err := newFrame(e, e.Key)
			if err != nil {
				t.Fatal(err)
			}
			c := newCall()
			c.frame, c.keyed = frame, key != ""
			calls = append(calls, c)
			l.load.Add(1)
			l.queue.push(c)
			if _, over := l.next(st); over {
				t.Fatal("the stream takes no events")
			}
		}
		for _, wire := range [][]byte{first, second} {
			m := new(pb.PublishStreamResponse)
			if (frameCodec{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(wire)}, m) == nil {
				st.handle(m)
			}
		}
		if st.bytes < 0 || int64(len(st.inFlight)) != l.load.Load() {
			t.Errorf("%d events with %d bytes are in flight, and %d calls are counted", len(st.inFlight), st.bytes, l.load.Load())
		}
		st.over(nil)
		for i, c := range calls {
			select {
			case err := <-c.done:
				if err != nil && connector.RetryAfter(err) < 0 {
					t.Errorf("call %d: %v asks for %v", i, err, connector.RetryAfter(err))
				}
			default:
				t.Errorf("call %d did not end", i)
			}
		}
		if n := l.load.Load(); n != 0 || len(l.held) != 0 || len(l.draining) != 0 {
			t.Errorf("%d calls, %d keys and %d streams are left", n, len(l.held), len(l.draining))
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
