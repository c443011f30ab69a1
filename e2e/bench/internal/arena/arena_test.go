package arena

import (
	"encoding/json"
	"testing"
	"time"
)

func TestRecords_areJSONOfTheirSize(t *testing.T) {
	for _, size := range []int{500, 10_000} {
		r := Records{Count: 100, Size: size, Keys: 10, Partitions: 2}
		rec := r.Record("t", 17, time.Now())
		if !json.Valid(rec.Value) || len(rec.Value) != size || rec.Partition != 1 {
			t.Errorf("%d bytes for %d, partition %d: %s", len(rec.Value), size, rec.Partition, rec.Value)
		}
	}
}

func TestRecords_passWhereTheyAreExpected(t *testing.T) {
	for _, r := range []Records{{Count: 100, Size: 500, Keys: 10, Partitions: 2}, {Count: 100, Size: 500, Keys: 10, Partitions: 2, Rare: true}} {
		n := 0
		for i := range r.Count {
			if r.Passes(i) {
				n++
			}
		}
		if n != r.Expected() {
			t.Errorf("%d pass, %d are expected", n, r.Expected())
		}
	}
}

func event(n string) []byte { return []byte(`{"data":{"order_id":"o-` + n + `"}}`) }

func TestTally_isDoneWhenAllHaveArrived(t *testing.T) {
	a := NewTally(3, 3, 2)
	for _, n := range []string{"000000002", "000000000", "000000001"} {
		a.Sent(1)
		a.Event(event(n))
	}
	<-a.Warm
	<-a.Done
	b := NewTally(3, 3, 2)
	for _, n := range []string{"000000000", "000000001", "000000002"} {
		b.Event(event(n))
	}
	if a.Sum() != b.Sum() || a.Check() != nil || a.Count() != 3 || a.End().After(time.Now()) {
		t.Error("the order of arrival makes a difference")
	}
	if a.Latency(0.5) <= 0 || b.Latency(0.5) != 0 {
		t.Error("latency is of what was sent, and of nothing else")
	}
}

func TestTally_refusesDoublesAndStrangers(t *testing.T) {
	for _, n := range []string{"000000000", "000000007", "x", "00000000x"} {
		a := NewTally(2, 2, 1)
		a.Event(event("000000000"))
		a.Event(event(n))
		if a.Check() == nil {
			t.Errorf("%s went unseen", n)
		}
	}
}

func TestTally_seesOtherBytes(t *testing.T) {
	a, b := NewTally(1, 1, 1), NewTally(1, 1, 1)
	a.Event(event("000000000"), []byte("id-1"))
	b.Event(event("000000000"), []byte("id-2"))
	if a.Sum() == b.Sum() {
		t.Error("an attribute of its own makes no difference")
	}
}
