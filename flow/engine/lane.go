package engine

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/flow/deadletter"
)

// item is one accepted event on its way to being settled. Its links, place and
// held belong to the engine's lock; the rest to whoever works on it.
type item struct {
	m        *connector.Message
	lane     *lane
	next     *item // behind it in its lane
	older    *item // accepted before it in its shard
	newer    *item
	size     int64
	accepted time.Time

	// What was achieved so far, on stage; void on any other.
	stage   *stage
	event   *cloudevent.Event  // made by the processor
	failed  error              // of the processor, and not judged yet
	letter  *deadletter.Letter // given up, to be stored
	retries int                // counted against MaxRetries
	pauses  int                // since it began; each is longer than the last
	single  bool               // not to be sent in a batch again

	call context.Context // of calls on the current stage
	span trace.Span      // nil without tracing
	held string          // why it is held, for a person; "" when it is not
}

// begin makes the item an untouched one again, to be worked on by st.
func (it *item) begin(st *stage) {
	it.stage, it.event, it.failed, it.letter = st, nil, nil, nil
	it.retries, it.pauses, it.single = 0, 0, false
}

// place is where a lane is. It is in one place at a time, which is what keeps
// two of its events from being side by side.
type place uint8

const (
	ready   place = iota // in the queue of those that a worker may take
	working              // its head is in a worker's hands
	joined               // its head is in a batch
	paused               // its head waits for a time
	lined                // its head waits for the line to move
	over                 // it has no event and is in nobody's hands
)

// lane is a queue of events that are worked on one after the other: those of
// one key, of one partition, or a single event that keeps no order.
type lane struct {
	shard      *shard
	hash       uint64 // its name in the shard's lanes
	named      bool   // it is in the shard's lanes
	place      place
	head, tail *item
	next       *lane     // in the ready queue
	due        time.Time // while paused
	index      int       // in the pauses' heap, while paused
}

func (l *lane) push(it *item) {
	it.lane = l
	if l.head == nil {
		l.head = it
	} else {
		l.tail.next = it
	}
	l.tail = it
}

// queue is lanes in the order they became ready.
type queue struct {
	head, tail *lane
	n          int
}

func (q *queue) push(l *lane) {
	l.place, l.next = ready, nil
	if q.head == nil {
		q.head = l
	} else {
		q.tail.next = l
	}
	q.tail = l
	q.n++
}

func (q *queue) pop() *lane {
	l := q.head
	if l != nil {
		q.head, l.next = l.next, nil
		q.n--
	}
	return l
}

// remove takes lanes out for which gone holds.
func (q *queue) remove(gone func(*lane) bool) {
	old := *q
	*q = queue{}
	for l := old.pop(); l != nil; l = old.pop() {
		if !gone(l) {
			q.push(l)
		}
	}
}

// pauses is a heap of paused lanes, the next due first (container/heap).
type pauses []*lane

func (p pauses) Len() int           { return len(p) }
func (p pauses) Less(i, j int) bool { return p[i].due.Before(p[j].due) }
func (p pauses) Swap(i, j int) {
	p[i], p[j] = p[j], p[i]
	p[i].index, p[j].index = i, j
}

func (p *pauses) Push(x any) {
	l := x.(*lane) //nolint:forcetypeassert // only lanes are pushed
	l.index = len(*p)
	*p = append(*p, l)
}

func (p *pauses) Pop() any {
	old := *p
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*p = old[:len(old)-1]
	return l
}
