package floor

import (
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// batch is one fetch. It counts its remaining records, and may be committed when they and all
// earlier batches are done.
type batch struct {
	all  []*kgo.Record
	last []*kgo.Record // by partition
	left atomic.Int64
	over chan struct{}
}

func newBatch(f kgo.Fetches) *batch {
	b := &batch{over: make(chan struct{}), all: make([]*kgo.Record, 0, f.NumRecords())}
	b.left.Store(int64(f.NumRecords()))
	f.EachPartition(func(p kgo.FetchTopicPartition) {
		if n := len(p.Records); n > 0 {
			b.last = append(b.last, p.Records[n-1])
		}
	})
	return b
}

func (b *batch) done(n int) {
	if b.left.Add(-int64(n)) == 0 {
		close(b.over)
	}
}

// commit marks batches for commit in order, as they become done. It stops when stopped is closed.
func commit(cl *kgo.Client, batches <-chan *batch, stopped <-chan struct{}) {
	for b := range batches {
		select {
		case <-b.over:
		case <-stopped:
		}
		select {
		case <-b.over:
			cl.MarkCommitRecords(b.last...)
		default:
			return
		}
	}
}
