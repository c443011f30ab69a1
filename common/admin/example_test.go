package admin_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/lsm/fiso/common/admin"
)

func ExampleServer() {
	ready := func() admin.Report {
		return admin.Report{Checks: []admin.Check{{Name: "flow order-events", Reason: "broker kafka:9092 does not answer"}}}
	}
	s, err := admin.New(admin.Options{Addr: "127.0.0.1:0", Setting: "FISO_METRICS_ADDR", Ready: ready})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()

	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + s.Addr().String() + "/readyz?verbose")
	if err != nil {
		fmt.Println(err)
		return
	}
	body, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	fmt.Print(response.Status, "\n", string(body))
	cancel()
	fmt.Println(<-done)
	// Output:
	// 503 Service Unavailable
	// [not ready] flow order-events: broker kafka:9092 does not answer
	// not ready
	// <nil>
}
