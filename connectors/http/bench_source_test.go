//go:build unix

package http

import (
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/lsm/fiso/common/connector"
)

// BenchmarkReceive posts events of 500 bytes and of 100 KB to a source that settles
// them at once. CPU time is that of the process, the client of fasthttp included.
func BenchmarkReceive(b *testing.B) {
	for _, size := range []int{500, 100_000} {
		for _, callers := range []int{1, 64} {
			b.Run("bytes="+strconv.Itoa(size)+"/callers="+strconv.Itoa(callers), func(b *testing.B) {
				address := make(chan net.Addr, 1)
				s, err := NewSource(SourceConfig{Listen: "127.0.0.1:0"}, SourceOptions{Listening: func(a net.Addr) { address <- a }})
				if err != nil {
					b.Fatal(err)
				}
				ctx, cancel := context.WithCancel(b.Context())
				done := make(chan error, 1)
				go func() {
					done <- s.Run(ctx, connector.Each(func(_ context.Context, m *connector.Message) { m.Settle(nil) }))
				}()
				url := "http://" + (<-address).String()
				client := &fasthttp.Client{MaxConnsPerHost: callers}
				body, err := sized(size).AppendJSON(nil)
				if err != nil {
					b.Fatal(err)
				}
				parallel(b, callers, func() error {
					req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
					defer fasthttp.ReleaseRequest(req)
					defer fasthttp.ReleaseResponse(resp)
					req.SetRequestURI(url)
					req.Header.SetMethod("POST")
					req.Header.SetContentType("application/cloudevents+json")
					req.SetBodyRaw(body)
					if err := client.Do(req, resp); err != nil {
						return err
					}
					if resp.StatusCode() != 200 {
						return io.ErrUnexpectedEOF
					}
					return nil
				})
				client.CloseIdleConnections()
				cancel()
				if err := <-done; err != nil && !strings.Contains(err.Error(), "closed") {
					b.Error(err)
				}
			})
		}
	}
}
