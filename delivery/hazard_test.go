package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/deadletter"
)

var errDown = errors.New("down")

// heldSink is a sink that answers when the test tells it to, and records its events.
type heldSink struct {
	t      *testing.T
	calls  chan string // ids, as they come
	answer chan error  // one for each
}

func newHeldSink(t *testing.T) *heldSink {
	return &heldSink{t, make(chan string, 4096), make(chan error)}
}

func (g *heldSink) Send(ctx context.Context, ev *cloudevent.Event) error {
	g.calls <- ev.ID
	select {
	case err := <-g.answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *heldSink) Close(context.Context) error { return nil }

// came returns the ids that reached the sink since the last call.
func (g *heldSink) came() []string {
	synctest.Wait()
	var ids []string
	for {
		select {
		case id := <-g.calls:
			ids = append(ids, id)
		default:
			return ids
		}
	}
}

func (g *heldSink) wantCame(want ...string) {
	g.t.Helper()
	got := g.came()
	slices.Sort(got) // those of different lanes may come in any order
	if !slices.Equal(got, want) {
		g.t.Errorf("the sink was sent %q, want %q", got, want)
	}
}

// F1, https://github.com/redpanda-data/connect/issues/4009: what was polled and
// not settled when a partition is revoked goes back, all of it.
func TestF1_aRevokedPartitionsQueueIsHandedBackAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newHeldSink(t)
		r := start(t, Config{DrainTimeout: time.Minute}, testVersion{Sink: g})
		ctx, revoke := context.WithCancel(r.ctx)
		sent, queued, other := r.give(ctx, "k"), r.give(ctx, "k"), r.give(r.ctx, "k")
		g.came()
		revoke()
		synctest.Wait()
		r.want(queued, connector.ErrInterrupted)
		r.wantUnsettled(sent)
		r.wantUnsettled(other)
		g.answer <- nil
		g.answer <- nil
		synctest.Wait()
		r.want(sent, nil) // a call under way counts
		r.want(other, nil)
		late := r.give(ctx, "k")
		r.want(late, connector.ErrInterrupted)
		g.wantCame()
		if len(r.Engine.assignments) != 1 {
			t.Errorf("%d assignments are left, want 1", len(r.Engine.assignments))
		}
	})
}

// F2, https://github.com/dapr/components-contrib/issues/3849: a retry cut short
// by a shutdown is neither failed nor done.
func TestF2_cancelledIsHandedBackAndNeverADeadLetter(t *testing.T) {
	for _, tc := range []struct {
		name string
		sink sinkFunc
		st   testVersion
	}{
		{"in backoff", func(context.Context, *cloudevent.Event) error { return errBoom }, testVersion{MaxRetries: 9}},
		{"in a call with no retries left", func(ctx context.Context, _ *cloudevent.Event) error {
			<-ctx.Done()
			return ctx.Err()
		}, testVersion{}},
		{"in a call that answers permanent because it was cancelled", func(ctx context.Context, _ *cloudevent.Event) error {
			<-ctx.Done()
			return connector.AsPermanent(ctx.Err())
		}, testVersion{}},
		{"in the transform", nil, testVersion{Transformer: transformFunc(func(ctx context.Context, _ *connector.Message) (*cloudevent.Event, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})}},
		{"while it blocks", func(context.Context, *cloudevent.Event) error { return connector.AsPermanent(errBoom) }, testVersion{OnExhausted: ExhaustedBlock}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if tc.sink != nil {
					tc.st.Sink = tc.sink
				}
				r := start(t, Config{DrainTimeout: 5 * time.Second}, tc.st)
				ctx, revoke := context.WithCancel(r.ctx)
				m := r.give(ctx, "k")
				after(300 * time.Millisecond)
				r.wantUnsettled(m)
				revoke()
				after(5 * time.Second)
				r.want(m, connector.ErrInterrupted)
				if len(r.letterStore.letters) > 0 {
					t.Errorf("a cancelled event became a dead letter: %+v", r.letterStore.letters[0])
				}
			})
		})
	}
}

// F2, https://github.com/dapr/components-contrib/issues/3529 and
// https://github.com/dapr/dapr/issues/7799: a sink whose own context was cancelled, while that of the engine was not, has failed.
func TestF2_somebodyElsesCancellationIsATemporaryError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		r := start(t, Config{}, testVersion{MaxRetries: 1, Sink: sinkFunc(func(context.Context, *cloudevent.Event) error {
			tries++
			return context.Canceled
		})})
		m := r.give(r.ctx, "k")
		after(time.Minute)
		r.want(m, nil)
		if tries != 2 || r.letterStore.codes()[m] != "SINK_DELIVERY_FAILED" {
			t.Errorf("%d tries and %q, want 2 and SINK_DELIVERY_FAILED", tries, r.letterStore.codes()[m])
		}
	})
}

