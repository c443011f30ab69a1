package http_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"strings"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	fisohttp "github.com/lsm/fiso/connectors/http"
)

// Send an event, and find out what an error means.
func ExampleSink() {
	srv := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if r.Header.Get("Idempotency-Key") == "order-2" {
			nethttp.Error(w, "no such customer", nethttp.StatusUnprocessableEntity)
		}
	}))
	defer srv.Close()

	ctx := context.Background()
	sink, err := fisohttp.NewSink(fisohttp.SinkConfig{
		URL:  srv.URL + "/callbacks/order-result",
		Auth: fisohttp.SinkAuth{Type: "bearer", Token: config.NewSecret("t0ken")},
	}, fisohttp.SinkOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = sink.Close(ctx) }()

	for _, id := range []string{"order-1", "order-2"} {
		err := sink.Send(ctx, &cloudevent.Event{
			ID: id, Source: "/orders", Type: "order.created",
			DataContentType: "application/json", Data: cloudevent.Bytes([]byte(`{"total": 12.50}`)),
		})
		var refused *fisohttp.StatusError
		switch {
		case err == nil:
			fmt.Println(id, "delivered")
		case errors.As(err, &refused):
			fmt.Println(id, connector.ClassOf(err), refused.Status)
		default:
			fmt.Println(id, connector.ClassOf(err))
		}
	}
	// Output:
	// order-1 delivered
	// order-2 permanent 422
}

// Receive events. The caller is answered once its event is settled.
func ExampleSource() {
	address := make(chan net.Addr, 1)
	source, err := fisohttp.NewSource(fisohttp.SourceConfig{
		Listen: "127.0.0.1:0",
		Path:   "/hooks",
	}, fisohttp.SourceOptions{Listening: func(a net.Addr) { address <- a }})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() {
		done <- source.Run(ctx, func(_ *connector.Assignment, ms []*connector.Message) {
			for _, m := range ms {
				fmt.Printf("%s: %s\n", m.ID, m.Value)
				m.Settle(nil) // done; with an error, the caller would send it again
			}
		})
	}()

	url := fmt.Sprintf("http://%v/hooks", <-address)
	request, err := nethttp.NewRequestWithContext(ctx, "POST", url, strings.NewReader(`{"total": 12.50}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", "order-1")
	client := &nethttp.Client{Transport: &nethttp.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	fmt.Println(answer.StatusCode, string(text), err)

	stop()
	fmt.Println(<-done)
	// Output:
	// order-1: {"total": 12.50}
	// 200 {"id":"order-1","status":"accepted"} <nil>
	// <nil>
}
