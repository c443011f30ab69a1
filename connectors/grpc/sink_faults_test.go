package grpc

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/lsm/fiso/common/connector"
	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

// moody is a receiver that answers out of order, hands events back, drains, ends streams
// and breaks connections, by a seed. It keeps what it accepted.
type moody struct {
	r    *receiver
	wait sync.WaitGroup

	mu       sync.Mutex
	random   *rand.Rand
	history  map[string][]string // ids accepted, by key, in the order of arrival
	received int
	trouble  map[string]int
}

func (m *moody) take(s *session, e *pb.StreamEvent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.received++
	roll := m.random.IntN(1000)
	if roll < 100 { // not accepted
		m.trouble["handed back"]++
		s.result(e.GetSeq(), resultStatus(codes.Unavailable, "handed back", 0))
		return
	}
	key := string(e.GetKey())
	m.history[key] = append(m.history[key], e.GetEvent().GetId())
	switch {
	case roll < 110:
		m.trouble["connections broken"]++
		m.wait.Go(m.r.ln.breakAll)
	case roll < 120:
		m.trouble["streams ended"]++
		s.end(nil)
	case roll < 130:
		m.trouble["drains"]++
		s.drain(time.Second)
	case roll < 140:
		m.trouble["never answered"]++
		return
	}
	delay := time.Duration(m.random.IntN(2000)) * time.Microsecond
	m.wait.Go(func() {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
			s.ok(e.GetSeq())
		case <-s.ended:
		}
	})
}

// Accepted by the receiver or sent again by the caller: nothing is lost, ids stay, and the
// first deliveries of a key are in order under all faults.
func TestSink_losesAndReordersNothingWhateverBreaks(t *testing.T) {
	t.Parallel()
	const keys, perKey = 8, 250
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	m := &moody{random: rand.New(rand.NewPCG(seed, 0)), history: map[string][]string{}, trouble: map[string]int{}}
	r := newReceiver(t, func(r *receiver) {
		m.r, r.take = r, m.take
		r.settings = &pb.Settings{MaxInFlight: 5, MaxInFlightBytes: 1000}
	})
	t.Cleanup(m.wait.Wait)
	s := newTestSink(t, SinkConfig{Target: r.address, Streams: 3, Timeout: 100 * time.Millisecond})
	var callers sync.WaitGroup
	for k := range keys {
		callers.Go(func() {
			key := fmt.Sprintf("key-%d", k)
			for i := range perKey {
				sendUntilDelivered(t, s, fmt.Sprintf("%s/%04d", key, i), key)
			}
		})
	}
	callers.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range keys {
		key := fmt.Sprintf("key-%d", k)
		next := 0
		seen := map[string]bool{}
		for _, id := range m.history[key] {
			if seen[id] {
				continue
			}
			seen[id] = true
			if want := fmt.Sprintf("%s/%04d", key, next); id != want {
				t.Fatalf("%s came first where %s was due", id, want)
			}
			next++
		}
		if next != perKey {
			t.Errorf("%s: %d events arrived; want %d", key, next, perKey)
		}
	}
	t.Logf("%d received for %d events; %v", m.received, keys*perKey, m.trouble)
	for _, what := range []string{"handed back", "connections broken", "streams ended", "drains", "never answered"} {
		if m.trouble[what] == 0 {
			t.Errorf("the receiver was too kind: no %s", what)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if n := s.submitted(); n != 0 {
		t.Errorf("%d calls are still counted", n)
	}
}

// sendUntilDelivered is a caller as fiso-flow is one.
func sendUntilDelivered(t *testing.T, s *Sink, id, key string) {
	for {
		err := s.Send(t.Context(), keyedEvent(id, key))
		if err == nil {
			return
		}
		if class := connector.ClassOf(err); class != connector.Unavailable {
			t.Errorf("Send of %s: %v, which is %v", id, err, class)
			return
		}
		timer := time.NewTimer(time.Millisecond)
		<-timer.C
	}
}
