package ledger

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Verdict is the result of a run.
type Verdict struct {
	Accepted, Delivered, Filtered, DeadLetters int
	// Duplicates is the number of repeated deliveries and dead letters. Bound is how many of them
	// the crashes allow.
	Duplicates, Bound int
	// Oldest is the longest time between the delivery of an event and a crash after which it came
	// again.
	Oldest time.Duration
	// Commits is the number of commits of single partitions.
	Commits int

	// Broken guarantees:
	Missing     int // accepted, but not delivered, filtered, dead-lettered or uncommitted
	Uncommitted int // at the end, when everything should be committed
	OutOfOrder  int // first deliveries of a key
	WrongID     int // deliveries with another id
	Unexpected  int // deliveries of events that should not arrive
	BadCommits  int // commits that decreased or covered unsettled events
	BadLetters  int // wrong bytes or wrong code
	Unexplained int // duplicates that no crash explains
	// Details describe the first of them.
	Details []string
}

// Good reports whether no guarantee was broken.
func (v *Verdict) Good() bool {
	return v.Missing+v.Uncommitted+v.OutOfOrder+v.WrongID+v.Unexpected+v.BadCommits+v.BadLetters+v.Unexplained == 0
}

// Add adds the counts of another run.
func (v *Verdict) Add(o Verdict) {
	for _, c := range []struct {
		sum *int
		n   int
	}{
		{&v.Accepted, o.Accepted}, {&v.Delivered, o.Delivered}, {&v.Filtered, o.Filtered}, {&v.DeadLetters, o.DeadLetters},
		{&v.Duplicates, o.Duplicates}, {&v.Bound, o.Bound}, {&v.Commits, o.Commits}, {&v.Missing, o.Missing}, {&v.Uncommitted, o.Uncommitted},
		{&v.OutOfOrder, o.OutOfOrder}, {&v.WrongID, o.WrongID}, {&v.Unexpected, o.Unexpected}, {&v.BadCommits, o.BadCommits},
		{&v.BadLetters, o.BadLetters}, {&v.Unexplained, o.Unexplained},
	} {
		*c.sum += c.n
	}
	v.Oldest = max(v.Oldest, o.Oldest)
}

