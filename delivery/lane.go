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

// entry is a message that was accepted and is not settled. The engine's lock
// guards its fields, except pending and worstEnd, and what only the worker that
// has its task changes.
type entry struct {
	m        *connector.Message
	in       *assignment
	older    *entry // accepted before it in its assignment
	newer    *entry
	size     int64
	accepted time.Time
	hash     uint64     // the name of its lanes
	ordered  bool       // it has lanes of that name
	span     trace.Span // nil without tracing

	// pending counts the tasks that are not done: deliveries, and the
	// transform if it is still to come. The task that brings it to 0 settles
	// the message.
	pending     atomic.Int32
	calls       int    // tasks of it that workers have, of any version
	placeholder bool   // it is no message: it takes the place of those of an intake
	first       task   // its transform, and then its first delivery
	rest        []task // further deliveries
	retransform *task  // its transform on a newer version, while it has calls under way on an older one
	// achieved are the deliveries that were done on a version that was
	// replaced.
	achieved []doneDelivery
	// givenUpAt are the outputs that count it as given up because of the sink.
	givenUpAt []*step
	worstEnd  atomic.Int32 // the gravest Status of its deliveries so far
}

// reset clears an entry for its next use.
func (en *entry) reset() {
	en.pending.Store(0)
	en.worstEnd.Store(0)
	en.m, en.in, en.older, en.newer, en.span = nil, nil, nil, nil, nil
	en.first, en.rest, en.retransform, en.achieved, en.givenUpAt = task{}, nil, nil, nil, nil
	en.size, en.hash, en.ordered, en.calls, en.placeholder = 0, 0, false, 0, false
}

// doneDelivery names a delivery that is done, independent of the version.
type doneDelivery struct {
	output string
	part   int
}

// task is work on an entry at one step: the transform, or a delivery. The
// engine's lock guards its lane, next and held. Its other fields belong to the
// worker that has the task, or to the lock while no worker has it.
type task struct {
	entry *entry
	step  *step
	lane  *lane
	next  *task // behind it in its lane

	event *cloudevent.Event // to be delivered
	part  int               // see Routed
	// attachment is the transformer's, see Routed.
	attachment any
	routed     []Routed // its events, if it was transformed before its turn
	err        error    // of the transform: the message becomes a dead letter

	letter      *deadletter.Letter // the dead letter to store; nil: not given up
	receipt     bool               // only its receipt is missing
	delivered   bool               // the gate knows that it was delivered
	done        bool               // its entry has other tasks that are not
	retries     int                // counted against MaxRetries
	pauses      int                // since it began; the backoff grows with it
	answersSeen uint64             // gate.answers when it last failed or began
	single      bool               // not to be sent in a batch again
	kept        bool               // it keeps its place at the step, see countKept
	held        *hold              // nil: not held

	call context.Context // of its calls
}

// laneState is where a lane is. A lane has one state at a time, so two of its
// tasks are never under way together.
type laneState uint8

const (
	laneReady   laneState = iota // in a queue of its step
	laneWorking                  // a worker has its head, or its head is in a batch that is sealed or sent
	laneJoined                   // its head is in the batch that collects
	lanePaused                   // its head waits until a time
	laneGated                    // its head waits for the gate
	laneBlocked                  // its head waits for calls on an older version, or for the end of its assignment
	laneOver                     // it has no task left, or its assignment ended
)

// lane is a queue of tasks that a step works on one after the other: the tasks
// of one key, of one partition, or a single task without order.
type lane struct {
	in         *assignment
	step       *step
	hash       uint64 // its name in the lane table
	named      bool   // it is in the lane table
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

// queue holds lanes in the order in which they became ready.
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

// remove removes the lanes for which gone is true.
func (q *queue) remove(gone func(*lane) bool) {
	old := *q
	*q = queue{}
	for l := old.pop(); l != nil; l = old.pop() {
		if !gone(l) {
			q.push(l)
		}
	}
}

// pauses is a heap of paused lanes, the one due next first (container/heap).
type pauses []*lane

func (p pauses) Len() int           { return len(p) }
func (p pauses) Less(i, j int) bool { return p[i].due.Before(p[j].due) }
func (p pauses) Swap(i, j int) {
	p[i], p[j] = p[j], p[i]
	p[i].index, p[j].index = i, j
}

// Push implements heap.Interface.
func (p *pauses) Push(x any) {
	l := x.(*lane) //nolint:forcetypeassert // only lanes are pushed
	l.index = len(*p)
	*p = append(*p, l)
}

// Pop implements heap.Interface.
func (p *pauses) Pop() any {
	old := *p
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*p = old[:len(old)-1]
	return l
}
