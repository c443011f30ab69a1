package delivery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/backoff"
	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/deadletter"
)

// manyWorld is a simulated source of an engine with several outputs, and the rules
// for the events of each output. A message becomes one to three events, each of which
// goes to some of the outputs.
type manyWorld struct {
	dice // of the scenario

	mu          sync.Mutex
	seed        uint64
	began       time.Time
	log         []*manyRecord
	done        int // records that are settled, from the first
	history     []string
	broken      []string
	away        []bool // outputs that do not answer
	hasReceipts []bool // outputs that hand out receipts
	refuses     bool   // the dead letter queue refuses letters
	healed      bool
	cancel      context.CancelFunc // of the assignment
	busy        map[string]string  // output and key -> what is in the sink
}

// manyRecord is a message and its deliveries.
type manyRecord struct {
	n       int
	key     string
	parts   []*manyPart // none: filtered
	open    bool
	settled bool
	handed  int
	rolls   uint64
}

// manyPart is one delivery.
type manyPart struct {
	of                       *manyRecord
	output, part             int
	fails                    int // tries that fail, temporarily
	poison, breaks           bool
	tries, delivered, buried int
	receipted                bool // the receipt was written
}

func (p *manyPart) String() string { return fmt.Sprintf("%d.%d to %d", p.of.n, p.part, p.output) }

func newManyWorld(seed uint64) *manyWorld {
	w := &manyWorld{dice: newDice(seed, 77), seed: seed, began: time.Now(), busy: map[string]string{}}
	w.away = make([]bool, 1+w.IntN(3))
	for range w.away {
		w.hasReceipts = append(w.hasReceipts, w.chance(0.3))
	}
	keys := 1 + w.IntN(6)
	for n := range 20 + w.IntN(60) {
		r := &manyRecord{n: n}
		if k := w.IntN(keys + 1); k > 0 {
			r.key = fmt.Sprint(k)
		}
		for part := range 1 + w.IntN(3) {
			for output := range w.away {
				if w.chance(0.4) {
					continue
				}
				p := &manyPart{of: r, output: output, part: part, poison: w.chance(0.03), breaks: w.chance(0.03)}
				if w.chance(0.1) {
					p.fails = 1 + w.IntN(4)
				}
				r.parts = append(r.parts, p)
			}
		}
		w.log = append(w.log, r)
	}
	return w
}

func (w *manyWorld) note(format string, args ...any) {
	w.history = append(w.history, fmt.Sprintf("%12s  ", time.Since(w.began))+fmt.Sprintf(format, args...))
}

func (w *manyWorld) rule(ok bool, format string, args ...any) {
	if !ok {
		w.broken = append(w.broken, fmt.Sprintf(format, args...))
		w.note("BROKEN: "+format, args...)
	}
}

// Guarantees and Run make it a source of one partition.
func (w *manyWorld) Guarantees() connector.Guarantees {
	return connector.Guarantees{Redelivers: true, Orders: true}
}

func (w *manyWorld) Run(ctx context.Context, handle connector.Handler) error {
	for ctx.Err() == nil {
		ctx, cancel := context.WithCancel(ctx)
		var open sync.WaitGroup
		w.mu.Lock()
		w.cancel = cancel
		rest := w.log[w.done:]
		w.note("assigned at %d", w.done)
		w.mu.Unlock()
		a := connector.NewAssignment(ctx, "t-0")
		for len(rest) > 0 && ctx.Err() == nil {
			w.mu.Lock()
			n := min(1+w.roll(rest[0]).IntN(20), len(rest))
			ms := make([]*connector.Message, n)
			for i, r := range rest[:n] {
				r.open = true
				r.handed++
				ms[i] = &connector.Message{Value: []byte(fmt.Sprint(r.n)), Position: connector.PartitionOffset("t", 0, int64(r.n))}
				if r.key != "" {
					ms[i].Key = []byte(r.key)
				}
				ms[i].Bind(&manyEnd{w, r, &open})
				open.Add(1)
			}
			w.mu.Unlock()
			handle(a, ms)
			rest = rest[n:]
		}
		<-ctx.Done()
		open.Wait()
		cancel()
	}
	return nil
}

// manyEnd is the Settler of a record.
type manyEnd struct {
	w    *manyWorld
	r    *manyRecord
	open *sync.WaitGroup
}

