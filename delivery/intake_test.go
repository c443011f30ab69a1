package delivery

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/fault"
)

// warm makes calls until the engine knows that its transformer is quick.
func (r *rig) warm() {
	r.t.Helper()
	for range minSamples {
		r.give(r.ctx, "warm")
	}
	synctest.Wait()
	if !r.Engine.version.Load().transformTime.isQuick() {
		r.t.Fatal("the transformer does not count as quick")
	}
}

// giveAll hands several messages over at once and returns the positions.
func (r *rig) giveAll(ctx context.Context, keys ...string) []string {
	ms := make([]*connector.Message, len(keys))
	at := make([]string, len(keys))
	for i, key := range keys {
		ms[i] = r.message(key)
		at[i] = ms[i].Position.String()
	}
	r.handOver(ctx, ms...)
	return at
}

// byKey is a transformer that calls a function for a key, and then does what asIs does.
type byKey map[string]func(context.Context) error

var errFilter = fault.New("FILTER", errBoom) // filters the message out, in a byKey

func (b byKey) Process(ctx context.Context, m *connector.Message) (*cloudevent.Event, error) {
	if f := b[string(m.Key)]; f != nil {
		if err := f(ctx); err == errFilter { //nolint:errorlint // that very one
			return nil, nil
		} else if err != nil {
			return nil, err
		}
	}
	return asIs(ctx, m)
}

func filter(context.Context) error { return errFilter }

func TestIntake_ofAQuickTransformerIsMadeByTheSourceItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counter{}
		block := make(chan struct{})
		r := start(t, Config{Observer: c}, testVersion{
			Transformer: byKey{
				"filtered":  filter,
				"malformed": func(context.Context) error { return fault.New(fault.DecodeFailed, errBoom) },
				"panics":    func(context.Context) error { panic("boom") },
			},
			Sink: sinkFunc(func(ctx context.Context, ev *cloudevent.Event) error {
				if string(ev.Key) != "warm" {
					<-block
				}
				return nil
			}),
		})
		r.warm()
		at := r.giveAll(r.ctx, "filtered", "a", "filtered", "malformed", "panics", "a")
		r.want(at[0], nil) // settled before handle returns
		r.want(at[2], nil)
		synctest.Wait()
		r.wantUnsettled(at[1])
		r.wantUnsettled(at[5])
		close(block)
		synctest.Wait()
		for _, p := range at {
			r.want(p, nil)
		}
		if codes := r.letterStore.codes(); codes[at[3]] != fault.DecodeFailed || codes[at[4]] != fault.TransformFailed || len(codes) != 2 {
			t.Errorf("dead letters %v", codes)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if n := len(c.took[PhaseTransform]); n != minSamples+6 || c.settled[Filtered] != 2 || len(c.took[PhaseTotal]) != minSamples+6 {
			t.Errorf("%d transforms, %d totals, settled %v", n, len(c.took[PhaseTotal]), c.settled)
		}
	})
}

func TestIntake_leavesWhatIsBehindASlowEventToTheWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := 0
		var mu sync.Mutex
		r := start(t, Config{}, testVersion{Transformer: byKey{"slow": func(context.Context) error {
			mu.Lock()
			slow++
			mu.Unlock()
			pass(time.Second)
			return nil
		}}})
		r.warm()
		keys := slices.Repeat([]string{"slow"}, 2*maxStride)
		for i := range keys {
			keys = append(keys, "k"+strconv.Itoa(i))
		}
		began := time.Now()
		at := r.giveAll(r.ctx, keys...)
		if took := time.Since(began); took > maxStride*time.Second {
			t.Errorf("an intake held its partition up for %v, beyond what is timed together", took)
		}
		synctest.Wait()
		r.want(at[len(at)-1], nil) // although slow ones are still being transformed
		r.wantUnsettled(at[2*maxStride-1])
		after(time.Minute)
		r.want(at[2*maxStride-1], nil)
	})
}

