package stdout

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
)

// Measures only the sink: JSON, and a write to /dev/null.
func BenchmarkSink_SendBatch(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = null.Close() }() // nothing was kept
			s, events := New(null), many(n)
			b.ReportAllocs()
			for b.Loop() {
				if errs := s.SendBatch(b.Context(), events); errs != nil {
					b.Fatal(errs)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/event")
		})
	}
}

func many(n int) []*cloudevent.Event {
	data := []byte(`{"order":"` + strings.Repeat("7", 450) + `"}`)
	events := make([]*cloudevent.Event, n)
	for i := range events {
		events[i] = &cloudevent.Event{
			ID: fmt.Sprint("orders-3-", 100000+i), Source: "fiso-flow/orders", Type: "order.created", Subject: fmt.Sprint("o-", i),
			Time: time.UnixMilli(1700000000123).UTC(), DataContentType: "application/json", Data: cloudevent.Bytes(data),
		}
	}
	return events
}

func TestSink_allocatesLittle(t *testing.T) {
	s, events := New(io.Discard), many(100)
	got := testing.AllocsPerRun(200, func() {
		if errs := s.SendBatch(t.Context(), events); errs != nil {
			t.Fatal(errs)
		}
	})
	if got > 0 && !raceEnabled {
		t.Errorf("%v allocations a batch of 100; want none", got)
	}
}
