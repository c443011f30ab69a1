package connectortest

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/lsm/fiso/common/connector"
)

var errRefused = errors.New("connectortest: not done")

// SourceHandsOver checks that every message arrives as it was produced: once in a
// run without faults, in order and one at a time where that is promised. It also
// checks that the message's bytes do not change after it was settled.
func SourceHandsOver(t testing.TB, f Features, n NewSource) {
	e := newSourceEnv(t, f, n)
	in := inputs("m", 40, "a", "b", "c", "d")
	s := e.start(func(d *delivery) {
		if err := d.ctx.Err(); err != nil {
			e.Errorf("%q was handed over with a context that has ended: %v", d.value, err)
		}
		d.m.Settle(nil)
	})
	e.h.Produce(e, in...)
	s.hasAll(in)
	s.once()
	s.inOrder(in)
	want := map[string]string{}
	for _, x := range in {
		want[x.Value] = x.Key
	}
	offsets := map[Partition]int64{}
	for _, d := range s.deliveries() {
		key, known := want[d.value]
		if !known {
			e.Errorf("%q was handed over, which nobody produced", d.value)
		}
		if f.Keys && d.input.Key != key {
			e.Errorf("%q has key %q, want %q", d.value, d.input.Key, key)
		}
		if f.Partitions {
			ascends(e, offsets, d)
		}
	}
	s.committed()
	s.stop()
	for _, d := range s.deliveries() {
		if string(d.m.Value) != d.value {
			e.Errorf("the bytes of %q changed after it was handed over: now %q", d.value, d.m.Value)
		}
	}
}

func ascends(e *sourceEnv, offsets map[Partition]int64, d *delivery) {
	e.Helper()
	at, p := d.m.Position, partitionOf(d.m)
	if !at.Known() {
		e.Errorf("%q has no position: %v", d.value, at)
	} else if last, ok := offsets[p]; ok && at.Offset <= last {
		e.Errorf("%q at %v was handed over after offset %d of its partition", d.value, at, last)
	}
	offsets[p] = at.Offset
}

// SourceSettlesInAnyOrder checks that messages may be settled in any order and from
// many goroutines at once, after the handler has returned, and that none of them is
// handed over again.
func SourceSettlesInAnyOrder(t testing.TB, f Features, n NewSource) {
	e := newSourceEnv(t, f, n)
	in := inputs("m", 8, "a")
	s := e.start(settleNone)
	e.h.Produce(e, in...)
	s.hasAll(in)
	all := s.deliveries()
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	var wait sync.WaitGroup
	for _, d := range all {
		wait.Go(func() {
			if !d.m.Settle(nil) {
				e.Errorf("%q was settled by the source", d.value)
			}
		})
	}
	wait.Wait()
	s.committed()
	s.stop()
	if !f.Redelivers {
		return
	}
	after := []Input{{"a", "after"}}
	again := e.start(settleAll)
	e.h.Produce(e, after...)
	again.hasAll(after)
	if got := again.values(); len(got) != 1 {
		e.Errorf("messages that were settled are handed over again: %q", got)
	}
	again.stop()
}

// SourceLeavesSettlingToTheHandler checks that a message is not done when the
// handler returns, and that the first call of Settle counts.
func SourceLeavesSettlingToTheHandler(t testing.TB, f Features, n NewSource) {
	e := newSourceEnv(t, f, n)
	in := inputs("m", 2, "a")
	s := e.start(settleNone)
	e.h.Produce(e, in...)
	s.hasAll(in)
	all := s.deliveries()
	e.throughout("a message is unsettled until the handler settles it", func() bool {
		return !all[0].m.IsSettled() && !all[1].m.IsSettled()
	})
	for _, d := range all {
		if !d.m.Settle(errRefused) {
			e.Errorf("the first Settle of %q did not count", d.value)
		}
		if d.m.Settle(nil) {
			e.Errorf("the second Settle of %q counted", d.value)
		}
	}
	s.stop()
	if f.Redelivers {
		again := e.start(settleAll)
		again.hasAll(in)
		again.stop()
	}
}

// SourceHoldsAtUnsettled checks that progress never passes a message that is not
// settled, however many messages after it are, and that it is handed over again.
func SourceHoldsAtUnsettled(t testing.TB, f Features, n NewSource) {
	e := newSourceEnv(t, f, n)
	in := inputs("m", 8, "a")
	open := in[2].Value
	s := e.start(func(d *delivery) {
		if d.value == open {
			e.handBack(d)
		} else {
			d.m.Settle(nil)
		}
	})
	e.h.Produce(e, in...)
	s.hasAll(in)
	if e.h.Committed != nil {
		m := s.find(open).m
		at, p := m.Position, partitionOf(m)
		e.until("what stands before the unsettled message is committed", func() bool { return e.h.Committed(e)[p] >= at.Offset })
		e.throughout("nothing is committed past an unsettled message", func() bool { return e.h.Committed(e)[p] <= at.Offset })
	}
	s.stop()
	again := e.start(settleAll)
	again.hasAll(in[2:3])
	e.h.Produce(e, Input{"a", "after"})
	again.hasAll([]Input{{"a", "after"}})
	again.inOrder(append(in, Input{"a", "after"}))
	again.committed()
	again.stop()
}

// SourceBringsBackRefused checks that a message settled with an error is handed over
// again, though the messages around it are done.
func SourceBringsBackRefused(t testing.TB, f Features, n NewSource) {
	e := newSourceEnv(t, f, n)
	in := inputs("m", 5, "a")
	s := e.start(func(d *delivery) {
		if d.value == in[1].Value {
			d.m.Settle(errRefused)
		} else {
			d.m.Settle(nil)
		}
	})
	e.h.Produce(e, in...)
	s.hasAll(in)
	s.stop()
	again := e.start(settleAll)
	again.hasAll(in[1:2])
	again.inOrder(in)
	again.stop()
}

// SourceAnswers checks that the sender gets no answer before its message is settled,
// and the right answer afterwards.
func SourceAnswers(t testing.TB, f Features, n NewSource) {
	e := newSourceEnv(t, f, n)
	in := []Input{{"a", "done"}, {"b", "refused"}, {"c", "interrupted"}}
	s := e.start(settleNone)
	e.h.Produce(e, in...)
	s.hasAll(in)
	e.throughout("nobody is answered before the message is settled", func() bool {
		for _, x := range in {
			if _, answered := e.h.Answer(e, x.Value); answered {
				return false
			}
		}
		return true
	})
	results := map[string]error{"done": nil, "refused": errRefused, "interrupted": connector.ErrInterrupted}
	for value, result := range results {
		s.find(value).m.Settle(result)
	}
	for value, result := range results {
		e.until("the sender of "+value+" is answered", func() bool { _, answered := e.h.Answer(e, value); return answered })
		if ok, _ := e.h.Answer(e, value); ok != (result == nil) {
			e.Errorf("the sender of %q was told done = %v, though it was settled with %v", value, ok, result)
		}
	}
	s.stop()
}