func TestIntake_ofASlowTransformerIsMadeSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Config{}, testVersion{Transformer: transformFunc(func(ctx context.Context, m *connector.Message) (*cloudevent.Event, error) {
			pass(time.Millisecond)
			return asIs(ctx, m)
		})})
		for i := range minSamples {
			r.give(r.ctx, strconv.Itoa(i))
		}
		after(time.Second)
		began := time.Now()
		at := r.giveAll(r.ctx, "a", "b", "c", "d")
		if took := time.Since(began); took != 0 {
			t.Errorf("the source was held up for %v", took)
		}
		after(time.Millisecond)
		for _, p := range at {
			r.want(p, nil)
		}
	})
}

func TestIntake_isAdmittedInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		r := start(t, Config{MaxInFlight: 4}, testVersion{Sink: sinkFunc(func(_ context.Context, ev *cloudevent.Event) error {
			if string(ev.Key) != "warm" {
				<-free
			}
			return nil
		})})
		r.warm()
		var at []string
		back := make(chan struct{})
		go func() {
			at = r.giveAll(r.ctx, "a", "b", "c", "d", "e", "f", "g", "h", "i")
			close(back)
		}()
		synctest.Wait()
		if s := r.Status(); s.InFlight != 4 {
			t.Errorf("%d in flight, of at most 4", s.InFlight)
		}
		for range 9 {
			free <- struct{}{}
			synctest.Wait()
			if s := r.Status(); s.InFlight > 4 {
				t.Errorf("%d in flight, of at most 4", s.InFlight)
			}
		}
		<-back
		for _, p := range at {
			r.want(p, nil)
		}
	})
}

func TestIntake_handsBackWhatHasNoRoomWhenItsAssignmentEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Config{MaxInFlight: 1}, testVersion{Sink: sinkFunc(func(ctx context.Context, ev *cloudevent.Event) error {
			if string(ev.Key) == "warm" {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})})
		r.warm()
		ctx, revoke := context.WithCancel(r.ctx)
		time.AfterFunc(time.Second, revoke)
		at := r.giveAll(ctx, "a", "b", "c")
		synctest.Wait()
		for _, p := range at {
			r.want(p, connector.ErrInterrupted)
		}
	})
}

// Events of an intake whose version was replaced are transformed again; messages that
// it filtered are not. Swap waits for the intake.
func TestIntake_onAVersionThatIsReplacedIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		old := &collector{}
		r := start(t, Config{DrainTimeout: time.Hour}, testVersion{
			Transformer: byKey{"filtered": filter, "hangs": func(context.Context) error { <-hang; return nil }},
			Sink:        old,
		})
		r.warm()
		warm := old.n()
		var at []string
		back := make(chan struct{})
		go func() {
			at = r.giveAll(r.ctx, "filtered", "a", "hangs", "b")
			close(back)
		}()
		synctest.Wait()
		if s := r.Status(); s.InFlight != 4 || s.Working != 4 || s.OldestAt == "" {
			t.Errorf("an intake that is being made shows as %+v", s)
		}
		fresh := &collector{}
		swapped := make(chan bool, 1)
		go func() { swapped <- r.Swap(t.Context(), r.withDefaults(testVersion{Sink: fresh}).version()) }()
		synctest.Wait()
		select {
		case <-swapped:
			t.Error("Swap did not wait for the intake")
		default:
		}
		close(hang)
		<-back
		synctest.Wait()
		if !<-swapped {
			t.Error("the old version is still used")
		}
		for _, p := range at {
			r.want(p, nil)
		}
		if old.n() != warm || fresh.n() != 3 {
			t.Errorf("the old sink got %d, the new one %d, want none and 3", old.n()-warm, fresh.n())
		}
	})
}