// String returns "good", or what was broken.
func (v *Verdict) String() string {
	if v.Good() {
		return "good"
	}
	var all []string
	for _, c := range []struct {
		n    int
		what string
	}{
		{v.Missing, "missing"}, {v.Uncommitted, "uncommitted"}, {v.OutOfOrder, "out of order"}, {v.WrongID, "with a wrong id"},
		{v.Unexpected, "unexpected"}, {v.BadCommits, "bad commits"}, {v.BadLetters, "bad dead letters"}, {v.Unexplained, "unexplained duplicates"},
	} {
		if c.n > 0 {
			all = append(all, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	return "BROKEN: " + strings.Join(all, ", ")
}

// Verdict judges the whole run. Call it when nothing happens any more.
func (l *Ledger) Verdict() Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.faults // so that a second call has the same result
	l.faults.Details = slices.Clone(before.Details)
	defer func() { l.faults = before }()
	for n := range l.events {
		l.judgeEvent(n)
	}
	for i := range l.partitions {
		l.judgePartition(i)
	}
	l.judgeDuplicates()
	return l.faults
}

func (l *Ledger) judgeEvent(n int) {
	e, v := &l.events[n], &l.faults
	if !e.accepted {
		return // not acknowledged, so no guarantee
	}
	p := &l.partitions[e.partition]
	if p.committed <= e.offset {
		l.fault(&v.Uncommitted, "event %d at %d-%d is above the last commit, %d", n, e.partition, e.offset, p.committed)
	}
	deadLetters := p.deadLetters[e.offset]
	switch {
	case e.kind == Filtered:
		v.Filtered++
	case e.kind.BecomesDeadLetter() && len(deadLetters) == 0, !e.kind.BecomesDeadLetter() && e.delivered == 0:
		l.fault(&v.Missing, "event %d (%s) at %d-%d", n, e.kind, e.partition, e.offset)
	}
}

func (l *Ledger) judgePartition(i int) {
	p, v := &l.partitions[i], &l.faults
	for _, d := range p.unverified {
		n := l.at(p, d.offset)
		switch {
		case n < 0:
			l.fault(&v.Unexpected, "the record at %d-%d, which was committed, was never sent", i, d.offset)
		case l.events[n].kind == Filtered:
		case !l.events[n].kind.BecomesDeadLetter():
			l.fault(&v.BadCommits, "a commit of partition %d passed event %d at %d, which had not been delivered", i, n, d.offset)
		case !stored(p.deadLetters[d.offset], d.deadLetters):
			l.fault(&v.BadCommits, "a commit of partition %d passed event %d at %d, whose dead letter was not stored: "+
				"that topic ended at %d, and contains %d dead letters of it", i, n, d.offset, d.deadLetters, len(p.deadLetters[d.offset]))
		}
	}
	for offset, deadLetters := range p.deadLetters {
		v.DeadLetters++
		v.Duplicates += len(deadLetters) - 1
		n := l.at(p, offset)
		if n < 0 || !l.events[n].kind.BecomesDeadLetter() {
			l.fault(&v.BadLetters, "there is a dead letter of %d-%d (%s)", i, offset, deadLetters[0].code)
			continue
		}
		e := &l.events[n]
		for _, one := range deadLetters {
			if one.code != e.kind.Code() || !bytes.Equal(one.value, Value(n, int(e.key), e.kind, l.opts.Size(n))) {
				l.fault(&v.BadLetters, "the dead letter of event %d has other bytes, or not the code %s but %s", n, e.kind.Code(), one.code)
			}
		}
	}
}

// stored reports whether one of them was below end.
func stored(deadLetters []deadLetter, end int64) bool {
	return slices.ContainsFunc(deadLetters, func(l deadLetter) bool { return l.at < end })
}

// judgeDuplicates finds the crash that explains each duplicate. A process may not have committed what it
// settled within Uncommitted of its end, nor what was beyond an event in flight, of which there
// are at most InFlight.
func (l *Ledger) judgeDuplicates() {
	v := &l.faults
	recent := map[int]int{} // by process: delivered within Uncommitted of its end
	for i := range l.events {
		if process := int(l.events[i].process); l.events[i].delivered > 0 && l.deliveredJustBeforeCrash(i, process) {
			recent[process]++
		} else if l.deliveredDuringOutage(i) {
			v.Bound++
		}
	}
	for process, c := range l.crashes {
		v.Bound += recent[process] + c.InFlight
	}
	deadLetters := v.Duplicates
	v.Duplicates += len(l.duplicates)
	older := map[int]int{}
	for _, d := range l.duplicates {
		process, known := l.crashedProcess(d)
		if !known && l.deliveredDuringOutage(d.n) {
			continue
		}
		if !known {
			l.fault(&v.Unexplained, "event %d arrived from process %d and again from process %d, and neither crashed", d.n, l.events[d.n].process, d.process)
			continue
		}
		if int(l.events[d.n].process) != process {
			continue // was in flight and delivered late
		}
		v.Oldest = max(v.Oldest, l.crashes[process].At.Sub(l.begun)-l.events[d.n].at)
		if l.deliveredJustBeforeCrash(d.n, process) {
			continue
		}
		if older[process]++; older[process] > l.crashes[process].InFlight {
			l.fault(&v.Unexplained, "process %d had %d in flight, and more were repeated: event %d, delivered %v before its end", process,
				l.crashes[process].InFlight, d.n,
				(l.crashes[process].At.Sub(l.begun) - l.events[d.n].at).Round(time.Millisecond))
		}
	}
	if extra := deadLetters; extra > 0 && v.Duplicates > v.Bound {
		l.fault(&v.Unexplained, "%d dead letters are duplicates", extra)
	}
}

// crashedProcess returns the process whose crash explains a duplicate.
func (l *Ledger) crashedProcess(d duplicate) (process int, known bool) {
	for _, process := range []int{int(l.events[d.n].process), d.process} {
		if _, known := l.crashes[process]; known {
			return process, true
		}
	}
	return 0, false
}

// deliveredDuringOutage reports whether event n was delivered during an outage of the brokers.
func (l *Ledger) deliveredDuringOutage(n int) bool {
	return l.events[n].delivered > 0 && slices.ContainsFunc(l.outages, func(o outage) bool { return l.events[n].at >= o.from && l.events[n].at <= o.to })
}

// deliveredJustBeforeCrash reports whether event n was delivered so shortly before the end of a process that no
// commit was due.
func (l *Ledger) deliveredJustBeforeCrash(n, process int) bool {
	c, crashed := l.crashes[process]
	return crashed && l.begun.Add(l.events[n].at).After(c.At.Add(-c.Uncommitted))
}
