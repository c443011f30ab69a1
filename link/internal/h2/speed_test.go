package h2

import (
	"net"
	"net/http"
	"testing"
	"time"
)

// prompt is a target of net/http that sends the same answer to all requests, over h2c.
func prompt(tb testing.TB, size int) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	reply := make([]byte, size)
	s := &http.Server{Protocols: protocols, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(reply) // a failure shows in the caller
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(l) // returns at Close
	}()
	tb.Cleanup(func() {
		_ = s.Close() // the test is over
		<-served
	})
	return l.Addr().String()
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, row := range []struct {
		name string
		size int
		at   int // callers for each processor; 0: a single caller
	}{{"1 KB", 1 << 10, 0}, {"1 KB, 32 a processor", 1 << 10, 32}, {"1 MB", 1 << 20, 0}} {
		b.Run(row.name, func(b *testing.B) {
			addr := prompt(b, row.size)
			tr := transport(b, TransportConfig{})
			one := func() {
				o := out("POST")
				o.Kept, o.Length = []byte("hello"), 5
				a, err := tr.RoundTrip(b.Context(), addr, o, nil)
				if s, err := read(b, a, err); len(s) != row.size || err != nil {
					b.Error(len(s), err)
				}
			}
			one()
			b.ReportAllocs()
			if row.at == 0 {
				for b.Loop() {
					one()
				}
				return
			}
			b.SetParallelism(row.at)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					one()
				}
			})
		})
	}
}
