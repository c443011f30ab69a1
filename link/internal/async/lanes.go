package async

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/lsm/fiso/common/connector"
)

// queueBytes is how much may be handed over and not settled, for each worker.
const queueBytes = 16 << 20

// lanes do the work of messages: those with the same key in a partition one after
// the other, all others side by side. What waits is bounded, in number and bytes.
type lanes struct {
	work func(context.Context, *connector.Message)
	room *semaphore.Weighted
	// least is what a small message counts as, so that the room bounds their
	// number too.
	least int64

	mu   sync.Mutex
	busy map[lane][]queued // what waits behind the message at work
	all  sync.WaitGroup
}

type lane struct {
	partition int32
	key       string
}

type queued struct {
	ctx    context.Context //nolint:containedctx // of the message's assignment, which ends with it
	m      *connector.Message
	weight int64
}

// newLanes has room for so many messages.
func newLanes(most int, work func(context.Context, *connector.Message)) *lanes {
	return &lanes{work: work, room: semaphore.NewWeighted(queueBytes), least: queueBytes / int64(most), busy: make(map[lane][]queued)}
}

// put hands a message over. It waits for room, which is the back-pressure; false:
// ctx ended first.
func (l *lanes) put(ctx context.Context, m *connector.Message) bool {
	q := queued{ctx, m, min(max(weight(m), l.least), queueBytes)}
	if l.room.Acquire(ctx, q.weight) != nil {
		return false
	}
	if m.Key == nil {
		l.all.Go(func() { l.do(q) })
		return true
	}
	in := lane{m.Position.Partition, string(m.Key)}
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting, busy := l.busy[in]
	if busy {
		l.busy[in] = append(waiting, q)
		return true
	}
	l.busy[in] = nil
	l.all.Go(func() {
		for more := true; more; q, more = l.next(in) {
			l.do(q)
		}
	})
	return true
}

func (l *lanes) do(q queued) {
	defer l.room.Release(q.weight)
	l.work(q.ctx, q.m)
}

// next is the message that waited longest in a lane; false: none did, and the
// lane is gone.
func (l *lanes) next(in lane) (queued, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting := l.busy[in]
	if len(waiting) == 0 {
		delete(l.busy, in)
		return queued{}, false
	}
	l.busy[in] = waiting[1:]
	return waiting[0], true
}

// wait returns once nothing is at work or waits. Nothing is put meanwhile.
func (l *lanes) wait() { l.all.Wait() }

func weight(m *connector.Message) int64 {
	n := len(m.Key) + len(m.Value)
	for i := range m.Headers {
		n += len(m.Headers[i].Key) + len(m.Headers[i].Value)
	}
	return int64(n)
}
