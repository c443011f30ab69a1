package rounds

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lsm/fiso/e2e/bench/internal/fixture"
	"github.com/lsm/fiso/e2e/internal/process"
)

// figures are the results of one run.
type figures struct {
	Rate     float64 // events per second
	CPU      time.Duration
	Mallocs  float64 // allocations per event, in the whole process
	Peak     int64   // bytes
	P50, P99 time.Duration
	Sum      uint64
}

func (f figures) String() string {
	return fmt.Sprintf("%8.0f/s %6.1f µs CPU %5.1f allocs %4d MiB  p50 %v p99 %v",
		f.Rate, micros(f.CPU), f.Mallocs, f.Peak>>20, f.P50.Round(10*time.Microsecond), f.P99.Round(10*time.Microsecond))
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// sample is a snapshot of the counters.
type sample struct {
	at      time.Time
	count   float64 // records that are done
	cpu     time.Duration
	mallocs float64
}

// measure measures from the end of the warm-up to the arrival of the last event.
func measure(ctx context.Context, s Scenario, p *process.Process, metrics string, counter *fixture.Counter) (f figures, err error) {
	if err := await(ctx, p, counter.Warm); err != nil {
		return f, err
	}
	from, err := take(ctx, p, metrics)
	if err != nil {
		return f, err
	}
	from.at, from.count = time.Now(), float64(counter.Count())
	if s.Records.Rare {
		from.count = 0 // only the first and the last events arrive
	}
	if err := await(ctx, p, counter.Done); err != nil {
		return f, err
	}
	to, err := take(ctx, p, metrics)
	if err != nil {
		return f, err
	}
	n := float64(s.Records.Count) - from.count
	if n <= 0 {
		return f, errors.New("the run ended before it could be measured: use more events")
	}
	f.Rate = n / counter.End().Sub(from.at).Seconds()
	f.CPU = time.Duration(float64(to.cpu-from.cpu) / n)
	f.Mallocs = (to.mallocs - from.mallocs) / n
	f.P50, f.P99 = counter.Latency(0.5), counter.Latency(0.99)
	f.Sum = counter.Sum()
	f.Peak, err = p.Peak()
	return f, err
}

func take(ctx context.Context, p *process.Process, metrics string) (s sample, err error) {
	if s.cpu, err = p.CPU(); err != nil {
		return s, err
	}
	s.mallocs, err = mallocs(ctx, metrics)
	return s, err
}

func await(ctx context.Context, p *process.Process, what <-chan struct{}) error {
	select {
	case <-what:
		return nil
	case <-p.Ended():
		return fmt.Errorf("the process ended: %w", p.Failure())
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
