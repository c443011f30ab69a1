package connectortest_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/connector/connectortest"
)

const (
	memPartitions = 2
	memWindow     = 64
	memDrain      = 20 * time.Millisecond
)

// place is a broker in memory: two partitions and the commits of one group. fault
// names what its source does wrong; "" is nothing.
type place struct {
	fault string
	end   chan struct{} // closed when the scenario is over, to end goroutines

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced at each change
	records   [memPartitions][]connectortest.Input
	committed [memPartitions]int64
	taken     int
	epoch     int
	answers   map[string]bool
}

func newPlace(t testing.TB, fault string) *place {
	p := &place{fault: fault, end: make(chan struct{}), changed: make(chan struct{}), answers: map[string]bool{}}
	t.Cleanup(func() {
		if fault != "leaks a goroutine" {
			close(p.end)
		}
	})
	return p
}

// change runs f with the lock held, and wakes all waiters.
func (p *place) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *place) produce(_ testing.TB, in ...connectortest.Input) {
	p.change(func() {
		for _, x := range in {
			sum := 0
			for _, c := range x.Key {
				sum += int(c)
			}
			n := sum % memPartitions
			p.records[n] = append(p.records[n], x)
		}
	})
}

func (p *place) commits(testing.TB) map[connectortest.Partition]int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := map[connectortest.Partition]int64{}
	for n, offset := range p.committed {
		m[connectortest.Partition{Topic: "mem", Number: int32(n)}] = offset
	}
	return m
}

func (p *place) harness() connectortest.SourceHarness {
	return connectortest.SourceHarness{
		Timing:     timing(p.fault),
		New:        func(testing.TB) connector.Source { return newMemSource(p) },
		Produce:    p.produce,
		Committed:  p.commits,
		Taken:      func(testing.TB) int { p.mu.Lock(); defer p.mu.Unlock(); return p.taken },
		ReadAhead:  6, // three messages for each partition
		Disconnect: func(testing.TB) { p.change(func() { p.epoch++ }) },
		Answer: func(_ testing.TB, value string) (ok, answered bool) {
			p.mu.Lock()
			defer p.mu.Unlock()
			ok, answered = p.answers[value]
			return ok, answered
		},
	}
}

// memSource reads a place. p.mu guards all fields but p and serial.
type memSource struct {
	p      *place
	serial sync.Mutex // held during a call of the handler, for a source that serves one partition at a time

	over     bool // Run has returned: results no longer count
	inFlight [memPartitions]map[int64]memState
	mark     [memPartitions]int64
}

type memState int

const (
	memOpen memState = iota
	memDone
	memFailed
)

func newMemSource(p *place) *memSource {
	s := &memSource{p: p}
	for n := range s.inFlight {
		s.inFlight[n] = map[int64]memState{}
	}
	return s
}

// maxPerCall bounds how many messages one call hands over.
const maxPerCall = 3

func (s *memSource) Guarantees() connector.Guarantees {
	return connector.Guarantees{Orders: true, Redelivers: true, Transacts: s.p.fault == "declares what it does not keep"}
}

func (s *memSource) Run(ctx context.Context, handle connector.Handler) error {
	if s.p.fault == "runs on after it was stopped" && ctx.Err() != nil {
		<-s.p.end
	}
	if s.p.fault == "gives up at once" {
		return errors.New("cannot read")
	}
	if s.p.fault == "leaks a goroutine" {
		go func() { <-s.p.end }()
	}
	var wait sync.WaitGroup
	for n := range s.inFlight {
		wait.Go(func() { s.serve(connector.NewAssignment(ctx, "mem-"+strconv.Itoa(n)), n, handle) })
	}
	wait.Wait()
	s.drain()
	switch s.p.fault {
	case "commits everything when it stops":
		s.p.change(func() {
			for n := range s.p.committed {
				s.p.committed[n] = int64(len(s.p.records[n]))
			}
		})
	case "forgets its commits":
		s.p.change(func() { s.p.committed = [memPartitions]int64{} })
	case "ends with an error":
		return ctx.Err()
	}
	return nil
}

// serve reads one partition.
func (s *memSource) serve(a *connector.Assignment, n int, handle connector.Handler) {
	p, ctx := s.p, a.Context()
	next, epoch := int64(-1), 0
	for {
		var ms []*connector.Message
		p.mu.Lock()
		if next < 0 || epoch != p.epoch {
			if next = p.committed[n]; p.fault == "skips what came while it was away" && p.epoch > 0 {
				p.committed[n] = int64(len(p.records[n]))
				next = p.committed[n] + 100
			}
			epoch, s.mark[n] = p.epoch, next
			clear(s.inFlight[n])
		}
		changed := p.changed
		for len(ms) < maxPerCall && next < int64(len(p.records[n])) && len(s.inFlight[n]) < memWindow {
			ms = append(ms, s.take(n, next))
			next++
		}
		p.mu.Unlock()
		if len(ms) == 0 {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return
			}
		}
		if ctx.Err() != nil {
			connector.SettleAll(ms, connector.ErrInterrupted)
			return
		}
		switch p.fault {
		case "makes an assignment a message":
			for i := range ms {
				s.handOver(connector.NewAssignment(ctx, a.String()), ms[i:i+1], handle)
			}
			continue
		case "makes two assignments a partition":
			a = connector.NewAssignment(ctx, a.String())
		}
		s.handOver(a, ms, handle)
	}
}

