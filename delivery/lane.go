package delivery

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/deadletter"
)

// entry is a message that was accepted and is not settled. Its fields belong to
// the engine's lock, but open, and what only the holder of its task changes.
type entry struct {
	m        *connector.Message
	in       *assignment
	older    *entry // accepted before it in its assignment
	newer    *entry
	size     int64
	accepted time.Time
	hash     uint64     // the name of its lanes
	ordered  bool       // it has lanes by that name
	span     trace.Span // nil without tracing

	// pending counts what is not done: deliveries, and the transform where it is
	// still to come. Who brings it to 0 settles the message.
	pending     atomic.Int32
	calls       int    // tasks of it in workers' hands, of any version
	placeholder bool   // it is no message: it stands for those of an intake
	first       task   // its transform, and then its first delivery
	rest        []task // further deliveries
	retransform *task  // its transform on a newer version, while calls of an older one go on
	// achieved are deliveries that are done on a version that was replaced.
	achieved []doneDelivery
	worstEnd atomic.Int32 // of the ends of its deliveries so far
}

// reset makes an entry one that was never used.
func (en *entry) reset() {
	en.pending.Store(0)
	en.worstEnd.Store(0)
	en.m, en.in, en.older, en.newer, en.span = nil, nil, nil, nil, nil
	en.first, en.rest, en.retransform, en.achieved = task{}, nil, nil, nil
	en.size, en.hash, en.ordered, en.calls, en.placeholder = 0, 0, false, 0, false
}

// doneDelivery names a delivery that is done, whatever the version.
type doneDelivery struct {
	output string
	part   int
}

// task is work on an entry at one step: the transform, or a delivery. Its lane,
// links and held belong to the engine's lock; the rest to the worker that has
// it, and to nobody else.
type task struct {
	entry *entry
	step  *step
	lane  *lane
	next  *task // behind it in its lane

	event *cloudevent.Event // to be delivered
	part  int               // see Routed
	// attachment is the transformer's, see Routed.
	attachment any
	routed     []Routed // transformed before its turn
	err        error    // of the transform: the message becomes a dead letter

	letter      *deadletter.Letter // given up, to be stored
	receipt     bool               // done, but for its receipt
	over        bool               // done, and its entry is not
	retries     int                // counted against MaxRetries
	pauses      int                // since it began; each is longer than the last
	answersSeen uint64             // of the destination when it last failed, see gate
	single      bool               // not to be sent in a batch again
	kept        bool               // it keeps its place at the step
	held        *hold              // nil: it is not

	call context.Context // of its calls
}

// laneState is where a lane is. It is in one place at a time, which keeps two of
// its tasks from being side by side.
type laneState uint8

const (
	laneReady   laneState = iota // in the queue of its step
	laneWorking                  // its head is in a worker's hands, or in a batch that is sent
	laneJoined                   // its head is in a batch that collects
	lanePaused                   // its head waits for a time
	laneGated                    // its head waits for the gate
	laneBlocked                  // its head waits for calls of an older version
	laneOver                     // it has no task and is in nobody's hands
)

// lane is a queue of tasks that one step works on one after the other: those of
// one key, of one partition, or a single task that keeps no order.
type lane struct {
	in         *assignment
	step       *step
	hash       uint64 // its name among the step's lanes of the assignment
	named      bool   // it is there
	state      laneState
	head, tail *task
	next       *lane     // in the ready queue
	due        time.Time // while paused
	index      int       // in the pauses' heap, while paused
}

func (l *lane) push(t *task) {
	t.lane, t.next = l, nil
	if l.head == nil {
		l.head = t
	} else {
		l.tail.next = t
	}
	l.tail = t
}

// queue is lanes in the order they became ready.
type queue struct {
	head, tail *lane
	n          int
}

func (q *queue) push(l *lane) {
	l.state, l.next = laneReady, nil
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

// remove takes out lanes for which gone holds.
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

// Push is heap.Interface's.
func (p *pauses) Push(x any) {
	l := x.(*lane) //nolint:forcetypeassert // only lanes are pushed
	l.index = len(*p)
	*p = append(*p, l)
}

// Pop is heap.Interface's.
func (p *pauses) Pop() any {
	old := *p
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*p = old[:len(old)-1]
	return l
}
