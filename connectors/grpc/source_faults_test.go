package grpc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/connector/connectortest"
)

// deliveries is a flow: it delivers events or hands them back by chance, and keeps the
// order of a key as a flow does. When it hands one back, it hands back what it has of the
// key, too.
type deliveries struct {
	mu     sync.Mutex
	random *rand.Rand
	first  map[string][]string // values by key, each once, in the order of delivery
	seen   map[string]bool
}

func (d *deliveries) handle(_ *connector.Assignment, ms []*connector.Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	back := map[string]bool{}
	for _, m := range ms {
		key, value := string(m.Key), string(m.Value)
		if back[key] || d.random.IntN(10) == 0 {
			back[key] = true
			m.Settle(connector.ErrInterrupted)
			continue
		}
		if !d.seen[value] {
			d.seen[value] = true
			d.first[key] = append(d.first[key], value)
		}
		m.Settle(nil)
	}
}

// Whatever comes back, and however often connections break and sources are replaced, a
// producer that follows the protocol gets every event through, in the order of its key.
func TestSource_losesAndReordersNothingUnderFaults(t *testing.T) {
	const events, keys = 400, 5
	d := &deliveries{random: rand.New(rand.NewPCG(1, 2)), first: map[string][]string{}, seen: map[string]bool{}}
	listeners := NewListeners(nil)
	defer listeners.Close()
	cfg := sourceConfig()
	cfg.Listen, cfg.MaxInFlight = unusedAddress(t), 16
	r := newResender()
	defer func() {
		r.stop()
		<-r.done
	}()
	var running sync.WaitGroup
	defer running.Wait()
	// replace starts a source, and returns the function that ends it.
	replace := func() context.CancelFunc {
		listening := make(chan struct{})
		s, err := NewSource(cfg, SourceOptions{Listeners: listeners, DrainTimeout: 200 * time.Millisecond, Listening: func(a net.Addr) {
			r.listening(a)
			close(listening)
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		running.Go(func() {
			if err := s.Run(ctx, d.handle); err != nil {
				t.Error(err)
			}
		})
		<-listening
		return cancel
	}
	end := replace()
	defer func() { end() }()
	for i := range events {
		r.produce(t, connectortest.Input{Key: fmt.Sprint(i % keys), Value: fmt.Sprintf("%04d", i)})
		if i%40 == 20 {
			r.disconnect(t)
		}
		if i%100 == 50 {
			end()
			eventuallySource(t, "the flow has no source", func() bool { return !listeners.serving(cfg.Listen, "grpc") })
			end = replace()
		}
		if i%10 == 0 {
			eventuallySource(t, "the producer gets on", func() bool { return r.unanswered() < 50 })
		}
	}
	eventuallySource(t, "every event is answered with OK", func() bool { return r.unanswered() == 0 })
	d.mu.Lock()
	defer d.mu.Unlock()
	for key := range keys {
		got := d.first[fmt.Sprint(key)]
		if len(got) != events/keys {
			t.Errorf("%d events of key %d were delivered; want %d", len(got), key, events/keys)
		}
		for i, value := range got {
			if want := fmt.Sprintf("%04d", i*keys+key); value != want {
				t.Fatalf("key %d: event %s was delivered when %s was next", key, value, want)
			}
		}
	}
}

func (r *resender) unanswered() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting)
}

// serving reports whether a flow has a source now.
func (ls *Listeners) serving(address, flow string) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.open[address]
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.routes[flow] != nil && l.routes[flow].live(0)
}