// take makes the message at an offset. Called with the lock held.
func (s *memSource) take(n int, offset int64) *connector.Message {
	r := s.p.records[n][offset]
	if other := offset ^ 2; s.p.fault == "hands over out of order" && int(other) < len(s.p.records[n]) {
		r = s.p.records[n][other] // the next or the previous message of the same key
	}
	if s.p.fault == "loses the key" {
		r.Key = "lost"
	}
	m := &connector.Message{
		Key: []byte(r.Key), Value: []byte(r.Value),
		Position: connector.PartitionOffset("mem", int32(n), offset),
	}
	switch s.p.fault {
	case "does not say where a message stood":
		m.Position = connector.Position{Stream: "mem"}
	case "counts offsets backwards":
		m.Position.Offset = 1000 - offset
	case "makes messages up":
		m.Value = append(m.Value, "-made-up"...)
	}
	m.Bind(memSettler{s, n, offset, s.p.epoch, r.Value})
	s.inFlight[n][offset] = memOpen
	s.p.taken++
	if s.p.fault == "reads without bound" {
		s.p.taken = len(s.p.records[n])
	}
	return m
}

func (s *memSource) handOver(a *connector.Assignment, ms []*connector.Message, handle connector.Handler) {
	m := ms[0]
	switch s.p.fault {
	case "hands over side by side":
		go handle(a, ms)
		return
	case "ignores its context":
		a = connector.NewAssignment(context.Background(), a.String())
	case "hands over with an ended context":
		ended, cancel := context.WithCancel(a.Context())
		cancel()
		a = connector.NewAssignment(ended, a.String())
	case "hands over nothing":
		handle(a, nil)
	case "turns a call around":
		slices.Reverse(ms)
	case "mixes partitions in a call":
		if len(ms) > 1 {
			ms[0].Position = connector.PartitionOffset("mem", 7, ms[0].Position.Offset)
		}
	case "serves one partition at a time":
		s.serial.Lock()
		defer s.serial.Unlock()
	case "hands over twice":
		handle(a, ms)
	case "uses its buffers again":
		defer func() { copy(m.Value, "XXXXX") }()
	case "settles by itself":
		defer m.Settle(nil)
	case "answers before it is settled":
		s.p.change(func() { s.p.answers[string(m.Value)] = true })
	}
	handle(a, ms)
}

// drain waits a short time for messages in flight; then results no longer count.
func (s *memSource) drain() {
	timeout := time.NewTimer(memDrain)
	defer timeout.Stop()
	for {
		s.p.mu.Lock()
		open := 0
		for n := range s.inFlight {
			for _, state := range s.inFlight[n] {
				if state == memOpen {
					open++
				}
			}
		}
		changed := s.p.changed
		if open == 0 {
			s.over = s.p.fault != "counts late results"
			s.p.mu.Unlock()
			return
		}
		s.p.mu.Unlock()
		select {
		case <-changed:
		case <-s.p.end:
			return
		case <-timeout.C:
			if s.p.fault == "waits for ever" {
				<-s.p.end
			}
			s.p.change(func() { s.over = s.p.fault != "counts late results" })
			return
		}
	}
}

// memSettler receives the result of one message.
type memSettler struct {
	s      *memSource
	n      int
	offset int64
	epoch  int
	value  string
}

func (b memSettler) Settled(_ *connector.Message, err error) {
	s, p := b.s, b.s.p
	p.change(func() {
		if p.fault != "never answers" {
			p.answers[b.value] = err == nil || p.fault == "answers done to everything"
		}
		if s.over || b.epoch != p.epoch {
			return
		}
		if p.fault == "loses what was refused" && err != nil && !errors.Is(err, connector.ErrInterrupted) {
			err = nil
		}
		if err != nil {
			s.inFlight[b.n][b.offset] = memFailed
			return
		}
		s.inFlight[b.n][b.offset] = memDone
		if p.fault == "commits over a hole" {
			p.committed[b.n] = max(p.committed[b.n], b.offset+1)
		}
		if p.fault == "never commits" {
			return
		}
		for s.inFlight[b.n][s.mark[b.n]] == memDone && s.mark[b.n] < int64(len(p.records[b.n])) {
			delete(s.inFlight[b.n], s.mark[b.n])
			s.mark[b.n]++
		}
		p.committed[b.n] = max(p.committed[b.n], s.mark[b.n])
	})
}

// Status implements connector.Reporter.
func (s *memSource) Status() connector.Status {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	var status connector.Status
	if s.p.fault == "reports a problem it has not" {
		status.Problem = "none, really"
	}
	for n := range s.inFlight {
		end := int64(len(s.p.records[n]))
		status.Partitions = append(status.Partitions, connector.PartitionStatus{
			Stream: "mem", Partition: int32(n), Committed: s.p.committed[n], End: end,
			Lag: end - s.mark[n], InFlight: len(s.inFlight[n]),
		})
	}
	if s.p.fault == "reports nothing" {
		status.Partitions = nil
	}
	return status
}

// mute hides the Status of a source.
type mute struct{ s *memSource }

func (m mute) Guarantees() connector.Guarantees { return m.s.Guarantees() }

func (m mute) Run(ctx context.Context, handle connector.Handler) error { return m.s.Run(ctx, handle) }
