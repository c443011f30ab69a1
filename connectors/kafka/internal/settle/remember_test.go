package settle

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestTracker_tellsWhatIsDoneAheadOfTheWatermark(t *testing.T) {
	tr := New(10)
	hand := func(offset int64, epoch int32, settle bool, ok bool) {
		n, _ := tr.HandOver(offset, epoch)
		if settle {
			tr.Settle(n, ok)
		}
	}
	hand(10, 1, false, false) // the one that is stuck
	hand(11, 1, true, true)
	hand(15, 1, true, true) // the offsets in between have no records
	hand(16, 2, true, true) // another leader
	hand(17, 2, true, false)
	hand(18, 2, true, true)
	tr.Skip(19, -1) // no leader epoch
	hand(20, 2, true, true)
	want := []Run{{11, 16, 1}, {16, 17, 2}, {18, 19, 2}, {20, 21, 2}}
	if got := tr.DoneAhead(9); !slices.Equal(got, want) {
		t.Errorf("done ahead: %v, want %v", got, want)
	}
	if got := tr.DoneAhead(2); !slices.Equal(got, want[:2]) {
		t.Errorf("the first two runs: %v, want %v", got, want[:2])
	}
}

func TestTracker_changesWithWhatIsDone(t *testing.T) {
	tr := New(0)
	a, _ := tr.HandOver(0, 0)
	b, _ := tr.HandOver(1, 0)
	before := tr.Changes()
	tr.Settle(a, false)
	if tr.Changes() != before {
		t.Error("a refused record changed what is done")
	}
	tr.Settle(b, true)
	if tr.Changes() == before {
		t.Error("a record done ahead of the watermark is no change")
	}
	before = tr.Changes()
	tr.Settle(b, true)
	if tr.Changes() != before {
		t.Error("the same verdict again is a change")
	}
}

func TestTracker_remembersWhatWasDone(t *testing.T) {
	tr := New(10)
	tr.Remember([]Run{{11, 13, 1}, {20, 30, 1}})
	for _, tc := range []struct {
		offset int64
		epoch  int32
		want   bool
	}{
		{10, 1, false}, {11, 1, true}, {12, 1, true}, {13, 1, false},
		{20, 2, false}, // written again under another leader
		{21, 1, true}, {30, 1, false},
	} {
		if got := tr.Remembered(tc.offset, tc.epoch); got != tc.want {
			t.Errorf("remembered %d of epoch %d: %v, want %v", tc.offset, tc.epoch, got, tc.want)
		}
	}
}

// A crash soon after the start must not lose remembered runs that have not been read
// again yet.
func TestTracker_repeatsRememberedRunsInTheNextCommit(t *testing.T) {
	tr := New(10)
	tr.Remember([]Run{{11, 13, 1}, {20, 30, 1}})
	tr.HandOver(10, 1)
	if got, want := tr.DoneAhead(9), []Run{{11, 13, 1}, {20, 30, 1}}; !slices.Equal(got, want) {
		t.Errorf("done ahead: %v, want %v", got, want)
	}
	for _, offset := range []int64{11, 12, 20, 21} {
		if !tr.Remembered(offset, 1) || !tr.Skip(offset, 1) {
			t.Errorf("%d is not remembered", offset)
		}
	}
	got := tr.DoneAhead(9)
	if want := []Run{{11, 22, 1}, {22, 30, 1}}; !slices.Equal(got, want) {
		t.Errorf("half way: %v, want %v", got, want)
	}
}

func TestTracker_forgetsWhatMayNotBeTrueAnyMore(t *testing.T) {
	tr := New(10)
	tr.Remember([]Run{{20, 30, 1}})
	stuck, _ := tr.HandOver(10, 1)
	tr.Skip(11, 1)
	before := tr.Changes()
	tr.Forget()
	if tr.Changes() == before {
		t.Error("to forget is no change, and would not be committed")
	}
	if got := tr.DoneAhead(9); len(got) != 0 || tr.Remembered(20, 1) {
		t.Errorf("still done ahead: %v", got)
	}
	tr.Skip(12, 1)
	if got, want := tr.DoneAhead(9), []Run{{12, 13, 1}}; !slices.Equal(got, want) {
		t.Errorf("done since: %v, want %v", got, want)
	}
	if tr.Settle(stuck, true); tr.Watermark() != 13 {
		t.Errorf("watermark = %d, want 13: what was settled stays settled", tr.Watermark())
	}
}