func TestIntake_ofAnAssignmentThatEndsIsHandedBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := &collector{}
		r := start(t, Config{DrainTimeout: time.Second}, testVersion{
			Transformer: byKey{"filtered": filter, "hangs": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
			Sink:        sent,
		})
		r.warm()
		warm := sent.n()
		ctx, revoke := context.WithCancel(r.ctx)
		time.AfterFunc(time.Minute, revoke)
		began := time.Now()
		at := r.giveAll(ctx, "filtered", "a", "hangs", "b")
		if took := time.Since(began); took != time.Minute+time.Second {
			t.Errorf("the intake ended after %v, want the drain timeout after the minute", took)
		}
		synctest.Wait()
		r.want(at[0], nil)
		for _, p := range at[1:] {
			r.want(p, connector.ErrInterrupted)
		}
		if s := r.Status(); s.InFlight != 0 || s.Bytes != 0 || sent.n() != warm || len(r.letterStore.codes()) != 0 {
			t.Errorf("%d sent, status %+v", sent.n()-warm, s)
		}
	})
}

// A filtered message is settled also if it is the last of its intake.
func TestIntake_settlesWhatItFilteredBeforeItsAssignmentEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, revoke := context.WithCancel(t.Context())
		r := start(t, Config{}, testVersion{Transformer: byKey{
			"filtered": filter,
			"last":     func(context.Context) error { revoke(); return errFilter },
		}})
		r.warm()
		keys := append(slices.Repeat([]string{"filtered"}, maxStride-1), "last", "a")
		at := r.giveAll(ctx, keys...)
		for _, p := range at[:maxStride] {
			r.want(p, nil)
		}
		r.want(at[maxStride], connector.ErrInterrupted)
		synctest.Wait()
		if s := r.Status(); s.InFlight != 0 || s.Bytes != 0 {
			t.Errorf("left: %+v", s)
		}
	})
}

// An event joins the batch without a worker, one of each key at a time.
func TestIntake_joinsTheBatchAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var sent [][]string
		r := start(t, Config{}, testVersion{
			Batch: &Batch{MaxEvents: 3, MaxWait: time.Second},
			Sink: batchFunc(func(_ context.Context, evs []*cloudevent.Event) []error {
				mu.Lock()
				defer mu.Unlock()
				var keys []string
				for _, ev := range evs {
					keys = append(keys, string(ev.Key))
				}
				sent = append(sent, keys)
				return nil
			}),
		})
		// Of two calls that end together one may not be counted, so there are more
		// calls than needed.
		for i := range 3 * minSamples {
			r.give(r.ctx, "w"+strconv.Itoa(i))
		}
		after(time.Second)
		if !r.Engine.version.Load().transformTime.isQuick() {
			t.Fatal("the transformer does not count as quick")
		}
		sent = nil
		at := r.giveAll(r.ctx, "a", "a", "b", "a", "c", "d")
		after(10 * time.Second)
		for _, p := range at {
			r.want(p, nil)
		}
		mu.Lock()
		defer mu.Unlock()
		if len(sent) != 3 || !slices.Equal(sent[0], []string{"a", "b", "c"}) {
			t.Errorf("sent %v, want a, b and c first, and each a in a batch of its own", sent)
		}
	})
}

// Events that are larger than their messages count with their own size.
func TestIntake_countsWhatItsEventsHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		r := start(t, Config{}, testVersion{
			Transformer: transformFunc(func(ctx context.Context, m *connector.Message) (*cloudevent.Event, error) {
				ev, err := asIs(ctx, m)
				if string(m.Key) == "big" {
					ev.Data = cloudevent.Bytes(make([]byte, maxGrowth))
				}
				return ev, err
			}),
			Sink: sinkFunc(func(_ context.Context, ev *cloudevent.Event) error {
				if string(ev.Key) == "big" {
					<-block
				}
				return nil
			}),
		})
		r.warm()
		r.giveAll(r.ctx, slices.Repeat([]string{"big"}, 3*maxStride)...)
		synctest.Wait()
		if s := r.Status(); s.Bytes < maxStride*maxGrowth || s.Bytes > (maxStride+1)*maxGrowth {
			t.Errorf("%d bytes held, want those of the %d events that were made before the bound", s.Bytes, maxStride)
		}
		close(block)
		synctest.Wait()
		if s := r.Status(); s.Bytes != 0 || s.InFlight != 0 {
			t.Errorf("left: %+v", s)
		}
	})
}

