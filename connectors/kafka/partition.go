package kafka

import (
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// tp identifies a partition.
type tp struct {
	topic     string
	partition int32
}

// partition is a partition that the group gave to this member, whether or not an
// assignment reads it now.
type partition struct {
	tp
	cl *kgo.Client

	// Guarded by session.mu:
	member   string      // id of the member that the group gave it to
	current  *assignment // nil until its start position is known
	starting bool        // a goroutine looks for the start position

	mu           sync.Mutex
	holds        holdReason
	need         int64  // under holdBudget: cost of the next batch in bytes; 0: unknown
	problem      string // shown in Status; "": none
	rewindDelay  time.Duration
	rewindOffset int64 // offset of the refused record that rewindDelay is for
}

// holdReason is why a partition is not fetched; several reasons may hold at once.
type holdReason uint8

const (
	holdFull   holdReason = 1 << iota // its buffer is full
	holdStart                         // its start position is not known yet
	holdGap                           // its next records are missing or too large
	holdError                         // a fetch failed; retried later
	holdBudget                        // no memory to unpack the next batch
)

// hold pauses fetching for a reason, and reports whether the reason is new. The lock
// covers the call of franz-go, so that hold and release reach franz-go in their order.
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

// release removes a reason, and resumes fetching when it was the last one.
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

// holding reports whether a reason holds.
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
