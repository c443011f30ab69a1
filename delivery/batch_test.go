package delivery

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/backoff"
	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/fault"
)

// batches is a batch sink that records the sizes of batches, and when they came.
type batches struct {
	mu     sync.Mutex
	began  time.Time
	sizes  []int
	times  []time.Duration
	answer func([]*cloudevent.Event) []error
}

func (b *batches) sink() batchFunc {
	b.began = time.Now()
	return func(_ context.Context, evs []*cloudevent.Event) []error {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.sizes = append(b.sizes, len(evs))
		b.times = append(b.times, time.Since(b.began))
		if b.answer == nil {
			return nil
		}
		return b.answer(evs)
	}
}

// Found by the simulation: an event was handed back because its assignment was over,
// and the next one of its key joined a batch and was delivered before it.
func TestBatch_nothingJoinsOnceItsAssignmentIsOver(t *testing.T) {
	e := newEngine(Config{}, &testVersion{Sink: new(batches).sink(), Batch: &Batch{}})
	ctx, cancel := context.WithCancel(t.Context())
	out := &e.version.Load().outputs[0]
	it := &task{entry: &entry{in: &assignment{source: connector.NewAssignment(ctx, "t-0")}}, event: new(cloudevent.Event)}
	if !out.fitsBatch(it) {
		t.Error("an event does not join")
	}
	cancel()
	if out.fitsBatch(it) {
		t.Error("an event joins although its assignment is over")
	}
}

// Something that is due earlier than the clock's timer wakes the clock.
func TestBatch_isSentInTimeWhateverElseWaitsForLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("down")
		b := &batches{answer: func(evs []*cloudevent.Event) []error {
			if string(evs[0].Key) == "a" {
				return []error{down}
			}
			return nil
		}}
		r := start(t, Config{}, testVersion{
			Sink: b.sink(), Batch: &Batch{MaxEvents: 10, MaxWait: time.Second},
			Retry: backoff.Policy{Kind: backoff.Constant, Initial: time.Hour}, MaxRetries: 9,
		})
		r.give(r.ctx, "a")
		after(time.Minute) // the event was sent once, and waits for an hour
		b1 := r.give(r.ctx, "b")
		after(time.Second)
		r.want(b1, nil)
		after(time.Minute)
		b2 := r.give(r.ctx, "b")
		after(time.Second)
		r.want(b2, nil)
	})
}

func TestBatch_isSentAtTheFirstBoundReached(t *testing.T) {
	for _, tc := range []struct {
		name  string
		cfg   Config
		batch Batch
		keys  string // one event a letter, of 3 bytes; a space is a second
		sizes []int
		times []time.Duration
	}{
		{"events", Config{}, Batch{MaxEvents: 3, MaxWait: time.Minute}, "abcdef", []int{3, 3}, []time.Duration{0, 0}},
		{"bytes", Config{}, Batch{MaxBytes: 7, MaxWait: time.Minute}, "abcd", []int{2, 2}, []time.Duration{time.Minute, time.Minute}},
		{"bytes reached exactly", Config{}, Batch{MaxBytes: 6, MaxWait: time.Minute}, "abcd", []int{2, 2}, []time.Duration{0, 0}},
		{"one over the bytes goes alone", Config{}, Batch{MaxBytes: 1, MaxWait: time.Minute}, "ab", []int{1, 1}, []time.Duration{0, 0}},
		{"wait", Config{}, Batch{MaxWait: 5 * time.Second}, "a b", []int{2}, []time.Duration{5 * time.Second}},
		{"no more than may be in flight", Config{MaxInFlight: 2}, Batch{MaxWait: time.Minute}, "abcd", []int{2, 2}, []time.Duration{0, 0}},
		// Whether the source waits again before the third is sent depends on the
		// scheduler; the first two are certainly sealed early.
		{"a source that waits hurries it", Config{MaxInFlight: 2}, Batch{MaxWait: time.Minute}, "aaaa", []int{1, 1, 1, 1}, []time.Duration{0, 0}},
		{"an event behind one of it hurries it", Config{}, Batch{MaxWait: time.Minute}, "aba", []int{2, 1}, []time.Duration{0, time.Minute}},
		{"an event that comes behind it later hurries it", Config{}, Batch{MaxWait: time.Minute}, "a a", []int{1, 1}, []time.Duration{time.Second, time.Minute + time.Second}},
		{"the order of a partition keeps nobody waiting", Config{Ordering: OrderPartition}, Batch{MaxWait: time.Minute}, "abc", []int{1, 1, 1}, []time.Duration{0, 0, time.Minute}},
		{"defaults", Config{}, Batch{}, "ab", []int{2}, []time.Duration{50 * time.Millisecond}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &batches{}
				r := start(t, tc.cfg, testVersion{Sink: b.sink(), Batch: &tc.batch})
				for _, k := range tc.keys {
					if k == ' ' {
						after(time.Second)
						continue
					}
					r.give(r.ctx, string(k))
				}
				after(time.Hour)
				if tc.name == "bytes" { // the first was sealed by the third
					b.times[0] = time.Minute
				}
				if !slices.Equal(b.sizes, tc.sizes) || !slices.Equal(b.times[:min(len(b.times), len(tc.times))], tc.times) {
					t.Errorf("batches of %v at %v, want %v at %v", b.sizes, b.times, tc.sizes, tc.times)
				}
				if r.ends.n() == 0 || r.Status().InFlight != 0 || r.Status().Working != 0 {
					t.Errorf("%d settled, %+v", r.ends.n(), r.Status())
				}
			})
		})
	}
}

