package delivery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/deadletter"
	"github.com/lsm/fiso/delivery/fault"
)

// world is a simulated source, sink and dead letter queue around one engine, the
// history of each record, and the rules that it must keep. All randomness comes from one
// seed, all time is virtual.
type world struct {
	began time.Time

	mu             sync.Mutex
	seed           uint64
	dice           // the scenario's
	history        []string
	broken         []string // rules that were broken
	parts          []*part
	records        map[string]*record
	healed         bool              // no fault any more
	outage         func() error      // of the whole sink
	stopped        bool              // the context of Run was cancelled
	refuses        bool              // it refused good events at some time
	refusesLetters bool              // refuses letters
	busy           map[string]string // lane -> the id of the event that is in the sink now
	working        int
	most           int // maximum of events being worked on
	order          string
	slow           float64 // the share of slow transforms
}

// record is one record of the simulated source and its history.
type record struct {
	id, lane string
	offset   int64
	// The faults that it causes.
	filtered, malformed, poison, panics bool
	fails                               int // tries that fail, temporarily
	// Its history.
	tries, delivered, buried int
	rolls                    uint64
	code                     fault.Code
	open                     bool // handed over and not settled
	handed                   int
	done                     bool // settled with nil in this epoch or before
}

// part is a partition: a log and its committed offset.
type part struct {
	n         int
	log       []*record
	committed int64
	cancel    context.CancelFunc // of its assignment; nil while it has none
}

func (w *world) note(format string, args ...any) {
	w.history = append(w.history, fmt.Sprintf("%12s  ", time.Since(w.began))+fmt.Sprintf(format, args...))
}

func (w *world) rule(ok bool, format string, args ...any) {
	if !ok {
		s := fmt.Sprintf(format, args...)
		w.broken = append(w.broken, s)
		w.note("BROKEN: %s", s)
	}
}

// dice is a source of randomness. The scenario has its own, and each call of the sink
// has one that depends on the seed, the record and the number of its rolls: so a seed
// gives the same result, however goroutines are scheduled.
type dice struct{ *rand.Rand }

func newDice(seed, n uint64) dice {
	return dice{rand.New(rand.NewPCG(seed, n))} //nolint:gosec // G404: a simulation repeats
}

func (d dice) chance(p float64) bool { return d.Float64() < p }

func (d dice) within(most time.Duration) time.Duration {
	return time.Duration(d.Int64N(int64(most) + 1))
}

// roll is called with the lock held.
func (w *world) roll(r *record) dice {
	r.rolls++
	return newDice(w.seed, uint64(partOf(r))<<40|uint64(r.offset)<<20|r.rolls) //nolint:gosec // G115: small
}

// newWorld makes the records.
func newWorld(seed uint64) *world {
	w := &world{
		began: time.Now(), seed: seed, dice: newDice(seed, 0),
		records: map[string]*record{}, busy: map[string]string{},
	}
	for n := range 1 + w.IntN(3) {
		p := &part{n: n}
		keys := 1 + w.IntN(12)
		for off := range int64(20 + w.IntN(60)) {
			r := &record{id: connector.PartitionOffset("t", int32(n), off).String(), offset: off}
			if k := w.IntN(keys + 1); k > 0 {
				r.lane = strconv.Itoa(k)
			}
			switch {
			case w.chance(0.05):
				r.filtered = true
			case w.chance(0.03):
				r.malformed = true
			case w.chance(0.03):
				r.poison = true
			case w.chance(0.02):
				r.panics = true
			case w.chance(0.1):
				r.fails = 1 + w.IntN(5)
			}
			p.log = append(p.log, r)
			w.records[r.id] = r
		}
		w.parts = append(w.parts, p)
	}
	return w
}

// batchWorld is a world that hands over in batches.
type batchWorld struct{ *world }

// Run hands over batches of random sizes.
func (w batchWorld) Run(ctx context.Context, h connector.Handler) error {
	return w.run(ctx, 1+w.IntN(40), h)
}

func (w *world) Guarantees() connector.Guarantees { return connector.Guarantees{} }

// Run is the simulated source: each partition is assigned, taken away and
// assigned again, and read from where it was committed.
func (w *world) Run(ctx context.Context, h connector.Handler) error {
	return w.run(ctx, 1, h)
}

