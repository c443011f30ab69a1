package async

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkWorker makes a backlog of accepted calls to a target that answers at once,
// or after 5 ms. It reports the time of a call, the start of the worker included.
func BenchmarkWorker(b *testing.B) {
	for name, settings := range map[string]string{
		"at once":     "async: {topic: calls, key: 'headers[\"k\"]'}",
		"replies":     "async: {topic: calls, replyTopic: answers, key: 'headers[\"k\"]'}",
		"after 5 ms":  "async: {topic: calls, key: 'headers[\"k\"]'}",
		"without key": "async: {topic: calls}",
	} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, settings, map[string]int32{"calls": 4, "answers": 1})
			var left atomic.Int64
			left.Store(int64(b.N))
			done := make(chan struct{})
			w.answers(func(_ int, rw http.ResponseWriter, _ *http.Request) {
				if name == "after 5 ms" {
					<-time.After(5 * time.Millisecond)
				}
				rw.WriteHeader(http.StatusNoContent)
				if left.Add(-1) == 0 {
					close(done)
				}
			})
			for i := range b.N {
				w.accept("POST", "/link/crm/", "body", "K", strconv.Itoa(i%1000))
			}
			b.ReportAllocs()
			b.ResetTimer()
			w.work()
			<-done
			b.StopTimer()
			w.settled(int64(b.N))
		})
	}
}
