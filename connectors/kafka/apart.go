package kafka

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// singleRefusals writes records that must not share a batch with any others: those above
// the topic's limit, and those of a batch that the broker refused.
//
// A broker judges a batch as a whole, franz-go fails with it every record that
// waits for the same partition, and it does not pass on what the answer says of
// single records (KIP-467). So records that were refused together are written
// again in halves, one batch after the other and in their order, until the
// batch that is refused holds one record.
type singleRefusals struct {
	client *kgo.Client              // flushes when told to, and takes batches of any size
	limit  func(topic string) int32 // the largest batch of a topic

	mu      sync.Mutex
	queue   []*sent
	running bool
}

// add queues a record. It does not block.
func (a *singleRefusals) add(s *sent) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queue = append(a.queue, s)
	if !a.running {
		a.running = true
		go a.run() // ends with the queue
	}
}

func (a *singleRefusals) run() {
	for group := a.next(); group != nil; group = a.next() {
		a.split(group)
	}
}

// next is all that is queued.
func (a *singleRefusals) next() []*sent {
	a.mu.Lock()
	defer a.mu.Unlock()
	group := a.queue
	a.queue = nil
	a.running = group != nil
	return group
}

// split writes the records in halves, and those that are refused together in
// halves of these.
func (a *singleRefusals) split(group []*sent) {
	most := (len(group) + 1) / 2
	for len(group) > 0 {
		n := a.fit(group[:min(most, len(group))])
		if refused := a.write(group[:n]); len(refused) > 0 {
			a.split(refused)
		}
		group = group[n:]
	}
}

// fit is how many of the records, from the first on, one batch takes.
func (a *singleRefusals) fit(group []*sent) int {
	size := group[0].size
	for n := 1; n < len(group); n++ {
		if size += group[n].size; size > int64(a.limit(group[n].record.Topic)) {
			return n
		}
	}
	return len(group)
}

// write writes the records, in one batch for each partition, and waits for the
// answers. It returns those that were refused together: a refusal of one alone
// is its fate.
func (a *singleRefusals) write(group []*sent) (refused []*sent) {
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