func (e *manyEnd) Settled(m *connector.Message, err error) {
	w := e.w
	w.mu.Lock()
	defer w.mu.Unlock()
	defer e.open.Done()
	w.rule(e.r.open, "%d was settled twice", e.r.n)
	if e.r.open = false; err != nil {
		w.rule(errors.Is(err, connector.ErrInterrupted), "%d was settled with %v", e.r.n, err)
		return
	}
	w.rule(m.Outcome != connector.OutcomeUnknown && (m.Outcome == connector.Filtered) == (len(e.r.parts) == 0), "%d is %s with %d parts", e.r.n, m.Outcome, len(e.r.parts))
	buried := false
	for _, p := range e.r.parts {
		buried = buried || p.buried > 0
		w.rule(p.delivered > 0 || m.Outcome != connector.Delivered, "%d is delivered, and %v is not", e.r.n, p)
		w.rule(p.delivered+p.buried > 0, "%d was settled, and %v is nowhere", e.r.n, p)
		w.rule(p.receipted || !w.hasReceipts[p.output] || p.buried > 0, "%d was settled, and %v has no receipt", e.r.n, p)
	}
	w.rule(buried || m.Outcome != connector.DeadLettered, "%d is a dead letter, and none was stored", e.r.n)
	e.r.settled = true
	for w.done < len(w.log) && w.log[w.done].settled {
		w.done++
	}
}

func (w *manyWorld) roll(r *manyRecord) dice {
	r.rolls++
	return newDice(w.seed, uint64(r.n)<<20|r.rolls) //nolint:gosec // G115: small
}

// Transform routes a message as the dice chose.
func (w *manyWorld) Transform(_ context.Context, m *connector.Message, into []Routed) ([]Routed, error) {
	r := w.log[m.Position.Offset]
	if len(r.parts) == 0 {
		return into, ErrUnrouted
	}
	for _, p := range r.parts {
		into = append(into, Routed{Output: p.output, Part: p.part, Event: &cloudevent.Event{ID: fmt.Sprintf("%d#%d", r.n, p.part), Source: "t", Type: "t", Key: m.Key}})
	}
	return into, nil
}

// manySink is one of the outputs and its dead letter writer.
type manySink struct {
	w      *manyWorld
	output int
}

func (s manySink) find(id string) *manyPart {
	var n, part int
	_, _ = fmt.Sscanf(id, "%d#%d", &n, &part)
	for _, p := range s.w.log[n].parts {
		if p.output == s.output && p.part == part {
			return p
		}
	}
	s.w.rule(false, "output %d got %s, which was not for it", s.output, id)
	return &manyPart{of: s.w.log[n]}
}

func (s manySink) Send(ctx context.Context, e *cloudevent.Event) error {
	return s.SendBatch(ctx, []*cloudevent.Event{e})[0]
}

func (s manySink) SendBatch(ctx context.Context, es []*cloudevent.Event) []error {
	w := s.w
	w.mu.Lock()
	ps := make([]*manyPart, len(es))
	for i, e := range es {
		p := s.find(e.ID)
		ps[i] = p
		if lane := fmt.Sprint(s.output, "/", p.of.key); p.of.key != "" {
			w.rule(w.busy[lane] == "", "%v and %s were side by side", p, w.busy[lane])
			w.busy[lane] = p.String()
		}
		p.tries++
	}
	d := w.roll(ps[0].of).within(20 * time.Millisecond)
	if !w.healed && w.roll(ps[0].of).chance(0.01) {
		d = 10 * time.Minute
	}
	w.mu.Unlock()
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	errs := make([]error, len(es))
	for i, p := range ps {
		delete(w.busy, fmt.Sprint(s.output, "/", p.of.key))
		if errs[i] = s.answer(p, ctx.Err()); errs[i] != nil {
			w.note("%v refused: %v", p, errs[i])
		}
	}
	return errs
}

func (s manySink) answer(p *manyPart, err error) error {
	w := s.w
	switch {
	case err != nil:
		return err
	case w.away[s.output]:
		return connector.AsUnavailable(errors.New("connection refused"), 0)
	case p.poison:
		return connector.AsPermanent(errors.New("422"))
	case p.breaks && !w.healed: // without an end, it would hold the event forever, as an outage does
		return connector.AsUnavailable(errors.New("connection reset"), 0)
	case p.fails > 0:
		p.fails--
		return connector.AsTemporary(errors.New("500"), 0)
	}
	p.delivered++
	w.note("%v delivered", p)
	// A delivery whose receipt was not written when the version changed is made again.
	w.rule(p.delivered <= p.of.handed || w.hasReceipts[s.output], "%v was delivered %d times, and handed over %d times", p, p.delivered, p.of.handed)
	w.inOrder(p)
	return nil
}

