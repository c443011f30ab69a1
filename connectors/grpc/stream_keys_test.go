package grpc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// G6: a client resent one event that came back, and its key was out of order
// (https://github.com/googleapis/java-pubsub/issues/365).
func TestSource_handsLaterEventsOfAKeyBackUntilTheFirstComesAgain(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{}, nil)
	p := openStream(t, dialSource(t, s.address))
	p.send("k", testEvent("1"))
	s.messages(1)[0].Settle(connector.ErrInterrupted)
	p.result(1)
	for _, id := range []string{"2", "3"} {
		r := p.result(p.send("k", testEvent(id)))
		wantRetry(t, r, codes.Unavailable, retryDelay)
		if !strings.Contains(r.Status.Message, "from that one") {
			t.Errorf("the message %q does not say what to do", r.Status.Message)
		}
	}
	p.send("other", testEvent("4"))
	p.send("k", testEvent("1"))
	p.send("k", testEvent("2"))
	p.send("k", testEvent("3"))
	for _, m := range s.messages(5) {
		m.Settle(nil)
	}
	for seq := int64(4); seq <= 7; seq++ {
		if code := p.code(seq); code != codes.OK {
			t.Errorf("event %d is answered with %v", seq, code)
		}
	}
	if ids := s.ids(); !slices.Equal(ids, []string{"1", "4", "1", "2", "3"}) {
		t.Errorf("handed over %v", ids)
	}
}

// G6, the second half: the later of two events comes back first.
func TestSource_opensAFenceOnlyWhenNothingOfTheKeyIsInFlight(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{}, nil)
	p := openStream(t, dialSource(t, s.address))
	p.send("k", testEvent("1"))
	p.send("k", testEvent("2"))
	ms := s.messages(2)
	ms[1].Settle(connector.ErrInterrupted)
	p.result(2)
	wantRetry(t, p.result(p.send("k", testEvent("2"))), codes.Unavailable, retryDelay) // 1 is in flight
	ms[0].Settle(connector.ErrInterrupted)
	p.result(1)
	wantRetry(t, p.result(p.send("k", testEvent("2"))), codes.Unavailable, retryDelay) // 1 comes first
	p.send("k", testEvent("1"))
	p.send("k", testEvent("2"))
	s.messages(4)
	if ids := s.ids(); !slices.Equal(ids, []string{"1", "2", "1", "2"}) {
		t.Errorf("handed over %v", ids)
	}
}

func TestSource_answersAFencedEventThatWaitsForTheHandler(t *testing.T) {
	block := make(chan struct{})
	s := runSource(t, sourceConfig(), SourceOptions{}, func(m *connector.Message) {
		if m.ID == "1" {
			<-block
			m.Settle(connector.ErrInterrupted)
		}
	})
	p := openStream(t, dialSource(t, s.address))
	p.send("k", testEvent("1"))
	s.messages(1)
	p.send("k", testEvent("2"))
	eventuallySource(t, "the second event waits", func() bool { return s.unsettled.Load() == 2 })
	close(block)
	wantRetry(t, p.result(2), codes.Unavailable, retryDelay)
	if s.count() != 1 {
		t.Error("an event behind one that came back was handed over")
	}
}

func TestSource_ordersNothingWithoutAKey(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{}, func(m *connector.Message) {
		if m.ID == "1" {
			m.Settle(connector.ErrInterrupted)
			return
		}
		m.Settle(nil)
	})
	answer, err := publish(t, dialSource(t, s.address), nil, keyless("1"), keyless("2"))
	if err != nil || answer.Results[0].Status.Code == 0 || answer.Results[1].Status.Code != 0 {
		t.Errorf("answered with %v, %v", answer, err)
	}
}

func TestIntake_endsAStreamWithTooManyFences(t *testing.T) {
	k := newIntake(modelSource(t), 4, 1<<20)
	for i := range minFences + 2 {
		err := k.receive(&received{seq: int64(i + 1), key: fmt.Append(nil, i), event: testEvent("a"), size: 1})
		if i == minFences+1 {
			if text := wantCode(t, err, codes.ResourceExhausted); !strings.Contains(text, "more than 1024 keys wait for an event that was handed back; open a new stream") {
				t.Error(text)
			}
			return
		}
		batch, _ := k.take(nil, 1)
		connector.SettleAll(batch, connector.ErrInterrupted)
		k.takeAnswers(nil)
		if err != nil || len(batch) != 1 {
			t.Fatalf("key %d: %v, %d events", i, err, len(batch))
		}
	}
}

func TestIntake_isIdleOnlyWhenTheLastAnswerIsSent(t *testing.T) {
	k := newIntake(modelSource(t), 4, 1<<20)
	if err := k.receive(&received{seq: 1, event: testEvent("a"), size: 1}); err != nil {
		t.Fatal(err)
	}
	batch, _ := k.take(nil, 1)
	if k.idle() {
		t.Error("idle with an event in flight")
	}
	batch[0].Settle(nil)
	sending := k.takeAnswers(nil)
	if len(sending) != 1 || k.idle() {
		t.Errorf("%d answers are taken; idle before they are sent: %v", len(sending), k.idle())
	}
	if left := k.takeAnswers(sending); len(left) != 0 || !k.idle() {
		t.Errorf("%d answers are left; idle: %v", len(left), k.idle())
	}
}

