package cegrpc_test

import (
	"context"
	"fmt"
	"log"
	"net"

	cloudevents "github.com/cloudevents/sdk-go/v2"

	fisogrpc "github.com/lsm/fiso/connectors/grpc"
	"github.com/lsm/fiso/connectors/grpc/cegrpc"
)

func Example() {
	address := make(chan net.Addr, 1)
	source, err := fisogrpc.NewSource(fisogrpc.SourceConfig{Listen: "127.0.0.1:0"}, fisogrpc.SourceOptions{Listening: func(a net.Addr) { address <- a }})
	if err != nil {
		log.Fatal(err)
	}
	receiver, err := cloudevents.NewClient(cegrpc.New(source, nil))
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	received := make(chan error)
	go func() {
		received <- receiver.StartReceiver(ctx, func(e cloudevents.Event) {
			fmt.Println("received", e.Type(), e.ID(), string(e.Data()))
		})
	}()

	sink, err := fisogrpc.NewSink(fisogrpc.SinkConfig{Target: (<-address).String()}, fisogrpc.SinkOptions{})
	if err != nil {
		log.Fatal(err)
	}
	p := cegrpc.New(nil, sink)
	sender, err := cloudevents.NewClient(p)
	if err != nil {
		log.Fatal(err)
	}
	event := cloudevents.NewEvent()
	event.SetID("1")
	event.SetSource("/shop")
	event.SetType("order.created")
	_ = event.SetData(cloudevents.ApplicationJSON, map[string]int{"total": 42}) // a map of numbers is JSON
	if result := sender.Send(ctx, event); !cloudevents.IsACK(result) {
		log.Fatal(result)
	}
	fmt.Println("answered")

	if err := p.Close(context.Background()); err != nil {
		log.Fatal(err)
	}
	cancel()
	if err := <-received; err != nil {
		log.Fatal(err)
	}
	// Output:
	// received order.created 1 {"total":42}
	// answered
}
