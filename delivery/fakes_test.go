package delivery

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/backoff"
	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/deadletter"
	"github.com/lsm/fiso/delivery/fault"
)

var errBoom = errors.New("boom")

// sourceFunc is a source whose Run is the function.
type sourceFunc func(context.Context, connector.Handler) error

func (f sourceFunc) Run(ctx context.Context, h connector.Handler) error { return f(ctx, h) }
func (sourceFunc) Guarantees() connector.Guarantees                     { return connector.Guarantees{} }

// sinkFunc is a sink whose Send is the function.
type sinkFunc func(context.Context, *cloudevent.Event) error

func (f sinkFunc) Send(ctx context.Context, e *cloudevent.Event) error { return f(ctx, e) }
func (sinkFunc) Close(context.Context) error                           { return nil }

// batchFunc is a sink whose SendBatch is the function; Send is a batch of one.
type batchFunc func(context.Context, []*cloudevent.Event) []error

func (f batchFunc) SendBatch(ctx context.Context, es []*cloudevent.Event) []error { return f(ctx, es) }
func (f batchFunc) Close(context.Context) error                                   { return nil }
func (f batchFunc) Send(ctx context.Context, e *cloudevent.Event) error {
	if errs := f(ctx, []*cloudevent.Event{e}); len(errs) > 0 {
		return errs[0]
	}
	return nil
}

// transformFunc is a oneEventTransformer whose Process is the function.
type transformFunc func(context.Context, *connector.Message) (*cloudevent.Event, error)

func (f transformFunc) Process(ctx context.Context, m *connector.Message) (*cloudevent.Event, error) {
	return f(ctx, m)
}

// oneEventTransformer makes at most one event of a message.
type oneEventTransformer interface {
	Process(ctx context.Context, m *connector.Message) (*cloudevent.Event, error)
}

// single is the Transformer of a oneEventTransformer, for one output.
type single struct{ p oneEventTransformer }

func (s single) Transform(ctx context.Context, m *connector.Message, into []Routed) ([]Routed, error) {
	e, err := s.p.Process(ctx, m)
	if err == nil && e != nil {
		into = append(into, Routed{Event: e})
	}
	return into, err
}

// testVersion is a version with one output.
type testVersion struct {
	Transformer  oneEventTransformer
	Sink         connector.Sink
	SinkName     string
	DeadLetter   deadletter.Writer
	Retry        backoff.Policy
	MaxRetries   int
	OnExhausted  string
	StopTheLine  int
	CountOutages bool
	Batch        *Batch
}

func (st *testVersion) version() *Version {
	h := Handling{DeadLetter: st.DeadLetter, Retry: st.Retry, MaxRetries: st.MaxRetries, OnExhausted: st.OnExhausted}
	return &Version{Transformer: single{st.Transformer}, Handling: h, Outputs: []Output{
		{Name: st.SinkName, Sink: st.Sink, Handling: h, StopTheLine: st.StopTheLine, CountOutages: st.CountOutages, Batch: st.Batch},
	}}
}

func newEngine(cfg Config, st *testVersion) *Engine { return New(cfg, st.version()) }

// lineOf returns why the first closed gate is closed; "" if none is.
func lineOf(s State) string {
	if len(s.Closed) == 0 {
		return ""
	}
	return s.Closed[0].Why
}

// asIs makes an event of a message, with the position as its id.
func asIs(_ context.Context, m *connector.Message) (*cloudevent.Event, error) {
	return &cloudevent.Event{ID: m.Position.String(), Source: "test", Type: "test", Data: cloudevent.Bytes(m.Value), Key: m.Key}, nil
}

// letterStore is a dead letter writer that keeps letters, and fails while err is set.
type letterStore struct {
	mu      sync.Mutex
	err     error
	letters []*deadletter.Letter
	write   func(context.Context, *deadletter.Letter) error // called first, if set
}

func (m *letterStore) Write(ctx context.Context, l *deadletter.Letter) error {
	if m.write != nil {
		if err := m.write(ctx, l); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.letters = append(m.letters, l)
	}
	return m.err
}

func (m *letterStore) Close(context.Context) error { return nil }

func (m *letterStore) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// codes returns the codes of the letters by position.
func (m *letterStore) codes() map[string]fault.Code {
	m.mu.Lock()
	defer m.mu.Unlock()
	by := make(map[string]fault.Code)
	for _, l := range m.letters {
		by[l.Message.Position.String()] = l.Code
	}
	return by
}

