package engine

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

var benchEvent = &cloudevent.Event{ID: "1", Source: "s", Type: "t"}

// run measures an engine over b.N messages of so many partitions and keys,
// against a sink that does f. Messages come from a slab, as a source's would.
func runBench(b *testing.B, cfg Config, partitions, keys int, f func(context.Context) error) {
	st := &Stage{
		Processor: processorFunc(func(context.Context, *connector.Message) (*cloudevent.Event, error) { return benchEvent, nil }),
		Sink:      sinkFunc(func(ctx context.Context, _ *cloudevent.Event) error { return f(ctx) }),
	}
	e := New(cfg, st)
	names := make([][]byte, keys)
	for i := range names {
		names[i] = []byte("customer-" + strconv.Itoa(i))
	}
	n := b.N/partitions + 1
	src := sourceFunc(func(ctx context.Context, h connector.Handler) error {
		var feeds sync.WaitGroup
		for range partitions {
			feeds.Go(func() {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				var open sync.WaitGroup
				open.Add(n)
				end := &countdown{&open}
				for i := 0; i < n; i += 512 {
					slab := make([]connector.Message, min(512, n-i))
					for j := range slab {
						slab[j].Key = names[(i+j)%keys]
						slab[j].Bind(end)
						h(ctx, &slab[j])
					}
				}
				open.Wait()
			})
		}
		feeds.Wait()
		return nil
	})
	b.ReportAllocs()
	b.ResetTimer()
	if err := e.Run(b.Context(), src); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(e.pace.limit), "limit")
}

type countdown struct{ *sync.WaitGroup }

func (c *countdown) Settled(*connector.Message, error) { c.Done() }

func BenchmarkLanes(b *testing.B) {
	for _, partitions := range []int{1, 8, 64} {
		for _, keys := range []int{1, 10_000} {
			b.Run(fmt.Sprintf("partitions=%d/keys=%d", partitions, keys), func(b *testing.B) {
				runBench(b, Config{}, partitions, keys, func(context.Context) error { return nil })
			})
		}
	}
}

// BenchmarkSlowSink says how much of what 1,024 concurrent calls of 20 ms could
// do at best, 51,200 a second, the engine reaches.
func BenchmarkSlowSink(b *testing.B) {
	for _, partitions := range []int{1, 8} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			runBench(b, Config{}, partitions, 100_000, func(context.Context) error {
				pass(20 * time.Millisecond)
				return nil
			})
			b.ReportMetric(100*float64(b.N)/b.Elapsed().Seconds()/51_200, "%best")
		})
	}
}