// F3, https://github.com/confluentinc/parallel-consumer/issues/184: the same
// key in two topics, or in two epochs of one partition, has two lanes.
func TestF3_lanesBelongToOneAssignment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newHeldSink(t)
		r := start(t, Config{}, testVersion{Sink: g})
		other, cancel := context.WithCancel(r.ctx)
		defer cancel()
		a1, b1 := r.give(r.ctx, "k"), r.give(other, "k")
		g.wantCame(a1, b1)
		a2 := r.give(r.ctx, "k")
		g.wantCame()
		g.answer <- nil
		g.answer <- nil
		g.wantCame(a2)
		g.answer <- nil
	})
}

// F5, https://github.com/confluentinc/parallel-consumer/issues/857 and
// https://github.com/vectordotdev/vector/issues/14865: the end of an
// assignment has a deadline, and ends no other assignment.
func TestF5_aHungCallIsCutAtTheDrainTimeoutAndOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Config{DrainTimeout: 10 * time.Second}, testVersion{Sink: sinkFunc(func(ctx context.Context, ev *cloudevent.Event) error {
			if string(ev.Key) == "hangs" {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})})
		ctx, revoke := context.WithCancel(r.ctx)
		stays := r.give(r.ctx, "hangs")
		hung := r.give(ctx, "hangs")
		synctest.Wait()
		revoke()
		after(10*time.Second - 1)
		r.wantUnsettled(hung)
		after(1)
		r.want(hung, connector.ErrInterrupted)
		r.wantUnsettled(stays)
		r.want(r.give(r.ctx, "fine"), nil2(r))
	})
}

// nil2 waits for rest and is nil, for a want of what was just given.
func nil2(*rig) error {
	synctest.Wait()
	return nil
}

// F5, https://github.com/confluentinc/parallel-consumer/issues/857: a handler that waits for room returns when its partition is revoked.
func TestF5_aBlockedHandlerEndsWithItsAssignment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newHeldSink(t)
		r := start(t, Config{MaxInFlight: 1, DrainTimeout: time.Second}, testVersion{Sink: g})
		ctx, revoke := context.WithCancel(r.ctx)
		r.give(ctx, "k")
		blocked := make(chan string)
		go func() { blocked <- r.give(ctx, "k") }()
		synctest.Wait()
		revoke()
		r.want(<-blocked, connector.ErrInterrupted)
	})
}

// F8, https://github.com/twmb/franz-go/issues/1217: the write of a
// dead letter is cancelled only when its assignment is over and the drain timeout has passed.
// F9, https://github.com/confluentinc/kafka-connect-jdbc/issues/1597: a
// dead letter that cannot be stored is held, reported, and stored once when the queue is back.
func TestF9_aDeadLetterThatCannotBeStoredIsHeldUntilItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sends := 0
		r := start(t, Config{}, testVersion{Sink: sinkFunc(func(_ context.Context, ev *cloudevent.Event) error {
			if string(ev.Key) != "bad" {
				return nil
			}
			sends++
			return connector.AsPermanent(errBoom)
		})})
		r.letterStore.fail(errDown)
		bad, behind, other := r.give(r.ctx, "bad"), r.give(r.ctx, "bad"), r.give(r.ctx, "good")
		after(time.Hour)
		r.wantUnsettled(bad)
		r.wantUnsettled(behind)
		r.want(other, nil)
		s := r.Status()
		if len(s.Held) != 1 || s.Held[0].Events != 1 || s.Held[0].Reason != "the dead letter cannot be stored: down" || s.Held[0].Since != time.Hour {
			t.Errorf("held %+v", s.Held)
		}
		r.letterStore.fail(nil)
		after(time.Minute)
		r.want(bad, nil)
		r.want(behind, nil)
		if got := r.letterStore.codes(); len(r.letterStore.letters) != 2 || got[bad] != "SINK_REJECTED" || got[behind] != "SINK_REJECTED" {
			t.Errorf("letters %v, want each once", got)
		}
		if sends != 2 {
			t.Errorf("the sink was sent %d events, want each once", sends)
		}
		if s := r.Status(); len(s.Held) > 0 {
			t.Errorf("still held: %+v", s.Held)
		}
	})
}