// inOrder checks that all earlier deliveries of its output and key are done.
func (w *manyWorld) inOrder(p *manyPart) {
	if p.of.key == "" || p.delivered+p.buried > 1 {
		return
	}
	for _, r := range w.log[:p.of.n+1] {
		for _, o := range r.parts {
			if r.key == p.of.key && o.output == p.output && (r != p.of || o.part < p.part) {
				w.rule(o.delivered+o.buried > 0, "%v came before %v", p, o)
			}
		}
	}
}

func (s manySink) Close(context.Context) error { return nil }

func (s manySink) Write(_ context.Context, l *deadletter.Letter) error {
	w := s.w
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.log[l.Message.Position.Offset]
	if w.refuses || !w.healed && w.roll(r).chance(0.1) {
		return errors.New("no leader")
	}
	w.rule(l.Sink == fmt.Sprint("o", s.output), "a dead letter of output %s went to that of %d", l.Sink, s.output)
	w.note("%d buried for output %d: %s", r.n, s.output, l.Reason)
	fault := false
	for _, p := range r.parts {
		if p.output == s.output && (p.poison || p.breaks || p.tries > simRetries) && (p.delivered == 0 || w.hasReceipts[s.output]) {
			p.buried++ // one part of the record; the letter does not say which
			fault = true
		}
	}
	w.rule(fault, "%d became a dead letter of output %d for no fault of its own: %s", r.n, s.output, l.Reason)
	return nil
}

// receipt is the Receipt of an output; it fails at random.
func (s manySink) receipt(_ context.Context, e *cloudevent.Event, l *deadletter.Letter) error {
	w := s.w
	w.mu.Lock()
	defer w.mu.Unlock()
	p := s.find(e.ID)
	if w.refuses || !w.healed && w.roll(p.of).chance(0.1) {
		return errors.New("no leader")
	}
	w.rule((l == nil) == (p.delivered > 0) || p.of.handed > 1, "%v: letter %v after %d deliveries", p, l, p.delivered)
	p.receipted = true
	return nil
}

func (w *manyWorld) version() *Version {
	v := &Version{Transformer: w}
	for i := range w.away {
		s := manySink{w, i}
		out := Output{Name: fmt.Sprint("o", i), Sink: s, Handling: Handling{
			DeadLetter: s, MaxRetries: simRetries, Retry: backoff.Policy{Initial: 20 * time.Millisecond, Max: time.Second, Jitter: 0.2},
		}}
		if w.hasReceipts[i] {
			out.Receipt = s.receipt
		}
		if w.chance(0.3) {
			out.MaxInFlight = 1 + w.IntN(4)
		}
		if w.chance(0.4) {
			out.Batch = &Batch{MaxEvents: 1 + w.IntN(10), MaxWait: w.within(100 * time.Millisecond), Eager: w.chance(0.5)}
		}
		v.Outputs = append(v.Outputs, out)
	}
	return v
}

func (w *manyWorld) disturb(e *Engine) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch w.IntN(5) {
	case 0:
		w.note("revoked")
		w.cancel()
	case 1, 2:
		v := w.version()
		w.mu.Unlock()
		unused := e.Swap(context.Background(), v)
		w.mu.Lock()
		w.note("swapped")
		w.rule(unused, "the old version is used after Swap")
	case 3:
		i := w.IntN(len(w.away))
		w.away[i] = !w.away[i]
		w.note("output %d away: %v", i, w.away[i])
	case 4:
		w.refuses = !w.refuses
	}
}

// A message is settled if and only if all its deliveries are done. Each output gets
// the events of a key in order, and none twice, however often the version changes.
func TestModel_ofManyOutputs(t *testing.T) {
	for seed := range modelSeeds() {
		ok := t.Run(fmt.Sprint("seed=", seed+1), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newManyWorld(seed + 1)
				e := New(Config{Name: "model", MaxInFlight: []int{1, 2, 5, 16, 200}[w.IntN(5)], DrainTimeout: simDrain}, w.version())
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() { ended <- e.Run(ctx, w) }()
				synctest.Wait()
				for range w.IntN(25) {
					pass(w.within(400 * time.Millisecond))
					w.disturb(e)
				}
				w.mu.Lock()
				w.healed, w.refuses = true, false
				clear(w.away)
				w.mu.Unlock()
				for range 1800 { // calls that hang take ten minutes
					if pass(time.Second); w.isDone() {
						break
					}
				}
				synctest.Wait()
				w.mu.Lock()
				w.rule(w.done == len(w.log), "%d of %d are settled: %+v", w.done, len(w.log), e.Status())
				w.mu.Unlock()
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if len(w.broken) > 0 {
					t.Errorf("%s\n%s", strings.Join(w.broken, "\n"), strings.Join(w.history, "\n"))
				}
			})
		})
		if !ok {
			return
		}
	}
}

func (w *manyWorld) isDone() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.done == len(w.log)
}
