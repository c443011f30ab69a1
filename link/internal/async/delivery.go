package async

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/link/internal/resilience"
)

// handle makes one call, and settles its message.
func (w *Worker) handle(ctx context.Context, m *connector.Message) {
	if ctx.Err() != nil {
		m.Settle(connector.ErrInterrupted) // it waited for another one, and goes back
		return
	}
	late, cancel := w.patient(ctx)
	defer cancel()
	d := delivery{w: w, m: m, well: w.well.Load()}
	defer func() {
		if recover() == nil {
			return
		}
		// What it was may hold anything. A record that ends the process would end the next one, too.
		w.Log.Error("a call ended in a fault of fiso-link: please report it", at(m), "stack", string(debug.Stack()))
		m.Settle(w.bury(ctx, late, m, death{deliveryFailed, "fiso-link failed; its log has the stack", max(d.tries-1, 0)}))
	}()
	var err error
	if d.r, err = decode(m, w.Target.Spec.Name); err != nil {
		m.Settle(w.bury(ctx, late, m, death{code: decodeFailed, reason: err.Error()}))
		return
	}
	m.Settle(d.run(ctx, late))
}

// delivery is one call on its way. Its methods get two contexts: ctx ends when
// nothing may begin any more, and late when what was begun may take no longer.
type delivery struct {
	w     *Worker
	m     *connector.Message
	r     *request
	tries int   // that reached for the target
	row   int   // of them without a success
	count int   // failures that count
	well  int64 // calls that the target had answered when this one last failed, or began
}

// run makes the call until it is settled, which nil says; an error is an
// interruption.
func (d *delivery) run(ctx, late context.Context) error {
	for {
		over, v, err := d.once(ctx, late)
		if over {
			return err
		}
		if !d.wait(ctx, v) {
			return connector.ErrInterrupted
		}
	}
}

// once makes the call once, and settles it where that is the end of it: over. It
// has one of the worker's places until then, the time to store the answer included,
// so that places bound the answers that are kept.
func (d *delivery) once(ctx, late context.Context) (over bool, v verdict, err error) {
	select {
	case d.w.places <- struct{}{}:
		defer func() { <-d.w.places }()
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return true, v, connector.ErrInterrupted
	}
	a, v := d.try(late)
	code := deliveryFailed
	switch {
	case v.outcome == interrupted:
		return true, v, connector.ErrInterrupted
	case v.outcome == delivered:
		d.w.line.pass()
		return true, v, d.reply(ctx, late, a, "")
	case v.outcome == refused:
		code = rejected
	case !d.exhausted(v):
		return false, v, nil
	}
	ours := v.outcome == refused && a.status == 0 // by rules, which say nothing of the target
	if !ours && !d.w.line.bury() {
		v.reason = fmt.Sprintf("%d calls in a row became dead letters, and no more do until one is delivered; the last answer: %s", d.w.line.most, v.reason)
		return false, v, nil
	}
	return true, v, d.die(ctx, late, a, code, v)
}

// try makes the call once, attempts of the target's retry included.
func (d *delivery) try(late context.Context) (*answer, verdict) {
	w, spec := d.w, d.w.Target.Spec
	closed := w.Target.Breaker.State() == resilience.Closed
	replies := spec.Async.ReplyTopic != ""
	a := &answer{most: int(spec.Async.MaxBodyBytes)}
	if replies {
		a.keep = a.most
	}
	err := w.Deliver(late, a, w.Target, d.r.call())
	v := judge(a, err, w.Target.Credential != nil, replies)
	switch v.outcome {
	case turn, interrupted:
		return a, v
	case delivered, refused:
		w.well.Add(1)
	case failed:
		if !closed {
			v.outcome = doubtful // a trial: while the target is given a rest, its failures are its own
		}
	}
	d.tries++
	return a, v
}

// exhausted counts a failure, and reports whether it was one too many. One that
// may be the target's counts only if the target has answered another call since
// this one last failed: otherwise an outage would empty the topic into the dead
// letters.
func (d *delivery) exhausted(v verdict) bool {
	now := d.w.well.Load()
	if v.outcome == failed || v.outcome == doubtful && now != d.well {
		d.count++
	}
	if v.outcome != turn {
		d.well = now
	}
	return d.count > d.w.Target.Spec.Async.MaxRetries
}

// wait waits before the next try; false: ctx ended.
func (d *delivery) wait(ctx context.Context, v verdict) bool {
	defer d.w.held.wait(v.reason)()
	if v.outcome == turn {
		return sleep(ctx, v.after)
	}
	d.row++
	if d.row == 1 {
		d.w.Log.Warn("a call that was accepted is made again", "id", d.r.id, "reason", v.reason)
	}
	return sleep(ctx, max(v.after, d.w.Target.Backoff.Delay(d.row)))
}

// die makes a dead letter of the call, and tells of it.
func (d *delivery) die(ctx, late context.Context, a *answer, code string, v verdict) error {
	if err := d.w.bury(ctx, late, d.m, death{code, v.reason, max(d.tries-1, 0)}); err != nil {
		return err
	}
	return d.reply(ctx, late, a, code)
}

// reply stores how the call ended, where somebody wants to know.
func (d *delivery) reply(ctx, late context.Context, a *answer, code string) error {
	spec := d.w.Target.Spec
	if spec.Async.ReplyTopic == "" {
		return nil
	}
	now := time.Now()
	r := reply(spec.Async.ReplyTopic, spec.Name, d.r, a, code, now)
	return d.w.keep(ctx, late, Reply, d.m, r, func() (kafka.Record, bool) {
		again := a.truncated
		a.truncated = true
		return reply(spec.Async.ReplyTopic, spec.Name, d.r, a, code, now), !again
	})
}

// bury stores a dead letter.
func (w *Worker) bury(ctx, late context.Context, m *connector.Message, d death) error {
	spec := w.Target.Spec
	r := letter(spec.Async.DeadLetters(), spec.Name, m, d, time.Now())
	if err := w.keep(ctx, late, DeadLetter, m, r, nil); err != nil {
		return err
	}
	w.Buried(d.code)
	w.Log.Warn("dead letter", "topic", r.Topic, "code", d.code, "reason", bounded(d.reason), "retries", d.retries, at(m))
	return nil
}

func at(m *connector.Message) slog.Attr { return slog.String("record", m.Position.String()) }

// errSilent is why something is held that Kafka may have or not.
var errSilent = errors.New("no word from Kafka yet whether it has the record")

// keep stores a record for good, however long that takes: until then the call is
// held. smaller gives the record in another form where Kafka finds it too large;
// nil: there is none. An error is an interruption.
func (w *Worker) keep(ctx, late context.Context, what string, m *connector.Message, r kafka.Record, smaller func() (kafka.Record, bool)) error {
	held := w.held.about(what)
	defer held.release()
	tell := func(err error) {
		if held.because(err) {
			w.Log.Error("a call is held: its "+what+" cannot be written", "topic", r.Topic, "error", err, at(m))
		}
	}
	for n := 1; ; n++ {
		// A record whose fate is not known is waited for, and not written again: it
		// would stand there once for each time.
		silent := time.AfterFunc(min(2*w.Target.Spec.Async.Timeout, silence), func() { tell(errSilent) })
		_, err := w.store.Append(late, r)
		silent.Stop()
		if err == nil {
			return nil
		}
		if smaller != nil && errors.Is(err, kafka.ErrTooLarge) {
			if less, ok := smaller(); ok {
				r = less
				continue
			}
		}
		tell(err)
		w.Unwritten(what)
		if !sleep(ctx, hold.Delay(n)) {
			return connector.ErrInterrupted
		}
	}
}