// collector is a sink that counts.
type collector struct {
	mu  sync.Mutex
	got int
}

func (c *collector) Send(context.Context, *cloudevent.Event) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got++
	return nil
}

func (c *collector) Close(context.Context) error { return nil }

func (c *collector) n() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got
}

func TestLanes_areFoundWhateverCameAndWent(t *testing.T) {
	var table laneTable
	want := map[uint64]*lane{}
	d := newDice(1, 1)
	for range 20_000 {
		hash := d.Uint64N(300) * 0x1_0000_0040 // many with the same home slot
		if l := want[hash]; l != nil {
			table.remove(hash)
			delete(want, hash)
		} else {
			l = &lane{hash: hash}
			table.put(l)
			want[hash] = l
		}
		table.remove(1) // was never there
		if got := table.get(hash); got != want[hash] || table.n != len(want) {
			t.Fatalf("lane %x is %p, want %p; %d lanes, want %d", hash, got, want[hash], table.n, len(want))
		}
	}
	for hash, l := range want {
		if table.get(hash) != l {
			t.Errorf("lane %x is lost", hash)
		}
	}
}

// An event that is transformed far ahead of its turn waits just as long, so no more
// is accepted. No assignment is blocked by another one.
func TestBackPressure_noMoreIsAcceptedThanIsSoonWorkedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		r := start(t, Config{MaxInFlight: 4 * maxBacklog}, testVersion{Sink: sinkFunc(func(_ context.Context, ev *cloudevent.Event) error {
			if string(ev.Key) != "warm" {
				<-free
			}
			return nil
		})})
		r.warm()
		const assignments, each = 8, 256
		var all []string
		var handlers sync.WaitGroup
		give := func(n int) {
			ctx, cancel := context.WithCancel(r.ctx)
			t.Cleanup(cancel)
			ms := make([]*connector.Message, n)
			for i := range ms {
				ms[i] = r.message(strconv.Itoa(i))
				all = append(all, ms[i].Position.String())
			}
			handlers.Go(func() {
				for some := range slices.Chunk(ms, each) {
					r.handOver(ctx, some...)
				}
			})
		}
		for range assignments - 1 {
			give(maxBacklog)
		}
		synctest.Wait()
		before := r.Status()
		// The last assignment that found room took a whole intake, and those with
		// nothing in flight one event each. Workers have taken some of them.
		if ready := before.InFlight - before.Working; ready < maxBacklog-minWorkers || ready > maxBacklog+each+assignments {
			t.Errorf("%d wait for a worker, want %d to %d", ready, maxBacklog-minWorkers, maxBacklog+each+assignments)
		}
		give(each)
		synctest.Wait()
		if r.Status().InFlight == before.InFlight {
			t.Error("an assignment that has nothing in flight found no room")
		}
		close(free)
		handlers.Wait()
		synctest.Wait()
		for _, p := range all {
			r.want(p, nil)
		}
	})
}

// Status reads what holds an event while a worker transforms that event again, and
// the transform then fails for good. The race detector watches.
func TestStatus_readsNothingThatAWorkerWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r := start(t, Config{}, testVersion{Transformer: transformFunc(func(context.Context, *connector.Message) (*cloudevent.Event, error) {
			if calls++; calls == 1 {
				return nil, connector.AsUnavailable(errDown, 0)
			}
			pass(time.Second)
			return nil, fault.New(fault.DecodeFailed, errBoom)
		})})
		m := r.give(r.ctx, "a")
		for range 50 {
			pass(50 * time.Millisecond)
			r.Status()
		}
		r.want(m, nil)
	})
}
