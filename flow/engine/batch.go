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
}

// join puts a lane's head, made and ready, into the batch that is collecting,
// and seals it when it is full. Called with the lock held.
func (e *Engine) join(l *lane, st *stage) {
	size := int64(len(l.head.event.Data))
	if st.open != nil && st.open.bytes+size > st.batch.MaxBytes {
		e.seal(st.open)
	}
	if st.open == nil {
		st.open = &batch{stage: st, due: time.Now().Add(st.batch.MaxWait), items: make([]*item, 0, st.batch.MaxEvents)}
		e.remind()
	}
	b := st.open
	l.place = joined
	b.items = append(b.items, l.head)
	b.bytes += size
	if len(b.items) >= st.batch.MaxEvents || b.bytes >= st.batch.MaxBytes {
		e.seal(b)
		return
	}
	e.hurry()
}

// hurry seals a batch that nothing more can join: all work is in it, and the
// source waits for room. A flow of a single key would otherwise wait MaxWait
// for every event.
func (e *Engine) hurry() {
	if b := e.stage.Load().open; b != nil && e.ready.n == 0 && e.working == len(b.items) && len(e.blocked) > 0 {
		e.seal(b)
	}
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
		st.open.bytes -= int64(len(it.event.Data))
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
	ctx, cancel := b.context()
	defer cancel()
	spans := e.startSends(ctx, b)
	begun := time.Now()
	errs := e.sendBatch(ctx, b)
	now := time.Now()
	e.cfg.Observer.Took(PhaseSink, now.Sub(begun))

	outs := make([]outcome, len(b.items))
	single := len(b.items) > 1 && allPermanent(errs) && ctx.Err() == nil
	for i, it := range b.items {
		if spans != nil {
			endSend(spans[i], errs[i])
		}
		if single {
			it.single = true
			outs[i] = outcome{kind: again, err: errs[i]}
			continue
		}
		outs[i] = e.verdict(ctx, it, errs[i], now)
	}
	e.concludeAll(b.items, outs)
}

// concludeAll is conclude for the events of a batch.
func (e *Engine) concludeAll(items []*item, outs []outcome) {
	var back []*item
	e.mu.Lock()
	for i, it := range items {
		if !e.conclude(it, outs[i]) {
			back = append(back, it)
		}
	}
	e.rouse(e.ready.n)
	e.mu.Unlock()
	for _, it := range back {
		e.settle(it, Interrupted, time.Now())
		e.mu.Lock()
		e.conclude(it, outcome{kind: settled})
		e.mu.Unlock()
	}
}

// context is that of the batch's call. It ends with the first of its events'
// own: one assignment that must be let go ends the call for all, and the others
// are sent again.
func (b *batch) context() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.items[0].call))
	stops := make(map[context.Context]func() bool, 1)
	for _, it := range b.items {
		if stops[it.call] == nil {
			stops[it.call] = context.AfterFunc(it.call, cancel)
		}
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
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

// sendBatch returns one result an event, whatever the sink does.
func (e *Engine) sendBatch(ctx context.Context, b *batch) (errs []error) {
	n := len(b.items)
	defer func() {
		if r := recover(); r != nil {
			errs = repeat(e.panicked(b.items[0], "sink", r), n)
		}
	}()
	events := make([]*cloudevent.Event, n)
	for i, it := range b.items {
		events[i] = it.event
	}
	errs = b.stage.batches.SendBatch(ctx, events)
	switch len(errs) {
	case n:
		return errs
	case 0:
		return make([]error, n)
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

// startSends begins a span for each event of a batch; nil without tracing.
func (e *Engine) startSends(ctx context.Context, b *batch) []trace.Span {
	if e.cfg.Tracer == nil {
		return nil
	}
	spans := make([]trace.Span, len(b.items))
	for i, it := range b.items {
		_, spans[i] = e.startSend(ctx, it)
	}
	return spans
}
