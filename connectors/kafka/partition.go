package kafka

import (
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// tp names a partition.
type tp struct {
	topic     string
	partition int32
}

// partition is one that the group gave to this member, whether or not an
// assignment reads it at the moment.
type partition struct {
	tp
	cl *kgo.Client

	// Guarded by session.mu:
	member   string      // of the group, that it was given to
	current  *assignment // nil until its start is known
	starting bool        // a goroutine finds out where to start

	mu          sync.Mutex
	holds       holdReason
	need        int64  // under holdBudget: what the next batch costs, 0 unknown
	problem     string // for a person; "" while all is well
	rewindDelay time.Duration
	restAt      int64 // the record that was last refused, which rest is about
}

// holdReason says why a partition is not fetched; several may hold at once.
type holdReason uint8

const (
	holdFull   holdReason = 1 << iota // enough is buffered
	holdStart                         // it is not known yet where to start
	holdGap                           // what should come next is not there
	holdError                         // the broker refused; asked again later
	holdBudget                        // there is no room to unpack the next batch
)

// hold pauses fetching for a reason, and reports whether it did not hold
// already. The lock is kept while franz-go is told, so that the last word is
// the right one.
func (p *partition) hold(why holdReason) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.holds&why != 0 {
		return false
	}
	if p.holds == 0 {
		p.cl.PauseFetchPartitions(map[string][]int32{p.topic: {p.partition}})
	}
	p.holds |= why
	return true
}

// release takes a reason back, and lets fetching go on with the last one.
func (p *partition) release(why holdReason) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.holds&why == 0 {
		return
	}
	p.holds &^= why
	if p.holds == 0 {
		p.cl.ResumeFetchPartitions(map[string][]int32{p.topic: {p.partition}})
	}
}

// holding reports whether that reason holds.
func (p *partition) holding(why holdReason) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.holds&why != 0
}

func (p *partition) setProblem(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problem = s
}

func (p *partition) getProblem() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.problem
}
