//go:build integration

package grpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lsm/fiso/common/connector"
)

const peerEvents = 10_000

// peerFlow is a handler that records what producers in other languages send. It hands
// back one event in a hundred, once.
type peerFlow struct {
	at      map[int]func()          // called when so many events are delivered
	keyless chan *connector.Message // settled by another goroutine

	mu        sync.Mutex
	delivered map[int]int      // how often, by the number of the event
	order     map[string][]int // numbers in the order of their first deliveries, by key
	back      map[int]bool     // was handed back
	faults    []string
}

// newPeerFlow makes a handler for sources that are run afterwards.
func newPeerFlow(t *testing.T) *peerFlow {
	f := &peerFlow{keyless: make(chan *connector.Message, 64), delivered: map[int]int{}, order: map[string][]int{}, back: map[int]bool{}}
	var settling sync.WaitGroup
	settling.Go(func() {
		for m := range f.keyless {
			m.Settle(nil)
		}
	})
	t.Cleanup(func() {
		close(f.keyless)
		settling.Wait()
	})
	return f
}

// handle keeps the order of a key as a flow does: it hands back the later events of a key
// in the same call.
func (f *peerFlow) handle(_ *connector.Assignment, ms []*connector.Message) {
	held := map[string]bool{}
	for _, m := range ms {
		err := f.take(m, held)
		switch {
		case m.Key == nil && err == nil:
			f.keyless <- m
		default:
			m.Settle(err)
		}
	}
}

// take records an event as delivered, or returns why it is handed back.
func (f *peerFlow) take(m *connector.Message, held map[string]bool) error {
	f.mu.Lock()
	number, fault := peerNumber(m)
	if fault != "" {
		f.faults = append(f.faults, fault)
	}
	key := string(m.Key)
	handBack := m.Key != nil && held[key]
	if number%100 == 42 && !f.back[number] {
		f.back[number], held[key], handBack = true, true, true
	}
	if handBack {
		f.mu.Unlock()
		return errors.New("not now")
	}
	m.Outcome = connector.Delivered
	f.delivered[number]++
	var act func()
	if f.delivered[number] == 1 {
		f.order[key] = append(f.order[key], number)
		act = f.at[len(f.delivered)]
	}
	f.mu.Unlock()
	if act != nil {
		act()
	}
	return nil
}

// peerNumber returns the number of an event, and what is wrong with the event.
func peerNumber(m *connector.Message) (number int, fault string) {
	number, err := strconv.Atoi(strings.TrimPrefix(m.ID, "event-"))
	if err != nil || number < 0 || number >= peerEvents {
		return -1, fmt.Sprintf("%s was never sent", m.ID)
	}
	want := map[string]string{
		"id": m.ID, "value": fmt.Sprintf(`{"number":%d}`, number), "key": fmt.Sprintf("key-%d", number%97),
		"ce_number": strconv.Itoa(number), "ce_type": "peer.counted", "content-type": "application/json",
	}
	if number%10 == 0 {
		want["key"] = "none"
	}
	got := map[string]string{"id": "event-" + strconv.Itoa(number), "value": strings.ReplaceAll(string(m.Value), " ", ""), "key": string(m.Key)}
	if m.Key == nil {
		got["key"] = "none"
	}
	for _, name := range []string{"ce_number", "ce_type", "content-type"} {
		value, _ := m.Header(name)
		got[name] = string(value)
	}
	for name := range want {
		if got[name] != want[name] {
			return number, fmt.Sprintf("%s has %s %q; want %q", m.ID, name, got[name], want[name])
		}
	}
	return number, ""
}

// peerSource is a source that runs.
type peerSource struct {
	address string
	end     context.CancelFunc
	done    chan struct{}
}

