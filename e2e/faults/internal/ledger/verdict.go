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
	Alien       int // deliveries of events that should not arrive
	BadCommits  int // commits that decreased or covered unsettled events
	BadLetters  int // wrong bytes or wrong code
	Unexplained int // copies that no crash explains
	// Words describe the first of them.
	Words []string
}

// Good reports whether no guarantee was broken.
func (v *Verdict) Good() bool {
	return v.Missing+v.Uncommitted+v.OutOfOrder+v.WrongID+v.Alien+v.BadCommits+v.BadLetters+v.Unexplained == 0
}

// Add adds the counts of another run.
func (v *Verdict) Add(o Verdict) {
	for _, c := range []struct {
		sum *int
		n   int
	}{
		{&v.Accepted, o.Accepted}, {&v.Delivered, o.Delivered}, {&v.Filtered, o.Filtered}, {&v.DeadLetters, o.DeadLetters},
		{&v.Duplicates, o.Duplicates}, {&v.Bound, o.Bound}, {&v.Commits, o.Commits}, {&v.Missing, o.Missing}, {&v.Uncommitted, o.Uncommitted},
		{&v.OutOfOrder, o.OutOfOrder}, {&v.WrongID, o.WrongID}, {&v.Alien, o.Alien}, {&v.BadCommits, o.BadCommits},
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
		{v.Missing, "missing"}, {v.Uncommitted, "uncommitted"}, {v.OutOfOrder, "out of order"}, {v.WrongID, "with another id"},
		{v.Alien, "that should not have come"}, {v.BadCommits, "bad commits"}, {v.BadLetters, "bad dead letters"}, {v.Unexplained, "unexplained duplicates"},
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
	l.faults.Words = slices.Clone(before.Words)
	defer func() { l.faults = before }()
	for n := range l.events {
		l.judgeEvent(n)
	}
	for i := range l.places {
		l.judgePartition(i)
	}
	l.judgeCopies()
	return l.faults
}

func (l *Ledger) judgeEvent(n int) {
	e, v := &l.events[n], &l.faults
	if !e.accepted {
		return // not acknowledged, so no guarantee
	}
	p := &l.places[e.partition]
	if p.committed <= e.offset {
		l.fault(&v.Uncommitted, "event %d at %d-%d is above the last commit, %d", n, e.partition, e.offset, p.committed)
	}
	letters := p.letters[e.offset]
	switch {
	case e.kind == Filtered:
		v.Filtered++
	case e.kind.Letter() && len(letters) == 0, !e.kind.Letter() && e.delivered == 0:
		l.fault(&v.Missing, "event %d (%s) at %d-%d", n, e.kind, e.partition, e.offset)
	}
}

func (l *Ledger) judgePartition(i int) {
	p, v := &l.places[i], &l.faults
	for _, d := range p.doubtful {
		n := l.at(p, d.offset)
		switch {
		case n < 0:
			l.fault(&v.Alien, "the record at %d-%d, which was committed, is none that was sent", i, d.offset)
		case l.events[n].kind == Filtered:
		case !l.events[n].kind.Letter():
			l.fault(&v.BadCommits, "a commit of partition %d passed event %d at %d, which had not been delivered", i, n, d.offset)
		case !stored(p.letters[d.offset], d.letters):
			l.fault(&v.BadCommits, "a commit of partition %d passed event %d at %d, whose dead letter was not stored: that topic ended at %d, and has %d letters of it", i, n, d.offset, d.letters, len(p.letters[d.offset]))
		}
	}
	for offset, letters := range p.letters {
		v.DeadLetters++
		v.Duplicates += len(letters) - 1
		n := l.at(p, offset)
		if n < 0 || !l.events[n].kind.Letter() {
			l.fault(&v.BadLetters, "there is a dead letter of %d-%d (%s)", i, offset, letters[0].code)
			continue
		}
		e := &l.events[n]
		for _, one := range letters {
			if one.code != e.kind.Code() || !bytes.Equal(one.value, Value(n, int(e.key), e.kind, l.opts.Size(n))) {
				l.fault(&v.BadLetters, "the dead letter of event %d is not it, byte for byte, or not %s but %s", n, e.kind.Code(), one.code)
			}
		}
	}
}

// stored reports whether one of letters was below end.
func stored(letters []letter, end int64) bool {
	return slices.ContainsFunc(letters, func(l letter) bool { return l.at < end })
}

// judgeCopies finds the crash that explains each copy. A process may not have committed what it
// settled within Uncommitted of its end, nor what was beyond an event in flight, of which there
// are at most InFlight.
func (l *Ledger) judgeCopies() {
	v := &l.faults
	recent := map[int]int{} // by process: delivered within Uncommitted of its end
	for i := range l.events {
		if by := int(l.events[i].by); l.events[i].delivered > 0 && l.young(i, by) {
			recent[by]++
		} else if l.out(i) {
			v.Bound++
		}
	}
	for by, c := range l.crashes {
		v.Bound += recent[by] + c.InFlight
	}
	letters := v.Duplicates
	v.Duplicates += len(l.copies)
	older := map[int]int{}
	for _, d := range l.copies {
		by, known := l.blame(d)
		if !known && l.out(d.n) {
			continue
		}
		if !known {
			l.fault(&v.Unexplained, "event %d came from process %d and again from process %d, of which none crashed", d.n, l.events[d.n].by, d.by)
			continue
		}
		if int(l.events[d.n].by) != by {
			continue // was in flight and delivered late
		}
		v.Oldest = max(v.Oldest, l.crashes[by].At.Sub(l.begun)-l.events[d.n].at)
		if l.young(d.n, by) {
			continue
		}
		if older[by]++; older[by] > l.crashes[by].InFlight {
			l.fault(&v.Unexplained, "process %d had %d in flight, and more came again: event %d, delivered %v before its end", by, l.crashes[by].InFlight, d.n,
				(l.crashes[by].At.Sub(l.begun) - l.events[d.n].at).Round(time.Millisecond))
		}
	}
	if extra := letters; extra > 0 && v.Duplicates > v.Bound {
		l.fault(&v.Unexplained, "%d dead letters stand twice", extra)
	}
}

// blame returns the process whose crash explains a copy.
func (l *Ledger) blame(d duplicate) (by int, known bool) {
	for _, by := range []int{int(l.events[d.n].by), d.by} {
		if _, known := l.crashes[by]; known {
			return by, true
		}
	}
	return 0, false
}

// out reports whether event n was delivered during an outage of the brokers.
func (l *Ledger) out(n int) bool {
	return l.events[n].delivered > 0 && slices.ContainsFunc(l.outages, func(o outage) bool { return l.events[n].at >= o.from && l.events[n].at <= o.to })
}

// young reports whether event n was delivered so shortly before the end of process by that no
// commit was due.
func (l *Ledger) young(n, by int) bool {
	c, crashed := l.crashes[by]
	return crashed && l.begun.Add(l.events[n].at).After(c.At.Add(-c.Uncommitted))
}