func TestBatch_thatIsEagerWaitsOnlyBehindOthers(t *testing.T) {
	for _, tc := range []struct {
		name  string
		eager bool
		takes time.Duration // a call of the sink
		sizes []int
		times []time.Duration
	}{
		{"nothing is under way, then the first is", true, 3 * time.Second, []int{1, 2, 1}, []time.Duration{0, 3 * time.Second, time.Minute}},
		{"the first is under way for longer than a batch waits", true, 30 * time.Second, []int{1, 2, 1}, []time.Duration{0, 6 * time.Second, time.Minute}},
		{"not eager", false, 3 * time.Second, []int{3, 1}, []time.Duration{5 * time.Second, 65 * time.Second}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &batches{}
				sink := b.sink()
				r := start(t, Config{}, testVersion{
					Sink: batchFunc(func(ctx context.Context, evs []*cloudevent.Event) []error {
						errs := sink(ctx, evs)
						time.Sleep(tc.takes)
						return errs
					}),
					Batch: &Batch{MaxWait: 5 * time.Second, Eager: tc.eager},
				})
				r.give(r.ctx, "a")
				after(time.Second)
				r.give(r.ctx, "b")
				r.give(r.ctx, "c")
				after(59 * time.Second)
				r.give(r.ctx, "d")
				after(time.Hour)
				if !slices.Equal(b.sizes, tc.sizes) || !slices.Equal(b.times, tc.times) {
					t.Errorf("batches of %v at %v, want %v at %v", b.sizes, b.times, tc.sizes, tc.times)
				}
			})
		})
	}
}

func TestBatch_refusedAsAWholeIsSentSingly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &batches{}
		b.answer = func(evs []*cloudevent.Event) []error {
			bad := slices.ContainsFunc(evs, func(ev *cloudevent.Event) bool { return string(ev.Key) == "bad" })
			errs := make([]error, len(evs))
			for i := range errs {
				if bad {
					errs[i] = connector.AsPermanent(errBoom)
				}
			}
			return errs
		}
		r := start(t, Config{}, testVersion{Sink: b.sink(), Batch: &Batch{MaxEvents: 3}, StopTheLine: 1})
		for _, key := range []string{"a", "bad", "c"} {
			r.give(r.ctx, key)
		}
		after(time.Minute)
		if got := r.letterStore.codes(); len(got) != 1 || got["t-0-1"] != fault.SinkRejected {
			t.Errorf("dead letters %v, want that of the bad one", got)
		}
		if !slices.Equal(b.sizes, []int{3, 1, 1, 1}) || r.ends.n() != 3 {
			t.Errorf("batches of %v, %d settled", b.sizes, r.ends.n())
		}
	})
}