// ends records how messages were settled, and fails the test if one is settled
// twice.
type ends struct {
	t  *testing.T
	mu sync.Mutex
	by map[string]error
	// outcomes has the outcomes of the messages that were settled with nil.
	outcomes map[string]connector.Outcome
}

func (s *ends) Settled(m *connector.Message, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, twice := s.by[m.Position.String()]; twice {
		s.t.Errorf("%s was settled twice", m.Position)
	}
	s.by[m.Position.String()] = err
	if err == nil {
		if s.outcomes == nil {
			s.outcomes = map[string]connector.Outcome{}
		}
		s.outcomes[m.Position.String()] = m.Outcome
	}
}

func (s *ends) of(position string) (err error, settled bool) { //nolint:revive // reads best in this order
	s.mu.Lock()
	defer s.mu.Unlock()
	err, settled = s.by[position]
	return err, settled
}

func (s *ends) n() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.by)
}

// rig is a running engine with a source whose messages come from the test.
type rig struct {
	*Engine
	t           *testing.T
	ends        *ends
	letterStore *letterStore
	ctx         context.Context // of the run, and of assignment "a"
	stop        context.CancelFunc
	done        chan struct{}
	err         error // of Run, once done
	offset      int64

	mu        sync.Mutex
	byContext map[context.Context]*connector.Assignment
}

var testRetry = backoff.Policy{Kind: backoff.Constant, Initial: time.Second}

// start runs an engine in the current bubble. Fields of st that are not set get
// values that work.
func start(t *testing.T, cfg Config, st testVersion) *rig {
	t.Helper()
	r := &rig{t: t, byContext: map[context.Context]*connector.Assignment{}, ends: &ends{t: t, by: make(map[string]error)}, letterStore: &letterStore{}, done: make(chan struct{})}
	r.Engine = newEngine(cfg, r.withDefaults(st))
	r.ctx, r.stop = context.WithCancel(t.Context())
	go func() {
		defer close(r.done)
		r.err = r.Run(r.ctx, sourceFunc(func(ctx context.Context, _ connector.Handler) error {
			<-ctx.Done()
			return nil
		}))
	}()
	synctest.Wait()
	t.Cleanup(func() {
		r.stop()
		<-r.done
	})
	return r
}

func (r *rig) withDefaults(st testVersion) *testVersion {
	if st.Transformer == nil {
		st.Transformer = transformFunc(asIs)
	}
	if st.Sink == nil {
		st.Sink = sinkFunc(func(context.Context, *cloudevent.Event) error { return nil })
	}
	if st.DeadLetter == nil && st.OnExhausted == "" {
		st.DeadLetter = r.letterStore
	}
	if st.Retry == (backoff.Policy{}) {
		st.Retry = testRetry
	}
	return &st
}

// give hands over a message of the assignment that has the context; key "" means no
// key. It returns the position.
func (r *rig) give(ctx context.Context, key string) string {
	m := r.message(key)
	r.handOver(ctx, m)
	return m.Position.String()
}

// handOver hands over messages of the assignment that has the context.
func (r *rig) handOver(ctx context.Context, ms ...*connector.Message) {
	r.mu.Lock()
	a := r.byContext[ctx]
	if a == nil {
		a = connector.NewAssignment(ctx, "t-0")
		r.byContext[ctx] = a
	}
	r.mu.Unlock()
	r.handle(a, ms)
}

func (r *rig) message(key string) *connector.Message {
	m := &connector.Message{Value: []byte(key + "#" + strconv.FormatInt(r.offset, 10)), Position: connector.PartitionOffset("t", 0, r.offset)}
	if key != "" {
		m.Key = []byte(key)
	}
	r.offset++
	m.Bind(r.ends)
	return m
}

// want asserts how a message ended.
func (r *rig) want(position string, want error) {
	r.t.Helper()
	err, settled := r.ends.of(position)
	if !settled {
		r.t.Errorf("%s is not settled, want settled with %v", position, want)
	} else if !errors.Is(err, want) || (want == nil && err != nil) {
		r.t.Errorf("%s was settled with %v, want %v", position, err, want)
	}
}

func (r *rig) wantUnsettled(position string) {
	r.t.Helper()
	if err, settled := r.ends.of(position); settled {
		r.t.Errorf("%s was settled with %v, want unsettled", position, err)
	}
}

// pass sleeps, mostly in virtual time: nearly all tests here run in a bubble.
func pass(d time.Duration) { <-time.After(d) }

// after lets virtual time pass and waits until every goroutine is blocked.
func after(d time.Duration) {
	pass(d)
	synctest.Wait()
}
