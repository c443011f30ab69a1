package delivery

import (
	"context"
	"fmt"
	"hash/maphash"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

var benchEvent = &cloudevent.Event{ID: "1", Source: "s", Type: "t"}

// runBench measures an engine over b.N messages of that many partitions and keys,
// with a sink that calls f. Messages are allocated together, as by a source.
func runBench(b *testing.B, cfg Config, partitions, keys int, f func(context.Context) error) {
	st := &testVersion{
		Transformer: transformFunc(func(context.Context, *connector.Message) (*cloudevent.Event, error) { return benchEvent, nil }),
		Sink:        sinkFunc(func(ctx context.Context, _ *cloudevent.Event) error { return f(ctx) }),
	}
	e := newEngine(cfg, st)
	feed(b, partitions, keys, e.Run)
	b.ReportMetric(float64(e.version.Load().outputs[0].concurrency.Workers()), "limit")
}

// feed measures run over b.N messages.
func feed(b *testing.B, partitions, keys int, run func(context.Context, connector.Source) error) {
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
				a := connector.NewAssignment(ctx, "bench")
				var open sync.WaitGroup
				open.Add(n)
				end := &countdown{&open}
				ms := make([]*connector.Message, 0, 256)
				for i := 0; i < n; i += cap(ms) {
					slab := make([]connector.Message, min(cap(ms), n-i))
					ms = ms[:0]
					for j := range slab {
						slab[j].Key = names[(i+j)%keys]
						slab[j].Bind(end)
						ms = append(ms, &slab[j])
					}
					h(a, ms)
				}
				open.Wait()
			})
		}
		feeds.Wait()
		return nil
	})
	b.ReportAllocs()
	b.ResetTimer()
	if err := run(b.Context(), src); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

type countdown struct{ *sync.WaitGroup }

func (c *countdown) Settled(*connector.Message, error) { c.Done() }
func (c *countdown) SettledBatch(ms []*connector.Message, err error) {
	for _, m := range ms {
		m.Settler().Settled(m, err) // of any partition
	}
}

func BenchmarkLanes(b *testing.B) {
	for _, partitions := range []int{1, 8, 64} {
		for _, keys := range []int{1, 10_000} {
			b.Run(fmt.Sprintf("partitions=%d/keys=%d", partitions, keys), func(b *testing.B) {
				runBench(b, Config{}, partitions, keys, func(context.Context) error { return nil })
			})
		}
	}
}

// BenchmarkFiltered is the cost of an event that the transformer filters.
func BenchmarkFiltered(b *testing.B) {
	nothing := transformFunc(func(context.Context, *connector.Message) (*cloudevent.Event, error) { return nil, nil })
	for _, partitions := range []int{1, 64} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			e := newEngine(Config{}, &testVersion{Transformer: nothing})
			feed(b, partitions, 10_000, e.Run)
		})
	}
}

// BenchmarkBatches is the cost of an event in a batch of a hundred.
func BenchmarkBatches(b *testing.B) {
	for _, partitions := range []int{1, 64} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			e := newEngine(Config{}, &testVersion{
				Batch:       &Batch{},
				Transformer: transformFunc(func(context.Context, *connector.Message) (*cloudevent.Event, error) { return benchEvent, nil }),
				Sink:        batchFunc(func(context.Context, []*cloudevent.Event) []error { return nil }),
			})
			feed(b, partitions, 10_000, e.Run)
		})
	}
}

// BenchmarkSlowSink is the share of the best rate of 1,024 concurrent calls of 20 ms,
// 51,200 a second, that the engine reaches.
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

// spin is work of about ten microseconds of a core, as an HTTP call costs.
func spin(context.Context) error {
	n := sink.Load()
	for range 20_000 {
		n = n*6364136223846793005 + 1442695040888963407
	}
	if n == 42 {
		sink.Store(n)
	}
	return nil
}

var sink atomic.Uint64 // keeps the work from being optimised away

// BenchmarkSpin is the engine on the work that BenchmarkFloor does with the
// least a Go program could: sixteen workers, a channel each, order by key.
func BenchmarkSpin(b *testing.B) {
	for _, partitions := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			runBench(b, Config{}, partitions, 10_000, spin)
		})
	}
}

func BenchmarkFloor(b *testing.B) {
	for _, partitions := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) { feed(b, partitions, 10_000, floor) })
	}
}

func floor(ctx context.Context, src connector.Source) error {
	var workers sync.WaitGroup
	lanes := make([]chan *connector.Message, 16)
	for i := range lanes {
		lanes[i] = make(chan *connector.Message, 64)
		workers.Go(func() {
			for m := range lanes[i] {
				m.Settle(spin(ctx))
			}
		})
	}
	seed := maphash.MakeSeed()
	err := src.Run(ctx, connector.Each(func(_ context.Context, m *connector.Message) {
		lanes[maphash.Bytes(seed, m.Key)%16] <- m
	}))
	for _, l := range lanes {
		close(l)
	}
	workers.Wait()
	return err
}