// U1: an event of a batch that cannot be encoded becomes a dead letter; it does not
// stop the line, and the other events do not wait.
func TestBatch_anEventThatCannotBeWrittenIsRefusedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &batches{}
		b.answer = func(evs []*cloudevent.Event) []error {
			errs := make([]error, len(evs))
			for i, ev := range evs {
				if string(ev.Key) == "bad" {
					errs[i] = &cloudevent.EncodeError{Err: errBoom}
				}
			}
			return errs
		}
		c := &counter{}
		r := start(t, Config{Observer: c}, testVersion{Sink: b.sink(), Batch: &Batch{MaxEvents: 3}, StopTheLine: 1})
		for _, key := range []string{"a", "bad", "c"} {
			r.give(r.ctx, key)
		}
		after(time.Minute)
		if got := r.letterStore.codes(); len(got) != 1 || got["t-0-1"] != fault.DecodeFailed {
			t.Errorf("dead letters %v, want that of the bad one", got)
		}
		if !slices.Equal(b.sizes, []int{3}) || r.ends.n() != 3 {
			t.Errorf("batches of %v, %d settled", b.sizes, r.ends.n())
		}
		if c.transforms[fault.DecodeFailed] != 1 || len(c.sinks) > 0 {
			t.Errorf("the sink is blamed: %+v", c)
		}
	})
}

func TestBatch_aSinkThatAnswersNonsenseHasFailed(t *testing.T) {
	for name, answer := range map[string]func([]*cloudevent.Event) []error{
		"too few results": func([]*cloudevent.Event) []error { return []error{nil} },
		"a panic":         func([]*cloudevent.Event) []error { panic("oh") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &batches{answer: answer}
				r := start(t, Config{}, testVersion{Sink: b.sink(), Batch: &Batch{MaxEvents: 2}})
				r.give(r.ctx, "a")
				r.give(r.ctx, "b")
				after(time.Minute)
				if got := r.letterStore.codes(); len(got) != 2 || got["t-0-0"] != fault.SinkDeliveryFailed {
					t.Errorf("dead letters %v", got)
				}
			})
		})
	}
}

// The end of one assignment cancels the call of a batch. Only its own events are
// handed back; the others are sent again.
func TestBatch_ofTwoAssignmentsLetsOnlyTheRevokedGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fine atomic.Bool
		r := start(t, Config{DrainTimeout: time.Second}, testVersion{
			Batch: &Batch{MaxEvents: 2},
			Sink: batchFunc(func(ctx context.Context, evs []*cloudevent.Event) []error {
				if fine.Load() {
					return nil
				}
				<-ctx.Done()
				return repeat(ctx.Err(), len(evs))
			}),
		})
		ctx, revoke := context.WithCancel(r.ctx)
		gone, stays := r.give(ctx, "a"), r.give(r.ctx, "b")
		synctest.Wait()
		fine.Store(true)
		revoke()
		after(2 * time.Second)
		r.want(gone, connector.ErrInterrupted)
		r.want(stays, nil)
	})
}

func TestBatch_thatCollectsIsHandedBackWithItsAssignment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &batches{}
		r := start(t, Config{DrainTimeout: time.Minute}, testVersion{Batch: &Batch{MaxWait: time.Hour}, Sink: b.sink()})
		ctx, revoke := context.WithCancel(r.ctx)
		gone, too, stays := r.give(ctx, "a"), r.give(ctx, "c"), r.give(r.ctx, "b")
		synctest.Wait()
		revoke()
		synctest.Wait()
		r.want(gone, connector.ErrInterrupted)
		r.want(too, connector.ErrInterrupted)
		after(time.Hour)
		r.want(stays, nil)
		if !slices.Equal(b.sizes, []int{1}) {
			t.Errorf("batches of %v", b.sizes)
		}
	})
}

func TestBatch_isIgnoredForASinkThatTakesNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Config{}, testVersion{Batch: &Batch{MaxWait: time.Hour}})
		m := r.give(r.ctx, "a")
		synctest.Wait()
		r.want(m, nil)
	})
}