func (w *world) run(ctx context.Context, most int, h connector.Handler) error {
	var parts sync.WaitGroup
	for _, p := range w.parts {
		parts.Go(func() {
			for ctx.Err() == nil {
				w.assign(ctx, p, most, h)
			}
		})
	}
	parts.Wait()
	return nil
}

// epoch is one assignment of a partition, and the Settler of its messages.
type epoch struct {
	w    *world
	p    *part
	open sync.WaitGroup
	done map[int64]bool
}

func (w *world) assign(ctx context.Context, p *part, most int, h connector.Handler) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ep := &epoch{w: w, p: p, done: map[int64]bool{}}
	a := connector.NewAssignment(ctx, strconv.Itoa(p.n))
	w.mu.Lock()
	p.cancel = cancel
	w.note("partition %d assigned at %d", p.n, p.committed)
	rest := p.log[p.committed:]
	w.mu.Unlock()
	for len(rest) > 0 && ctx.Err() == nil {
		w.mu.Lock()
		n := min(1+w.roll(rest[0]).IntN(most), len(rest))
		w.mu.Unlock()
		ms := make([]*connector.Message, n)
		for i, r := range rest[:n] {
			ms[i] = ep.message(r)
		}
		h(a, ms)
		clear(ms) // the engine must not use the slice any more
		rest = rest[n:]
	}
	<-ctx.Done()
	ended := time.Now()
	ep.open.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	took := time.Since(ended)
	w.note("partition %d let go after %s, committed %d", p.n, took, p.committed)
	w.rule(took <= simDrain, "partition %d was let go only after %s", p.n, took)
}

func (ep *epoch) message(r *record) *connector.Message {
	m := &connector.Message{Value: []byte(r.id), Position: connector.PartitionOffset("t", int32(ep.p.n), r.offset)}
	if r.lane != "" {
		m.Key = []byte(r.lane)
	}
	m.Bind(ep)
	ep.open.Add(1)
	ep.w.mu.Lock()
	defer ep.w.mu.Unlock()
	ep.w.rule(!r.open, "%s was handed over while it was open", r.id)
	r.open = true
	r.handed++
	return m
}

// Settled commits up to the first message that is not settled, as a source does.
func (ep *epoch) Settled(m *connector.Message, err error) {
	defer ep.open.Done()
	w, p := ep.w, ep.p
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.records[m.Position.String()]
	w.rule(r.open, "%s was settled while it was not open", r.id)
	r.open = false
	if err != nil {
		w.rule(errors.Is(err, connector.ErrInterrupted), "%s was settled with %v", r.id, err)
		w.rule(p.cancel == nil || w.stopped, "%s was handed back while its assignment stood", r.id)
		w.note("%s handed back", r.id)
		return
	}
	w.rule(r.filtered || r.delivered+r.buried > 0, "%s was settled with nil and is nowhere", r.id)
	r.done, ep.done[r.offset] = true, true
	for ep.done[p.committed] {
		p.committed++
	}
}

// revoke ends the assignment of a partition.
func (w *world) revoke(p *part) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.cancel != nil {
		w.note("partition %d revoked", p.n)
		p.cancel()
		p.cancel = nil
	}
}

