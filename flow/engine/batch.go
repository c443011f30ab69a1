package engine

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// batch is events that are sent together: the heads of as many lanes, so that
// two events of a key are never in flight at once, in one batch or in two.
type batch struct {
	stage *stage
	items []*item
	bytes int64
	due   time.Time
	// behind: an event waits for one of these to be done.
	behind bool

	// Of its call; made when a worker takes it.
	ctx    context.Context
	cancel context.CancelFunc
}

// join puts a lane's head, made and ready, into the batch that is collecting,
// and seals it when it is full. Called with the lock held.
func (e *Engine) join(l *lane, st *stage) {
	size := int64(l.head.event.Data.Len())
	if st.open != nil && st.open.bytes+size > st.batch.MaxBytes {
		e.seal(st.open)
	}
	if st.open == nil {
		st.open = &batch{stage: st, due: time.Now().Add(st.batch.MaxWait), items: make([]*item, 0, st.batch.MaxEvents)}
		e.remind(st.open.due)
	}
	b := st.open
	l.place = joined
	b.items = append(b.items, l.head)
	b.bytes += size
	b.behind = b.behind || l.head.next != nil
	if len(b.items) >= st.batch.MaxEvents || b.bytes >= st.batch.MaxBytes {
		e.seal(b)
		return
	}
	e.hurry()
}

// hurry seals a batch when all work is in it and it is an eager one, or waiting
// would be in vain: the source waits for room, or an event waits behind one of
// the batch. A flow of a single key, or one that keeps the order of partitions,
// would otherwise wait MaxWait for every event. It reports whether it sealed one.
func (e *Engine) hurry() bool {
	st := e.stage.Load()
	b := st.open
	if b == nil || e.ready.n > 0 || e.making > 0 || e.working != len(b.items) {
		return false
	}
	if !st.batch.Eager && !b.behind && len(e.blocked) == 0 {
		return false
	}
	e.seal(b)
	return true
}

// seal closes a batch to newcomers and gives it to the next worker.
func (e *Engine) seal(b *batch) {
	b.stage.open = nil
	e.sealed = append(e.sealed, b)
	e.rouse(1)
}

// expel takes lanes for which gone holds out of the batch that is collecting:
// they were not begun.
func (e *Engine) expel(st *stage, gone func(*lane) bool) {
	if st.open == nil {
		return
	}
	left := st.open.items[:0]
	for _, it := range st.open.items {
		if !gone(it.lane) {
			left = append(left, it)
			continue
		}
		st.open.bytes -= int64(it.event.Data.Len())
		e.working--
		st.done()
	}
	if st.open.items = left; len(left) == 0 {
		st.open = nil
	}
}

// flush sends a batch. Each event has its own verdict, and only those that
// failed are sent again (https://github.com/redpanda-data/connect/issues/4400).
func (e *Engine) flush(b *batch) {
	defer b.cancel()
	b.heed()
	spans := e.startSends(b)
	begun := time.Now()
	errs := e.sendBatch(b)
	now := time.Now()
	e.cfg.Observer.Took(PhaseSink, now.Sub(begun), 1)
	for i, span := range spans {
		endSend(span, errOf(errs, i))
	}
	if errs == nil {
		e.settleAll(b.items, Delivered, now)
		e.concludeAll(b, nil)
		return
	}
	outs := make([]outcome, len(b.items))
	single := len(b.items) > 1 && allPermanent(errs) && b.ctx.Err() == nil
	for i, it := range b.items {
		if single {
			it.single = true
			outs[i] = outcome{kind: again, err: errs[i]}
			continue
		}
		outs[i] = e.verdict(b.ctx, it, errs[i], now)
	}
	e.concludeAll(b, outs)
}

// concludeAll is conclude for the events of a batch; nil outcomes say that all
// were delivered.
func (e *Engine) concludeAll(b *batch, outs []outcome) {
	var back []*item
	e.mu.Lock()
	delete(e.sending, b)
	before := e.ready.n
	for i, it := range b.items {
		out := outcome{kind: delivered}
		if outs != nil {
			out = outs[i]
		}
		if !e.conclude(it, out) {
			back = append(back, it)
		}
	}
	e.rouse(e.ready.n - before)
	e.mu.Unlock()
	if len(back) == 0 {
		return
	}
	e.settleAll(back, Interrupted, time.Now())
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, it := range back {
		e.conclude(it, outcome{kind: settled})
	}
}

// heed ends a batch's call when that of one of its events has ended before the
// batch was in anybody's hands. From then on cut does: an assignment that must
// be let go ends the call for all, and the others are sent again.
func (b *batch) heed() {
	for _, it := range b.items {
		if it.call.Err() != nil {
			b.cancel()
			return
		}
	}
}

// allPermanent says that a batch was refused as a whole. Which of its events
// the sink cannot bear is then unknown, and a bad one must not take its
// neighbours with it.
func allPermanent(errs []error) bool {
	for _, err := range errs {
		if err == nil || connector.ClassOf(err) != connector.Permanent {
			return false
		}
	}
	return true
}

// sendBatch returns one result an event, whatever the sink does, or nil when
// all were delivered.
func (e *Engine) sendBatch(b *batch) (errs []error) {
	n := len(b.items)
	defer func() {
		if r := recover(); r != nil {
			it := b.items[0]
			errs = repeat(e.panicked(e.context(it.call, it), it.m, "sink", r), n)
		}
	}()
	events := make([]*cloudevent.Event, n)
	for i, it := range b.items {
		events[i] = it.event
	}
	errs = b.stage.batches.SendBatch(b.ctx, events)
	switch len(errs) {
	case n:
		for _, err := range errs {
			if err != nil {
				return errs
			}
		}
		return nil
	case 0:
		return nil
	default:
		return repeat(fmt.Errorf("the sink gave %d results for a batch of %d", len(errs), n), n)
	}
}

func repeat(err error, n int) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// errOf is the result of one event of a batch.
func errOf(errs []error, i int) error {
	if errs == nil {
		return nil
	}
	return errs[i]
}

// startSends begins a span for each event of a batch; nil without tracing.
func (e *Engine) startSends(b *batch) []trace.Span {
	if e.cfg.Tracer == nil {
		return nil
	}
	spans := make([]trace.Span, len(b.items))
	for i, it := range b.items {
		_, spans[i] = e.startSend(b.ctx, it)
	}
	return spans
}
