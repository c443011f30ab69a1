package grpc

import (
	"fmt"
	"net"
	"sync"
	"testing"

	cepb "github.com/cloudevents/sdk-go/binding/format/protobuf/v2/pb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

// BenchmarkSource_stream sends events of 500 bytes over a loopback connection by one
// stream with 1,024 in flight, and waits for all results. The floor below is a server
// written by hand that answers each event at once.
func BenchmarkSource_stream(b *testing.B) {
	b.Run("source", func(b *testing.B) {
		s := runSource(b, sourceConfig(), SourceOptions{}, settleOK)
		benchmarkStream(b, s.address)
	})
	b.Run("floor", func(b *testing.B) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		server := grpc.NewServer()
		pb.RegisterEventsServer(server, floorServer{})
		var wait sync.WaitGroup
		wait.Go(func() {
			if err := server.Serve(ln); err != nil {
				b.Error(err)
			}
		})
		defer wait.Wait()
		defer server.Stop()
		benchmarkStream(b, ln.Addr().String())
	})
}

type floorServer struct{ pb.UnimplementedEventsServer }

func (floorServer) PublishStream(g pb.Events_PublishStreamServer) error {
	settings := &pb.Settings{MaxInFlight: 1024, MaxInFlightBytes: 4 << 20, MaxEventBytes: 1 << 20}
	if err := g.Send(&pb.PublishStreamResponse{Message: &pb.PublishStreamResponse_Settings{Settings: settings}}); err != nil {
		return err
	}
	for {
		m, err := g.Recv()
		if err != nil {
			return err
		}
		r := &pb.Result{Seq: m.GetEvent().Seq, Status: statusOK, Outcome: pb.Outcome_OUTCOME_DELIVERED}
		if err := g.Send(&pb.PublishStreamResponse{Message: &pb.PublishStreamResponse_Result{Result: r}}); err != nil {
			return err
		}
	}
}

func benchmarkStream(b *testing.B, address string) {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	stream, err := pb.NewEventsClient(conn).PublishStream(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	credit := make(chan struct{}, 1024)
	var wait sync.WaitGroup
	wait.Go(func() {
		for n := 0; n < b.N; {
			m, err := stream.Recv()
			if err != nil {
				b.Error(err)
				return
			}
			if r := m.GetResult(); r != nil {
				if r.Status.GetCode() != 0 {
					b.Errorf("answered with %v", r)
				}
				n++
				<-credit
			}
		}
	})
	data := make([]byte, 400)
	var keys [64][]byte
	for i := range keys {
		keys[i] = fmt.Append(nil, "customer-", i)
	}
	b.ResetTimer()
	for i := range b.N {
		credit <- struct{}{}
		e := &cepb.CloudEvent{
			Id: fmt.Sprintf("event-%d", i), Source: "/orders", SpecVersion: "1.0", Type: "order.created",
			Attributes: map[string]*cepb.CloudEventAttributeValue{"datacontenttype": {Attr: &cepb.CloudEventAttributeValue_CeString{CeString: "application/json"}}},
			Data:       &cepb.CloudEvent_BinaryData{BinaryData: data},
		}
		m := &pb.PublishStreamRequest{Message: &pb.PublishStreamRequest_Event{Event: &pb.StreamEvent{Seq: int64(i + 1), Key: keys[i%len(keys)], Event: e}}}
		if err := stream.Send(m); err != nil {
			b.Fatal(err)
		}
	}
	wait.Wait()
}
