package settle

import (
	"math/rand/v2"
	"testing"
)

func TestTracker_watermarkIsTheLowestUnsettledOffset(t *testing.T) {
	tr := New(10)
	if got := tr.Watermark(); got != 10 {
		t.Fatalf("watermark of a new tracker = %d, want its start 10", got)
	}
	a, _ := tr.HandOver(10, 1)
	b, _ := tr.HandOver(11, 1)
	c, _ := tr.HandOver(14, 2) // 12 and 13 are a gap
	if tr.Settle(c, true) || tr.Settle(b, true) {
		t.Error("the watermark moved past the unsettled record 10")
	}
	if got := tr.Watermark(); got != 10 {
		t.Errorf("watermark = %d, want 10", got)
	}
	if tr.Epoch() != -1 {
		t.Errorf("epoch = %d before anything was settled, want -1", tr.Epoch())
	}
	if !tr.Settle(a, true) {
		t.Error("settling the oldest record did not move the watermark")
	}
	if got, want := tr.Watermark(), int64(15); got != want {
		t.Errorf("watermark = %d, want %d, the offset after the last record", got, want)
	}
	if tr.Epoch() != 2 || tr.InFlight() != 0 || tr.Ahead() != 0 {
		t.Errorf("epoch %d, in flight %d, ahead %d; want 2, 0, 0", tr.Epoch(), tr.InFlight(), tr.Ahead())
	}
}

func TestTracker_aRefusedRecordHoldsTheWatermark(t *testing.T) {
	tr := New(0)
	a, _ := tr.HandOver(0, 0)
	b, _ := tr.HandOver(1, 0)
	if tr.Settle(a, false) {
		t.Error("a refused record moved the watermark")
	}
	tr.Settle(b, true)
	if tr.Settle(a, true) {
		t.Error("a second verdict counted")
	}
	if tr.Watermark() != 0 || tr.InFlight() != 0 || tr.Ahead() != 2 {
		t.Errorf("watermark %d, in flight %d, ahead %d; want 0, 0, 2", tr.Watermark(), tr.InFlight(), tr.Ahead())
	}
}

func TestTracker_skippedOffsetsAreDoneWith(t *testing.T) {
	tr := New(0)
	a, _ := tr.HandOver(0, 0)
	if !tr.Skip(1, 0) {
		t.Error("a marker after the last record was refused")
	}
	if tr.Watermark() != 0 {
		t.Error("a marker moved the watermark over an unsettled record")
	}
	tr.Settle(a, true)
	if tr.Watermark() != 2 {
		t.Errorf("watermark = %d, want 2, after the marker", tr.Watermark())
	}
}

func TestTracker_offsetsNeverGoBack(t *testing.T) {
	tr := New(5)
	if _, ok := tr.HandOver(4, 0); ok {
		t.Error("an offset below the start was taken")
	}
	tr.HandOver(7, 0)
	if tr.Skip(7, 0) {
		t.Error("the same offset was taken twice")
	}
	if tr.Next() != 8 || tr.Ahead() != 1 {
		t.Errorf("next %d, ahead %d; want 8, 1", tr.Next(), tr.Ahead())
	}
}

func TestTracker_unknownNumbersChangeNothing(t *testing.T) {
	tr := New(0)
	n, _ := tr.HandOver(0, 0)
	tr.Settle(n, true)
	if tr.Settle(n, true) || tr.Settle(99, true) {
		t.Error("a number that is not outstanding moved the watermark")
	}
	if tr.InFlight() != 0 {
		t.Errorf("in flight = %d, want 0", tr.InFlight())
	}
}

// F3: the tracker agrees with the simplest model, a list of the records handed over and
// their states. These projects shipped commits over a hole:
// https://github.com/knative/eventing-contrib/issues/596
// https://github.com/confluentinc/parallel-consumer/issues/894
// https://github.com/confluentinc/parallel-consumer/issues/875
func TestTracker_agreesWithTheModel(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		ops := make([]byte, 400)
		for i := range ops {
			ops[i] = byte(r.Uint32())
		}
		checkModel(t, ops)
	}
}

func FuzzTracker(f *testing.F) {
	f.Add([]byte{0, 0, 0, 3, 7, 255, 2, 1})
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	f.Fuzz(func(t *testing.T, ops []byte) { checkModel(t, ops) })
}

type modelRecord struct {
	offset  int64
	number  uint64
	settled bool
	ok      bool
}

// checkModel runs the operations that ops encodes on a tracker and on a list, and
// compares their visible state after each.
func checkModel(t *testing.T, ops []byte) {
	t.Helper()
	const start = 100
	tr := New(start)
	var records []modelRecord
	next := int64(start)
	for i, op := range ops {
		switch {
		case op%4 < 2 || len(records) == 0: // hand over, with a gap of up to 3
			offset := next + int64(op>>2)%4
			n, ok := tr.HandOver(offset, int32(offset))
			if !ok {
				t.Fatalf("op %d: offset %d refused", i, offset)
			}
			records = append(records, modelRecord{offset: offset, number: n})
			next = offset + 1
		case op%4 == 2 && op > 250: // marker
			tr.Skip(next, int32(next))
			records = append(records, modelRecord{offset: next, number: ^uint64(0), settled: true, ok: true})
			next++
		default: // settle any record, settled ones too
			m := &records[int(op)*7919%len(records)]
			verdict := op%16 != 3
			if m.number == ^uint64(0) {
				break
			}
			tr.Settle(m.number, verdict)
			if !m.settled {
				m.settled, m.ok = true, verdict
			}
		}
		compare(t, i, tr, records, next, start)
	}
}

func compare(t *testing.T, op int, tr *Tracker, records []modelRecord, next, start int64) {
	t.Helper()
	watermark, epoch, inFlight, ahead := next, int32(-1), 0, 0
	open := true // nothing unsettled yet
	for _, m := range records {
		if open && m.ok {
			epoch = int32(m.offset)
			continue
		}
		if open {
			watermark, open = m.offset, false
		}
		ahead++
		if !m.settled {
			inFlight++
		}
	}
	if tr.Watermark() != watermark || tr.Epoch() != epoch || tr.InFlight() != inFlight || tr.Ahead() != ahead || tr.Next() != next {
		t.Fatalf("op %d: watermark %d epoch %d in flight %d ahead %d next %d; the model says %d, %d, %d, %d, %d",
			op, tr.Watermark(), tr.Epoch(), tr.InFlight(), tr.Ahead(), tr.Next(), watermark, epoch, inFlight, ahead, next)
	}
	if tr.Watermark() < start {
		t.Fatalf("op %d: watermark %d below the start", op, tr.Watermark())
	}
}