// U4: a dead letter that failed again, and is in its topic already, is settled: it is
// counted and logged, and not retried.
func TestDeadLetter_oneThatStandsInItsTopicIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r := start(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, testVersion{Sink: sinkFunc(func(context.Context, *cloudevent.Event) error {
			return connector.AsPermanent(errBoom)
		})})
		r.letterStore.fail(fmt.Errorf("dlq-0-7: %w", deadletter.ErrAlreadyStored))
		bad := r.give(r.ctx, "bad")
		after(time.Second)
		r.want(bad, nil)
		if s := r.Status(); len(s.Held) > 0 {
			t.Errorf("held: %+v", s.Held)
		}
		if got := log.String(); strings.Count(got, "dead letter already stored") != 1 || !strings.Contains(got, "which is in its topic already: SINK_REJECTED: boom") {
			t.Errorf("log:\n%s", got)
		}
	})
}

// F10, https://github.com/getsentry/sentry-kafka-schemas/issues/482: a dead letter
// that its topic refuses for its size is held, with that reason, and is not retried in a
// hot loop; the other events go on.
func TestF10_aLetterThatIsTooLargeIsHeldAndNotTriedInAHotLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		writes := 0
		r := start(t, Config{}, testVersion{
			Sink: sinkFunc(func(_ context.Context, ev *cloudevent.Event) error {
				if string(ev.Key) == "large" {
					return connector.AsPermanent(errBoom)
				}
				return nil
			}),
			DeadLetter: &letterStore{write: func(context.Context, *deadletter.Letter) error {
				writes++
				return connector.AsPermanent(errTooLarge)
			}},
		})
		large, other := r.give(r.ctx, "large"), r.give(r.ctx, "small")
		after(time.Hour)
		r.wantUnsettled(large)
		r.want(other, nil)
		if h := r.Status().Held; len(h) != 1 || h[0].Reason != "the dead letter cannot be stored: too large" {
			t.Errorf("held %+v", h)
		}
		if most := int(time.Hour/testRetry.Initial) + 1; writes < 2 || writes > most {
			t.Errorf("written %d times in an hour, want %d at most", writes, most)
		}
	})
}

var errTooLarge = errors.New("too large")

// A dead letter queue that does not answer is reported, and does not occupy a worker
// forever.
func TestF9_aDeadLetterQueueThatHangsIsHeldAndSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Config{MaxInFlight: 1}, testVersion{
			Sink: sinkFunc(func(_ context.Context, ev *cloudevent.Event) error {
				if string(ev.Key) == "bad" {
					return connector.AsPermanent(errBoom)
				}
				return nil
			}),
			DeadLetter: &letterStore{write: func(ctx context.Context, _ *deadletter.Letter) error {
				<-ctx.Done()
				return ctx.Err()
			}},
		})
		bad := r.give(r.ctx, "bad")
		after(defaultPatience)
		if h := r.Status().Held; len(h) != 1 || h[0].Reason != "the dead letter cannot be stored: context deadline exceeded" {
			t.Errorf("held %+v", h)
		}
		other, cancel := context.WithCancel(r.ctx)
		defer cancel()
		good := r.give(other, "good")
		synctest.Wait()
		r.want(good, nil)
		r.wantUnsettled(bad)
	})
}

func TestF9_aHeldDeadLetterIsHandedBackWithItsAssignment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Config{DrainTimeout: time.Second}, testVersion{
			Sink: sinkFunc(func(context.Context, *cloudevent.Event) error { return connector.AsPermanent(errBoom) }),
			DeadLetter: &letterStore{write: func(ctx context.Context, _ *deadletter.Letter) error {
				<-ctx.Done()
				return ctx.Err()
			}},
		})
		ctx, revoke := context.WithCancel(r.ctx)
		m := r.give(ctx, "k")
		after(time.Hour)
		r.wantUnsettled(m)
		revoke()
		after(time.Second)
		r.want(m, connector.ErrInterrupted)
	})
}