// Process is the simulated transform.
func (w *world) Process(ctx context.Context, m *connector.Message) (*cloudevent.Event, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.records[string(m.Value)]
	if w.slow > 0 && w.roll(r).chance(w.slow) {
		d := w.roll(r).within(20 * time.Millisecond)
		if !w.healed && w.roll(r).chance(0.02) {
			d = 10 * time.Minute // hangs
		}
		w.mu.Unlock()
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
		w.mu.Lock()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	switch {
	case r.filtered:
		return nil, nil
	case r.malformed:
		return nil, fault.New(fault.DecodeFailed, errors.New("not JSON"))
	case r.panics && w.roll(r).chance(0.5):
		panic("transform")
	}
	return asIs(ctx, m)
}

// enter and exit check the rules for an event in the sink.
func (w *world) enter(id string) *record {
	r := w.records[id]
	lane := w.laneOf(r)
	if lane != "" {
		w.rule(w.busy[lane] == "", "%s and %s of lane %s were side by side", id, w.busy[lane], lane)
		w.busy[lane] = id
	}
	w.working++
	w.rule(w.working <= w.most, "%d events were worked on at a time, of at most %d", w.working, w.most)
	r.tries++
	return r
}

func (w *world) exit(r *record) {
	delete(w.busy, w.laneOf(r))
	w.working--
}

// laneOf returns the name of a record's lane; "" if it has no order.
func (w *world) laneOf(r *record) string {
	part := strconv.Itoa(partOf(r))
	switch {
	case w.order == OrderPartition:
		return part
	case w.order == OrderNone || r.lane == "":
		return ""
	default:
		return part + "/" + r.lane
	}
}

// call is one call of the sink: it takes some time, and may be cancelled.
func (w *world) call(ctx context.Context, r *record) error {
	w.mu.Lock()
	roll := w.roll(r)
	d := roll.within(20 * time.Millisecond)
	if !w.healed && roll.chance(0.01) {
		d = 10 * time.Minute // hangs
	}
	w.mu.Unlock()
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// answer is the result of the sink for one record.
func (w *world) answer(r *record, err error) error {
	switch {
	case err != nil:
	case w.outage != nil:
		err = w.outage()
	case r.poison:
		err = connector.AsPermanent(errors.New("422"))
	case r.fails > 0:
		r.fails--
		err = connector.AsTemporary(errors.New("503"), w.roll(r).within(time.Second))
	case !w.healed && w.roll(r).chance(0.01):
		err = fmt.Errorf("somebody else's: %w", context.Canceled)
	}
	if err == nil {
		w.deliver(r)
	} else {
		w.note("%s refused: %v", r.id, err)
	}
	return err
}

func (w *world) deliver(r *record) {
	r.delivered++
	w.note("%s delivered", r.id)
	if r.delivered > 1 || w.laneOf(r) == "" {
		return
	}
	for _, o := range w.parts[partOf(r)].log[:r.offset] {
		if w.laneOf(o) == w.laneOf(r) && !o.filtered {
			w.rule(o.delivered+o.buried > 0, "%s was delivered before %s, of the same lane", r.id, o.id)
		}
	}
}

func partOf(r *record) int {
	n, _ := strconv.Atoi(strings.Split(r.id, "-")[1])
	return n
}

// Send and SendBatch are the simulated sink.
func (w *world) Send(ctx context.Context, ev *cloudevent.Event) error {
	w.mu.Lock()
	r := w.enter(ev.ID)
	boom := !w.healed && r.panics && w.roll(r).chance(0.3)
	w.mu.Unlock()
	err := w.call(ctx, r)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.exit(r)
	if boom {
		panic("sink")
	}
	return w.answer(r, err)
}

func (w *world) SendBatch(ctx context.Context, evs []*cloudevent.Event) []error {
	errs := make([]error, len(evs))
	rs := make([]*record, len(evs))
	w.mu.Lock()
	for i, ev := range evs {
		rs[i] = w.enter(ev.ID)
	}
	whole := w.roll(rs[0]).chance(0.1) // a sink that refuses a batch as a whole for one bad event
	w.mu.Unlock()
	err := w.call(ctx, rs[0])
	w.mu.Lock()
	defer w.mu.Unlock()
	refuse := false
	for _, r := range rs {
		refuse = refuse || r.poison && whole
	}
	for i, r := range rs {
		w.exit(r)
		if errs[i] = connector.AsPermanent(errors.New("batch refused")); !refuse || len(rs) == 1 {
			errs[i] = w.answer(r, err)
		}
	}
	return errs
}

func (w *world) Close(context.Context) error { return nil }

// simLetters is the simulated dead letter queue.
type simLetters struct{ *world }

func (g simLetters) Write(ctx context.Context, l *deadletter.Letter) error {
	w := g.world
	r := w.records[string(l.Message.Value)]
	if err := w.call(ctx, r); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refusesLetters || (!w.healed && w.roll(r).chance(0.1)) {
		w.note("%s refused by the dead letter queue", r.id)
		return errors.New("no leader")
	}
	r.buried++
	r.code = l.Code
	w.note("%s buried: %s: %s", r.id, l.Code, l.Reason)
	cause := r.malformed && l.Code == fault.DecodeFailed || r.poison && l.Code == fault.SinkRejected ||
		r.panics || w.refuses && l.Code == fault.SinkRejected || l.Code == fault.SinkDeliveryFailed && l.Retries == simRetries
	w.rule(cause, "%s became a dead letter for no fault of its own: %s after %d retries", r.id, l.Code, l.Retries)
	return nil
}