func runPeerSource(t *testing.T, listen string, f *peerFlow) *peerSource {
	t.Helper()
	address := make(chan net.Addr, 1)
	cfg := SourceConfig{Listen: listen, MaxInFlight: 256}
	s, err := NewSource(cfg, SourceOptions{Listening: func(a net.Addr) { address <- a }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	p := &peerSource{end: cancel, done: make(chan struct{})}
	failed := make(chan error, 1)
	go func() {
		defer close(p.done)
		failed <- s.Run(ctx, f.handle)
	}()
	t.Cleanup(func() {
		cancel()
		<-p.done
		if err := <-failed; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	select {
	case a := <-address:
		p.address = a.String()
	case <-p.done:
		t.Fatal("the source does not run")
	}
	return p
}

// G2, G6: https://github.com/grpc/grpc-java/issues/9903, https://github.com/googleapis/java-pubsub/issues/368.
// A producer written from events.proto alone loses no event and reorders no key, although
// connections break, the source is replaced, and events are handed back.
func TestPeers_producersInOtherLanguagesGetAResultForEachEvent(t *testing.T) {
	for _, file := range []string{"producer.py", "producer.js", "Producer.java"} {
		t.Run(file, func(t *testing.T) {
			f := newPeerFlow(t)
			first := runPeerSource(t, "127.0.0.1:0", f)
			r := newRelay(t, first.address)
			cuts := []int{1500, 3000, 7000, 8500}
			f.mu.Lock()
			f.at = map[int]func(){5000: first.end}
			for _, n := range cuts {
				f.at[n] = r.cut
			}
			f.mu.Unlock()
			running := startProducer(t, file, r.address, peerEvents)
			select {
			case <-first.done:
				runPeerSource(t, first.address, f)
			case <-running.ended: // too early: result says why
			}
			p := running.result(t)
			f.account(t, p)
			if s := p.summary; s.Broken < len(cuts) || s.Drains < 1 || s.Streams < len(cuts)+2 || s.Again < peerEvents/100 || s.Rejected != 0 {
				t.Errorf("the producer counted %+v; want %d broken streams, a drain, %d streams, %d events sent again, none rejected", s, len(cuts), len(cuts)+2, peerEvents/100)
			}
			t.Logf("%+v", p.summary)
		})
	}
}

// account compares what the producer was told with what was delivered.
func (f *peerFlow) account(t *testing.T, p produced) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	faults := f.faults
	for number := range peerEvents {
		if f.delivered[number] == 0 {
			faults = append(faults, fmt.Sprintf("event-%d was not delivered", number))
		}
		if got := p.outcomes[fmt.Sprintf("event-%d", number)]; got != "OUTCOME_DELIVERED" {
			faults = append(faults, fmt.Sprintf("event-%d has the outcome %q; want OUTCOME_DELIVERED", number, got))
		}
	}
	for key, numbers := range f.order {
		for i := range numbers {
			if key != "" && i > 0 && numbers[i] < numbers[i-1] {
				faults = append(faults, fmt.Sprintf("%s: event-%d was delivered after event-%d", key, numbers[i], numbers[i-1]))
			}
		}
	}
	for _, fault := range faults[:min(10, len(faults))] {
		t.Error(fault)
	}
	if len(f.delivered) != peerEvents || len(p.outcomes) != peerEvents {
		t.Errorf("%d events were delivered and %d have results; want %d of both", len(f.delivered), len(p.outcomes), peerEvents)
	}
	if len(f.back) != peerEvents/100 {
		t.Errorf("%d events were handed back; want %d", len(f.back), peerEvents/100)
	}
}

// G9: https://github.com/llm-d/llm-d-kv-cache/issues/359. A stream without events stays open:
// with the default settings of a client, which does not ping and answers the pings of the
// source, and with pings each 10s, which servers punish by default.
func TestPeers_idleStreamsOfOtherLanguagesStayOpen(t *testing.T) {
	for _, c := range []struct {
		file                     string
		idle, ping               time.Duration
		clientPings, serverPings int64 // at least
	}{
		{"producer.py", pingAfter + 10*time.Second, 0, 0, 1},
		{"producer.py", 40 * time.Second, 10 * time.Second, 3, 0},
		{"producer.js", 40 * time.Second, 10 * time.Second, 3, 0},
	} {
		t.Run(fmt.Sprintf("%s pings after %v", c.file, c.ping), func(t *testing.T) {
			t.Parallel()
			f := newPeerFlow(t)
			r := newRelay(t, runPeerSource(t, "127.0.0.1:0", f).address)
			p := startProducer(t, c.file, r.address, 10, strconv.Itoa(int(c.idle.Seconds())), strconv.Itoa(int(c.ping.Milliseconds()))).result(t)
			if len(p.outcomes) != 10 || p.summary.Streams != 1 || p.summary.Broken != 0 {
				t.Errorf("the producer has %d results and counted %+v; want 10, on one stream", len(p.outcomes), p.summary)
			}
			if client, server := r.clientPings.Load(), r.serverPings.Load(); client < c.clientPings || server < c.serverPings {
				t.Errorf("the client pinged %d times and the source %d times; want %d and %d, or more", client, server, c.clientPings, c.serverPings)
			}
		})
	}
}