// F13, https://github.com/vectordotdev/vector/issues/24125: a reload works while
// the sink fails.
func TestF13_aSwapTakesUpWhatTheOldSinkFails(t *testing.T) {
	for name, old := range map[string]testVersion{
		"in backoff":      {MaxRetries: 99, Sink: sinkFunc(func(context.Context, *cloudevent.Event) error { return errBoom })},
		"unavailable":     {Sink: sinkFunc(func(context.Context, *cloudevent.Event) error { return connector.AsUnavailable(errBoom, 0) })},
		"blocked":         {OnExhausted: ExhaustedBlock, Sink: sinkFunc(func(context.Context, *cloudevent.Event) error { return connector.AsPermanent(errBoom) })},
		"no dead letters": {OnExhausted: ExhaustedDLQ, Sink: sinkFunc(func(context.Context, *cloudevent.Event) error { return connector.AsPermanent(errBoom) })},
		"collecting":      {Batch: &Batch{MaxWait: time.Hour}, Sink: batchFunc(func(context.Context, []*cloudevent.Event) []error { return nil })},
		"hanging": {Sink: sinkFunc(func(ctx context.Context, _ *cloudevent.Event) error {
			<-ctx.Done()
			return ctx.Err()
		})},
		"answering after the swap": {Sink: sinkFunc(func(context.Context, *cloudevent.Event) error {
			pass(5 * time.Second)
			return connector.AsPermanent(errBoom)
		})},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, Config{DrainTimeout: 10 * time.Second}, old)
				given := []string{r.give(r.ctx, "k")}
				for range 4 {
					if old.Batch == nil { // a second event of the key would seal the batch
						given = append(given, r.give(r.ctx, "k"))
					}
				}
				after(time.Second / 2)
				g := newHeldSink(t)
				began := time.Now()
				if !r.Swap(t.Context(), r.withDefaults(testVersion{Sink: g}).version()) {
					t.Fatal("the old version is still used")
				}
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("Swap took %s", took)
				}
				for _, id := range given {
					g.wantCame(id) // all of them, in order
					g.answer <- nil
				}
				synctest.Wait()
				for _, id := range given {
					r.want(id, nil)
				}
				if len(r.letterStore.letters) > 0 || len(r.Status().Held) > 0 {
					t.Errorf("letters %v, held %v", r.letterStore.codes(), r.Status().Held)
				}
			})
		})
	}
}

// F13, https://github.com/fluent/fluent-bit/issues/8457: the last of several
// reloads in quick succession counts.
func TestF13_theLastOfManySwapsWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := sinkFunc(func(ctx context.Context, _ *cloudevent.Event) error {
			<-ctx.Done()
			return ctx.Err()
		})
		r := start(t, Config{DrainTimeout: time.Minute}, testVersion{Sink: hangs})
		m := r.give(r.ctx, "k")
		var unused [4]bool
		done := make(chan int)
		for i := range unused {
			st := testVersion{Sink: hangs}
			if i == len(unused)-1 {
				st.Sink = nil
			}
			go func() {
				unused[i] = r.Swap(t.Context(), r.withDefaults(st).version())
				done <- i
			}()
			after(time.Second)
			if i == 0 {
				r.give(r.ctx, "l") // on the second version
			}
		}
		for range unused {
			<-done
		}
		synctest.Wait()
		for i, ok := range unused {
			if !ok {
				t.Errorf("swap %d left the version before it in use", i)
			}
		}
		r.want(m, nil)
		if n := len(r.Engine.assignments[r.byContext[r.ctx]].calls); n > 1 {
			t.Errorf("%d call contexts are kept, want that of the current version", n)
		}
	})
}

func TestSwap_saysSoWhenTheOldVersionDoesNotLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := start(t, Config{DrainTimeout: time.Minute}, testVersion{Sink: sinkFunc(func(context.Context, *cloudevent.Event) error {
			<-release // ignores its context
			return nil
		})})
		stuck := r.give(r.ctx, "k")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		if r.Swap(ctx, r.withDefaults(testVersion{}).version()) {
			t.Error("Swap says that the old version is unused")
		}
		fine := r.give(r.ctx, "l")
		synctest.Wait()
		r.want(fine, nil)
		close(release)
		synctest.Wait()
		r.want(stuck, nil)
	})
}

// F12, https://github.com/redpanda-data/connect/issues/4400: only the events of
// a batch that failed are sent again, and order is kept.
func TestF12_onlyTheFailedEventsOfABatchAreSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent [][]string
		failed := false
		r := start(t, Config{}, testVersion{
			MaxRetries: 1, Batch: &Batch{MaxEvents: 3, MaxWait: 100 * time.Millisecond},
			Sink: batchFunc(func(_ context.Context, evs []*cloudevent.Event) []error {
				errs := make([]error, len(evs))
				var ids []string
				for i, ev := range evs {
					ids = append(ids, string(ev.Data.Bytes()))
					if string(ev.Data.Bytes()) == "b#1" && !failed {
						failed, errs[i] = true, errBoom
					}
				}
				slices.Sort(ids) // different keys may join in any order
				sent = append(sent, ids)
				return errs
			}),
		})
		for _, key := range []string{"a", "b", "c", "b", "a"} {
			r.give(r.ctx, key)
		}
		after(10 * time.Second)
		want := [][]string{{"a#0", "b#1", "c#2"}, {"a#4"}, {"b#1"}, {"b#3"}}
		if !slices.EqualFunc(sent, want, slices.Equal) {
			t.Errorf("sent %q, want %q", sent, want)
		}
		if r.ends.n() != 5 {
			t.Errorf("%d of 5 are settled", r.ends.n())
		}
	})
}
