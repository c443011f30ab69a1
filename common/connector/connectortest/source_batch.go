package connectortest

import (
	"context"
	"testing"

	"github.com/lsm/fiso/common/connector"
)

// inBatches is a scenario in which the source hands over by RunBatches. What
// is promised of a batch itself is asserted on the way.
func inBatches(run func(testing.TB, Features, NewSource)) func(testing.TB, Features, NewSource) {
	return func(t testing.TB, f Features, n NewSource) {
		run(t, f, func(t testing.TB) SourceHarness {
			h := n(t)
			made := h.New
			h.New = func(t testing.TB) connector.Source {
				t.Helper()
				src := made(t)
				b, ok := src.(connector.BatchSource)
				if !ok {
					t.Fatalf("%T is no connector.BatchSource", src)
				}
				if _, reports := src.(connector.Reporter); reports {
					return reportingBatches{batches{t, b}}
				}
				return batches{t, b}
			}
			return h
		})
	}
}

// batches is a source by its RunBatches.
type batches struct {
	t   testing.TB
	src connector.BatchSource
}

// reportingBatches is one that reports, too.
type reportingBatches struct{ batches }

func (b reportingBatches) Status() connector.Status {
	return b.src.(connector.Reporter).Status() //nolint:forcetypeassert // looked at before
}

func (b batches) Run(ctx context.Context, handle connector.Handler) error {
	return b.src.RunBatches(ctx, func(ctx context.Context, ms []*connector.Message) {
		if len(ms) == 0 {
			b.t.Errorf("a batch of no message was handed over")
			return
		}
		at := ms[0].Position
		for i, m := range ms {
			if p := m.Position; p.Topic != at.Topic || p.Partition != at.Partition {
				b.t.Errorf("%s and %s are in one batch, and of different partitions", ms[0].Position, p)
			} else if p.Known() && i > 0 && p.Offset <= ms[i-1].Position.Offset {
				b.t.Errorf("%s comes after %s in a batch", p, ms[i-1].Position)
			}
		}
		for _, m := range ms {
			handle(ctx, m)
		}
	})
}