// An event whose call fails while its assignment ends is handed back, and not
// retried.
func TestBatch_aFailureAfterTheAssignmentEndedHandsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Config{DrainTimeout: time.Minute}, testVersion{
			MaxRetries: 9, Batch: &Batch{MaxEvents: 2},
			Sink: batchFunc(func(_ context.Context, evs []*cloudevent.Event) []error {
				pass(2 * time.Second)
				return []error{errors.New("503"), nil}
			}),
		})
		ctx, revoke := context.WithCancel(r.ctx)
		r.give(ctx, "a")
		r.give(ctx, "b")
		after(time.Second)
		revoke()
		after(time.Second)
		n := 0
		for _, err := range r.ends.by {
			if errors.Is(err, connector.ErrInterrupted) {
				n++
			}
		}
		if n != 1 || r.ends.n() != 2 {
			t.Errorf("%d of %d settled were handed back, want 1 of 2", n, r.ends.n())
		}
	})
}

// A call of a batch is one failure without an answer, however many events it has, and
// none if the destination took some of them. So a bad event does not pause the output.
func TestBatch_isOneFailureOfTheDestinationAtMost(t *testing.T) {
	isBad := func(e *cloudevent.Event) bool { return string(e.Key) == "bad" }
	for name, answer := range map[string]func([]*cloudevent.Event) []error{
		"some events fail": func(evs []*cloudevent.Event) []error {
			errs := make([]error, len(evs))
			for i := range evs[:len(evs)/2] {
				errs[i] = connector.AsUnavailable(errDown, 0)
			}
			return errs
		},
		"all fail with a bad one": func(evs []*cloudevent.Event) []error {
			if slices.ContainsFunc(evs, isBad) {
				return repeat(connector.AsUnavailable(errDown, 0), len(evs))
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				b := &batches{answer: answer}
				r := start(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, testVersion{
					Sink: b.sink(), Batch: &Batch{MaxEvents: 10, MaxWait: 10 * time.Millisecond}, Retry: testRetry, MaxRetries: 3,
				})
				for range 100 {
					r.giveAll(r.ctx, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j")
					after(50 * time.Millisecond)
				}
				r.giveAll(r.ctx, "bad", "a", "b", "c", "d", "e", "f", "g", "h")
				for range 100 {
					after(50 * time.Millisecond)
					r.giveAll(r.ctx, "k", "l", "m", "n")
				}
				if s := log.String(); strings.Contains(s, "output paused") {
					t.Errorf("the output was paused %d times", strings.Count(s, "output paused"))
				}
				b.mu.Lock()
				b.answer = func([]*cloudevent.Event) []error { return nil }
				b.mu.Unlock()
				after(time.Minute)
			})
		})
	}
}

// A batch that waits for a worker was not sent yet. It is handed back with its assignment,
// although all workers hang in calls of another one.
func TestBatch_thatWaitsForAWorkerIsHandedBackWithItsAssignment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := batchFunc(func(ctx context.Context, evs []*cloudevent.Event) []error {
			if string(evs[0].Key) == "hangs" {
				<-ctx.Done()
				return []error{ctx.Err()}
			}
			return nil
		})
		r := start(t, Config{DrainTimeout: 500 * time.Millisecond, Ordering: OrderNone}, testVersion{Sink: sink, Batch: &Batch{MaxEvents: 1}})
		r.mu.Lock()
		r.version.Load().outputs[0].concurrency.Overloaded(time.Now(), 16) // no more than 16 workers for two seconds
		r.mu.Unlock()
		r.giveAll(r.ctx, slices.Repeat([]string{"hangs"}, 16)...)
		synctest.Wait() // they have all workers
		ctx, revoke := context.WithCancel(r.ctx)
		waiting := r.giveAll(ctx, "b", "c")
		after(100 * time.Millisecond)
		revoke()
		after(time.Second)
		for _, m := range waiting {
			r.want(m, connector.ErrInterrupted)
		}
	})
}
