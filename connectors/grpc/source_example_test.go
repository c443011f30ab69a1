package grpc_test

import (
	"context"
	"fmt"
	"net"

	cepb "github.com/cloudevents/sdk-go/binding/format/protobuf/v2/pb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/lsm/fiso/common/connector"
	fisogrpc "github.com/lsm/fiso/connectors/grpc"
	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

// Receive events. The producer is answered once its event is settled.
func ExampleSource() {
	address := make(chan string, 1)
	source, err := fisogrpc.NewSource(fisogrpc.SourceConfig{Listen: "127.0.0.1:0"}, fisogrpc.SourceOptions{
		Listening: func(a net.Addr) { address <- a.String() },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() {
		done <- source.Run(ctx, connector.Each(func(_ context.Context, m *connector.Message) {
			fmt.Printf("%s of %s: %s\n", m.ID, m.Key, m.Value)
			m.Settle(nil)
		}))
	}()

	producer, err := grpc.NewClient(<-address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Println(err)
		return
	}
	event := &cepb.CloudEvent{
		Id: "order-1", Source: "/shop", SpecVersion: "1.0", Type: "order.created",
		Data: &cepb.CloudEvent_BinaryData{BinaryData: []byte(`{"total": 12.50}`)},
	}
	answer, err := pb.NewEventsClient(producer).Publish(ctx, &pb.PublishRequest{
		Events: []*pb.KeyedEvent{{Key: []byte("customer-7"), Event: event}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("code", answer.Results[0].Status.Code)

	_ = producer.Close()
	stop()
	if err := <-done; err != nil {
		fmt.Println(err)
	}
	// Output:
	// order-1 of customer-7: {"total": 12.50}
	// code 0
}
