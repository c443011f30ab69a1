package connectortest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lsm/fiso/common/connector"
)

// sourceEnv is a running scenario of a source.
type sourceEnv struct {
	env
	f Features
	h SourceHarness
}

func newSourceEnv(t testing.TB, f Features, n NewSource) *sourceEnv {
	t.Helper()
	checkGoroutines(t)
	h := n(t)
	return &sourceEnv{env{t, h.withDefaults()}, f, h}
}

// delivery is a message that was handed over.
type delivery struct {
	a     *connector.Assignment
	ctx   context.Context // of a; stored because it is tested
	m     *connector.Message
	value string // a copy, to compare with the message's bytes later
	input Input
}

// session is one run of one source.
type session struct {
	e      *sourceEnv
	source connector.Source
	cancel context.CancelFunc
	done   chan struct{}
	err    error // of Run; valid once done is closed

	mu     sync.Mutex
	got    []*delivery
	active map[*connector.Assignment]int // calls of the handler under way
	faults []string
}

// settleAll is a handler that settles every message with nil at once.
func settleAll(d *delivery) { d.m.Settle(nil) }

// settleNone is a handler that settles no message.
func settleNone(*delivery) {}

// handBack is a handler that starts a goroutine, which waits until the context
// ends and then settles with ErrInterrupted.
func (e *sourceEnv) handBack(d *delivery) {
	go func() {
		<-d.ctx.Done()
		d.m.Settle(connector.ErrInterrupted)
	}()
}

// start runs a new source. It stops at the latest when the scenario ends.
func (e *sourceEnv) start(handle func(*delivery)) *session {
	e.Helper()
	ctx, cancel := context.WithCancel(e.Context())
	s := &session{e: e, source: e.h.New(e), cancel: cancel, done: make(chan struct{}), active: map[*connector.Assignment]int{}}
	go func() {
		defer close(s.done)
		s.err = s.source.Run(ctx, func(a *connector.Assignment, ms []*connector.Message) { s.handleAll(a, ms, handle) })
	}()
	e.Cleanup(func() {
		cancel()
		select {
		case <-s.done:
		case <-time.After(e.timing.Timeout):
			e.Errorf("Run has not returned %v after its context ended", e.timing.Timeout)
		}
		for _, fault := range s.takeFaults() {
			e.Errorf("%s", fault)
		}
	})
	return s
}

func (s *session) takeFaults() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	faults := s.faults
	s.faults = nil
	return faults
}

// handleAll is the handler of the source. It checks each call, and passes the
// messages on one by one.
func (s *session) handleAll(a *connector.Assignment, ms []*connector.Message, handle func(*delivery)) {
	s.mu.Lock()
	if s.active[a]++; s.active[a] > 1 {
		s.fault("assignment %s is handed over %d times at once", a, s.active[a])
	}
	s.check(a, ms)
	s.mu.Unlock()
	for _, m := range ms {
		d := &delivery{a: a, ctx: a.Context(), m: m, value: string(m.Value), input: Input{string(m.Key), string(m.Value)}}
		s.mu.Lock()
		s.got = append(s.got, d)
		s.mu.Unlock()
		handle(d)
	}
	s.mu.Lock()
	s.active[a]--
	s.mu.Unlock()
}

// check asserts that a call may hold these messages. Called with mu held.
func (s *session) check(a *connector.Assignment, ms []*connector.Message) {
	if len(ms) == 0 {
		s.fault("assignment %s is handed over without a message", a)
		return
	}
	for i, m := range ms {
		if partitionOf(m) != partitionOf(ms[0]) {
			s.fault("%s and %s are handed over in one call, and are of different partitions", ms[0].Position, m.Position)
		} else if m.Position.Known() && i > 0 && m.Position.Offset <= ms[i-1].Position.Offset {
			s.fault("%s comes after %s in one call", m.Position, ms[i-1].Position)
		}
	}
}

// fault records a fault, to be reported when the session ends. Called with mu held.
func (s *session) fault(format string, args ...any) {
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

// stop ends the context of Run and waits for it to return.
func (s *session) stop() {
	s.e.Helper()
	s.cancel()
	s.e.closed("Run returns after its context ended", s.done)
	if s.err != nil {
		s.e.Fatalf("Run returned an error after its context ended, not nil: %v", s.err)
	}
}

// deliveries returns the deliveries so far, in order.
func (s *session) deliveries() []*delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// values returns the values of the deliveries so far, in order.
func (s *session) values() []string {
	var list []string
	for _, d := range s.deliveries() {
		list = append(list, d.value)
	}
	return list
}

// running fails the scenario if Run has returned too early.
func (s *session) running() {
	s.e.Helper()
	select {
	case <-s.done:
		if s.e.Context().Err() == nil {
			s.e.Fatalf("Run returned by itself: %v", s.err)
		}
	default:
	}
}

// hasAll waits until every input was handed over at least once.
func (s *session) hasAll(inputs []Input) {
	s.e.Helper()
	missing := func() (list []string) {
		values := s.values()
		for _, in := range inputs {
			if !slices.Contains(values, in.Value) {
				list = append(list, in.Value)
			}
		}
		return list
	}
	if !s.e.wait(func() bool { s.running(); return len(missing()) == 0 }) {
		s.e.Fatalf("%q not handed over within %v; handed over: %q", missing(), s.e.timing.Timeout, s.values())
	}
}

// find returns the first delivery of a value, and fails the scenario without one.
func (s *session) find(value string) *delivery {
	s.e.Helper()
	for _, d := range s.deliveries() {
		if d.value == value {
			return d
		}
	}
	s.e.Fatalf("%q was not handed over", value)
	return nil
}

// inOrder asserts that the first deliveries of each key are in the order of
// the inputs.
func (s *session) inOrder(inputs []Input) {
	s.e.Helper()
	if !s.e.f.Orders {
		return
	}
	rank, key := map[string]int{}, map[string]string{}
	for i, in := range inputs {
		rank[in.Value], key[in.Value] = i, in.Key
	}
	last, seen := map[string]string{}, map[string]bool{}
	for _, v := range s.values() {
		if seen[v] {
			continue
		}
		seen[v] = true
		k := key[v]
		if before, ok := last[k]; ok && rank[before] > rank[v] {
			s.e.Errorf("%q was handed over before %q of the same key, produced earlier", before, v)
		}
		last[k] = v
	}
}

// once asserts that no value was handed over twice.
func (s *session) once() {
	s.e.Helper()
	seen := map[string]bool{}
	for _, v := range s.values() {
		if seen[v] {
			s.e.Errorf("%q was handed over twice in one run without faults", v)
		}
		seen[v] = true
	}
}

// committed waits until the commits cover exactly the deliveries of a session. It
// does nothing if the harness cannot tell.
func (s *session) committed() {
	s.e.Helper()
	if s.e.h.Committed == nil {
		return
	}
	want := map[Partition]int64{}
	for _, d := range s.deliveries() {
		p := partitionOf(d.m)
		want[p] = max(want[p], d.m.Position.Offset+1)
	}
	s.e.until("everything settled is committed", func() bool {
		got := s.e.h.Committed(s.e)
		for p, offset := range want {
			if got[p] != offset {
				return false
			}
		}
		return true
	})
}

// inputs makes n messages with the keys in turn.
func inputs(prefix string, n int, keys ...string) []Input {
	list := make([]Input, n)
	for i := range list {
		list[i] = Input{keys[i%len(keys)], fmt.Sprintf("%s-%03d", prefix, i)}
	}
	return list
}