// A log is read across several crashes, with records settled in any order. After each
// crash exactly those records are handed over again that were not done, not committed
// or did not fit; none is left out.
func TestTracker_aCrashBringsBackWhatWasNotDone(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 3))
		log := log{done: map[int64]bool{}, limit: []int{2800, 2800, 60, 0}[r.IntN(4)]}
		at, epoch := int64(0), int32(0)
		for range 50 + r.IntN(500) {
			at += 1 + r.Int64N(1+r.Int64N(4))
			if r.IntN(100) == 0 {
				epoch++
			}
			log.records = append(log.records, Run{at, at + 1, epoch})
		}
		for range 4 {
			log.live(t, r)
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
}

// log is a partition, the records of it that were ever done, and its commit.
type log struct {
	records   []Run // one offset each
	done      map[int64]bool
	committed int64
	metadata  string
	limit     int
}

// live runs a source from the commit to a crash.
func (l *log) live(t *testing.T, r *rand.Rand) {
	t.Helper()
	tr, from := New(l.committed), l.committed
	claimed := Decode(l.metadata, l.committed, place)
	tr.Remember(claimed)
	stop := r.IntN(len(l.records) + 1)
	open := map[int64]uint64{}
	for i, rec := range l.records {
		if rec.From < from || i > stop {
			continue
		}
		covered := slices.ContainsFunc(claimed, func(c Run) bool { return c.From <= rec.From && rec.From < c.To && c.Epoch == rec.Epoch })
		if got := tr.Remembered(rec.From, rec.Epoch); got != covered {
			t.Errorf("%d remembered: %v, its claim: %v", rec.From, got, covered)
		}
		if covered {
			if !l.done[rec.From] {
				t.Errorf("%d is left out and was never done", rec.From)
			}
			tr.Skip(rec.From, rec.Epoch)
		} else {
			open[rec.From], _ = tr.HandOver(rec.From, rec.Epoch)
		}
		if r.IntN(40) == 0 {
			l.commit(t, tr)
		}
		for offset, number := range open { // any of them
			if r.IntN(3) > 0 {
				ok := r.IntN(10) > 0
				tr.Settle(number, ok)
				l.done[offset] = l.done[offset] || ok
				delete(open, offset)
			}
			break
		}
	}
	if r.IntN(2) == 0 {
		l.commit(t, tr)
		if l.limit == 2800 {
			l.checkComplete(t, tr)
		}
	}
}

func (l *log) commit(t *testing.T, tr *Tracker) {
	t.Helper()
	if tr.Watermark() < l.committed {
		t.Errorf("commit went back from %d to %d", l.committed, tr.Watermark())
	}
	l.committed = tr.Watermark()
	l.metadata = Encode(l.committed, place, tr.DoneAhead(math.MaxInt), l.limit)
	if len(l.metadata) > l.limit {
		t.Errorf("%d characters, the limit is %d", len(l.metadata), l.limit)
	}
	for _, rec := range l.records {
		if rec.From < l.committed && !l.done[rec.From] {
			t.Errorf("%d is below the commit %d and not done", rec.From, l.committed)
		}
	}
}

// checkComplete checks that the commit lists all that this run knew to be done.
func (l *log) checkComplete(t *testing.T, tr *Tracker) {
	t.Helper()
	claimed := Decode(l.metadata, l.committed, place)
	for n := tr.head; n < tr.tail; n++ {
		e := tr.at(n)
		got := slices.ContainsFunc(claimed, func(c Run) bool { return c.From <= e.offset && e.offset < c.To })
		if got != (e.state == done) {
			t.Errorf("%d is done: %v, and the commit says %v", e.offset, e.state == done, got)
		}
	}
}