func TestDigester_keepsSourceAndIDApart(t *testing.T) {
	d := newDigester()
	a, b := d.event(&cloudevent.Event{Source: "a", ID: "bc"}), d.event(&cloudevent.Event{Source: "ab", ID: "c"})
	if a == b || a != d.event(&cloudevent.Event{Source: "a", ID: "bc"}) {
		t.Error("digests do not follow source and id")
	}
	if d.key([]byte("a")) == d.key([]byte("b")) || d.key(nil) != d.key([]byte{}) {
		t.Error("digests do not follow the key")
	}
}

// G6, by model: for any event that is handed back, in any order, and however the producer's
// messages cross with the answers, a flow that settles a key in the order of its lane
// sees the events of a key in order.
func TestIntake_keepsTheOrderOfAKeyUnderAnySchedule(t *testing.T) {
	for seed := range uint64(300) {
		runModel(t, rand.New(rand.NewPCG(seed, 1)), seed)
	}
}

// runModel plays producer and flow against one intake.
func runModel(t *testing.T, random *rand.Rand, seed uint64) {
	t.Helper()
	const events = 12
	m := model{t: t, seed: seed, random: random, source: modelSource(t), status: make([]modelStatus, events), done: map[string]bool{}}
	m.intake = newIntake(m.source, 6, 1<<20)
	for step := 0; len(m.done) < events; step++ {
		if step > 100_000 {
			t.Fatalf("seed %d: the producer makes no progress: %v", seed, m.status)
		}
		m.step()
	}
	if held := m.source.listener.buffered.held.Load(); held != 0 || len(m.intake.keys.of) != 0 || m.intake.keys.fenced != 0 || m.source.unsettled.Load() != 0 {
		t.Fatalf("seed %d: %d bytes, %d keys, %d fences and %d events are left", seed, held, len(m.intake.keys.of), m.intake.keys.fenced, m.source.unsettled.Load())
	}
}

func modelSource(t testing.TB) *Source {
	s, err := NewSource(SourceConfig{}, SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.listener = &listener{buffered: byteBudget{limit: 1 << 20}}
	s.assignment = connector.NewAssignment(context.Background(), "model")
	return s
}

type modelStatus int

const (
	unsent modelStatus = iota
	inFlight
	settled
)

// model is a producer of one key that sends again from the first event that failed, and
// a flow that may hand back any event, but delivers only the first of its lane.
type model struct {
	t      *testing.T
	seed   uint64
	random *rand.Rand
	source *Source
	intake *intake
	seq    int64
	status []modelStatus
	sentAs []int // the event of each seq
	wire   []int // sent and not received
	lane   []*connector.Message
	done   map[string]bool
	last   int
	failed bool // since nothing was in flight
}

// send sends the first event that is neither settled nor in flight. After a failure,
// the producer goes back to the first event that failed: it waits for the answers of
// later ones before it sends them again.
func (m *model) send() {
	i, first := slices.Index(m.status, unsent), slices.Index(m.status, inFlight)
	if first < 0 {
		m.failed = false
	}
	if i >= 0 && (!m.failed || i < first) {
		m.status[i] = inFlight
		m.wire = append(m.wire, i)
	}
}

func (m *model) step() {
	switch m.random.IntN(5) {
	case 0:
		m.send()
	case 1: // the next message arrives
		if len(m.wire) > 0 {
			i := m.wire[0]
			m.wire = m.wire[1:]
			m.seq++
			m.sentAs = append(m.sentAs, i)
			e := testEvent(fmt.Sprint(i))
			if err := m.intake.receive(&received{seq: m.seq, key: []byte("k"), event: e, size: 10}); err != nil {
				m.t.Fatalf("seed %d: %v", m.seed, err)
			}
		}
	case 2:
		m.lane, _ = m.intake.take(m.lane, 2)
	case 3:
		m.settle()
	case 4:
		for _, a := range m.intake.takeAnswers(nil) {
			i := m.sentAs[a.seq-1]
			m.status[i] = settled
			if a.status != nil {
				m.status[i], m.failed = unsent, true
			}
		}
	}
}

// settle settles the first of the lane, or hands all of the lane back from a place on,
// the last ones first.
func (m *model) settle() {
	if len(m.lane) == 0 {
		return
	}
	if m.random.IntN(3) > 0 {
		head := m.lane[0]
		m.lane = m.lane[1:]
		var i int
		if _, err := fmt.Sscan(head.ID, &i); err != nil {
			m.t.Fatal(err)
		}
		if !m.done[head.ID] && i != m.last {
			m.t.Fatalf("seed %d: event %d is delivered, and %d is next", m.seed, i, m.last)
		}
		if !m.done[head.ID] {
			m.done[head.ID], m.last = true, i+1
		}
		head.Settle(nil)
		return
	}
	for len(m.lane) > 0 {
		last := m.lane[len(m.lane)-1]
		m.lane = m.lane[:len(m.lane)-1]
		last.Settle(connector.ErrInterrupted)
	}
}
