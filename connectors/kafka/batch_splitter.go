package kafka

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// batchSplitter writes records that must not share a batch with others: records above
// the topic's limit, and records of a batch that the broker refused.
//
// A broker accepts or refuses a batch as a whole, franz-go fails with it every record
// that waits for the same partition, and it does not pass on the errors of single
// records in the answer (KIP-467). So refused records are written again in halves, one
// batch after the other and in order, until a refused batch holds one record.
type batchSplitter struct {
	client   *kgo.Client              // flushes manually, and sends batches of any size
	maxBatch func(topic string) int32 // the largest batch of a topic

	mu      sync.Mutex
	queue   []*sent
	running bool
}

// add queues a record. It does not block.
func (a *batchSplitter) add(s *sent) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queue = append(a.queue, s)
	if !a.running {
		a.running = true
		go a.run() // ends with the queue
	}
}

func (a *batchSplitter) run() {
	for group := a.next(); group != nil; group = a.next() {
		a.split(group)
	}
}

// next takes all queued records.
func (a *batchSplitter) next() []*sent {
	a.mu.Lock()
	defer a.mu.Unlock()
	group := a.queue
	a.queue = nil
	a.running = group != nil
	return group
}

// split writes the records in halves, and splits each half that is refused.
func (a *batchSplitter) split(group []*sent) {
	most := (len(group) + 1) / 2
	for len(group) > 0 {
		n := a.fit(group[:min(most, len(group))])
		if refused := a.write(group[:n]); len(refused) > 0 {
			a.split(refused)
		}
		group = group[n:]
	}
}

// fit returns how many of the records, from the first on, fit one batch.
func (a *batchSplitter) fit(group []*sent) int {
	size := group[0].size
	for n := 1; n < len(group); n++ {
		if size += group[n].size; size > int64(a.maxBatch(group[n].record.Topic)) {
			return n
		}
	}
	return len(group)
}

// write writes the records, in one batch per partition, and waits for the answers. It
// returns the records that were refused together; a record that was refused alone gets
// that refusal as its outcome.
func (a *batchSplitter) write(group []*sent) (refused []*sent) {
	for _, s := range group {
		a.client.Produce(s.Context, &s.record, func(_ *kgo.Record, err error) { s.err = err })
	}
	_ = a.client.Flush(context.Background()) // ends with the last answer; each record has its own deadline
	for _, s := range group {
		if isAny(s.err, permanent) {
			refused = append(refused, s)
		} else {
			s.answered(s.err)
		}
	}
	if len(refused) == 1 {
		refused[0].answered(refused[0].err)
		return nil
	}
	return refused
}
