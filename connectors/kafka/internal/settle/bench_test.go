package settle

import (
	"math"
	"testing"
)

// filled returns a tracker of 1024 records after an unsettled one, of which all, or
// every second one, are done.
func filled(step int) *Tracker {
	t := New(0)
	t.HandOver(0, 1)
	for i := int64(1); i <= 1024; i++ {
		n, _ := t.HandOver(i, 1)
		if int(i)%step == 0 {
			t.Settle(n, true)
		}
	}
	return t
}

func BenchmarkTracker_handOverAndSettle(b *testing.B) {
	t := New(0)
	b.ReportAllocs()
	for i := range int64(b.N) {
		n, _ := t.HandOver(i, 1)
		t.Settle(n, true)
	}
}

func BenchmarkTracker_settleBehindAStuckRecord(b *testing.B) {
	b.ReportAllocs()
	for done := 0; done < b.N; done += 1024 {
		t := New(0)
		t.HandOver(0, 1)
		for i := int64(1); i <= 1024; i++ {
			n, _ := t.HandOver(i, 1)
			t.Settle(n, true)
		}
	}
}

func BenchmarkTracker_doneAhead(b *testing.B) {
	for name, step := range map[string]int{"one run": 1, "512 runs": 2} {
		b.Run(name, func(b *testing.B) {
			t := filled(step)
			b.ReportAllocs()
			for b.Loop() {
				t.DoneAhead(math.MaxInt)
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	for name, step := range map[string]int{"one run": 1, "512 runs": 2} {
		b.Run(name, func(b *testing.B) {
			runs := filled(step).DoneAhead(math.MaxInt)
			b.ReportAllocs()
			for b.Loop() {
				Encode(0, place, runs, 2800)
			}
		})
	}
}
