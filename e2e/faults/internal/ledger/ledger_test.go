package ledger

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// run is a ledger of two partitions with helpers for the tests.
type run struct {
	*Ledger
	ends [2]int64
}

func newRun() *run {
	return &run{Ledger: New(Options{Topic: "orders", Partitions: 2, Size: func(int) int { return 100 }})}
}

// send sends an event and accepts it.
func (r *run) send(key int, kind Kind) (n int) {
	n, _ = r.Sent(key, key%2, kind)
	r.Accepted(n, r.ends[key%2])
	r.ends[key%2]++
	return n
}

func (r *run) id(n int) string {
	return fmt.Sprintf("orders-%d-%d", r.events[n].partition, r.events[n].offset)
}

func (r *run) deliver(process int, all ...int) {
	for _, n := range all {
		a := Arrival{ID: r.id(n)}
		a.Data.N = n
		r.Delivered(a, a.ID, process)
	}
}

func (r *run) deadLetter(n int) {
	e := r.events[n]
	r.DeadLetter(int(e.partition), e.offset, int64(r.deadLetters), e.kind.Code(), Value(n, int(e.key), e.kind, 100))
}

func (r *run) commitAll() {
	for p, end := range r.ends {
		r.Committed(p, end, int64(r.deadLetters))
	}
}

// must fails unless exactly the wanted guarantees are broken.
func (r *run) must(t *testing.T, want string) {
	t.Helper()
	v := r.Verdict()
	if got := v.String(); got != want {
		t.Errorf("got %q, want %q; %q", got, want, v.Details)
	}
	if again := r.Verdict(); again.String() != want || len(again.Details) != len(v.Details) {
		t.Errorf("the second verdict is %q", again.String())
	}
}

func TestLedger_acceptsAGoodRun(t *testing.T) {
	r := newRun()
	begun := time.Now()
	a, b, c, d, e := r.send(0, Plain), r.send(1, Flaky), r.send(0, Filtered), r.send(1, Rejected), r.send(1, Broken)
	if r.Undelivered() != 2 || len(r.Unsettled(0)) != 2 {
		t.Error(r.Undelivered(), r.Unsettled(0))
	}
	r.deliver(1, a)
	if r.AllDeliveredSince(begun) {
		t.Error("AllDeliveredSince is true though a partition delivered nothing")
	}
	r.deliver(1, b)
	if !r.AllDeliveredSince(begun) || r.AllDeliveredSince(time.Now()) {
		t.Error("AllDeliveredSince is wrong after each partition delivered")
	}
	r.deadLetter(d)
	r.deadLetter(e)
	r.Committed(0, 1, 0)
	if r.HasCommits(map[int32]int64{0: 2, 1: 0}) {
		t.Error("HasCommits is true before the commits")
	}
	r.commitAll()
	if !r.HasCommits(map[int32]int64{0: 2, 1: 3}) {
		t.Error("HasCommits is false after the commits")
	}
	_ = c
	r.must(t, "good")
	v := r.Verdict()
	if v.Accepted != 5 || v.Delivered != 2 || v.Filtered != 1 || v.DeadLetters != 2 || r.Count() != 2 || r.Len() != 5 || len(r.Unsettled(0)) != 0 {
		t.Errorf("%+v", v)
	}
}

func TestLedger_flagsALostEvent(t *testing.T) {
	for _, kind := range []Kind{Plain, Flaky, Rejected, Broken, Fails} {
		r := newRun()
		r.send(0, kind)
		v := r.Verdict()
		if v.Missing != 1 || v.Uncommitted != 1 {
			t.Errorf("%s: %+v", kind, v)
		}
	}
}

func TestLedger_ignoresEventsThatWereNotAccepted(t *testing.T) {
	r := newRun()
	r.Sent(0, 0, Plain)
	r.must(t, "good")
}

func TestLedger_flagsACommitPastAnUnsettledEvent(t *testing.T) {
	t.Run("delivered later", func(t *testing.T) {
		r := newRun()
		n := r.send(0, Plain)
		r.commitAll()
		r.deliver(1, n)
		r.must(t, "BROKEN: 1 bad commits")
	})
	t.Run("stored later", func(t *testing.T) {
		r := newRun()
		n := r.send(0, Rejected)
		r.commitAll()
		r.deadLetter(n)
		r.must(t, "BROKEN: 1 bad commits")
	})
	t.Run("acknowledged later", func(t *testing.T) {
		r := newRun()
		n, _ := r.Sent(0, 0, Plain)
		r.Committed(0, 1, 0)
		r.Accepted(n, 0)
		r.deliver(1, n)
		r.must(t, "BROKEN: 1 bad commits")
	})
	t.Run("of a record that nobody sent", func(t *testing.T) {
		r := newRun()
		r.Committed(0, 1, 0)
		r.must(t, "BROKEN: 1 unexpected")
	})
}

func TestLedger_flagsACommitThatGoesDown(t *testing.T) {
	r := newRun()
	r.deliver(1, r.send(0, Plain))
	r.commitAll()
	r.Committed(0, 0, 0)
	r.must(t, "BROKEN: 1 bad commits")
}

func TestLedger_flagsUncommittedEventsAtTheEnd(t *testing.T) {
	r := newRun()
	r.deliver(1, r.send(0, Plain))
	r.must(t, "BROKEN: 1 uncommitted")
}

func TestLedger_flagsFirstDeliveriesOutOfOrder(t *testing.T) {
	r := newRun()
	a, b := r.send(0, Plain), r.send(0, Plain)
	r.deliver(1, b, a)
	r.commitAll()
	r.must(t, "BROKEN: 1 out of order")
}

func TestLedger_flagsAWrongID(t *testing.T) {
	for name, change := range map[string]func(a *Arrival, key *string){
		"another offset":    func(a *Arrival, key *string) { a.ID = "orders-0-7"; *key = a.ID },
		"another partition": func(a *Arrival, key *string) { a.ID = "orders-1-0"; *key = a.ID },
		"no partition":      func(a *Arrival, key *string) { a.ID = "orders-9-0"; *key = a.ID },
		"another topic":     func(a *Arrival, key *string) { a.ID = "others-0-0"; *key = a.ID },
		"another key":       func(_ *Arrival, key *string) { *key = "orders-0-1" },
	} {
		r := newRun()
		n := r.send(0, Plain)
		r.deliver(1, n)
		r.commitAll()
		r.Crashed(1, Crash{At: time.Now(), InFlight: 1})
		a := Arrival{ID: r.id(n)}
		a.Data.N = n
		key := a.ID
		change(&a, &key)
		r.Delivered(a, key, 2)
		if v := r.Verdict(); v.WrongID != 1 {
			t.Errorf("%s: %s", name, v.String())
		}
	}
}

func TestLedger_flagsAnIDThatTheBrokerContradicts(t *testing.T) {
	r := newRun()
	n, _ := r.Sent(0, 0, Plain)
	a := Arrival{ID: "orders-0-5"}
	a.Data.N = n
	r.Delivered(a, a.ID, 1)
	r.Accepted(n, 4)
	if v := r.Verdict(); v.WrongID != 1 {
		t.Error(v.String())
	}
}

func TestLedger_flagsUnexpectedDeliveries(t *testing.T) {
	r := newRun()
	r.deliver(1, r.send(0, Filtered), r.send(1, Rejected))
	unknown := Arrival{ID: "orders-0-9"}
	unknown.Data.N = 9
	r.Delivered(unknown, unknown.ID, 1)
	r.DeadLetter(7, 0, 0, "X", nil)
	if v := r.Verdict(); v.Unexpected != 4 || len(v.Details) < examples {
		t.Errorf("%+v", v)
	}
}

func TestLedger_flagsWrongDeadLetters(t *testing.T) {
	r := newRun()
	a, b, c := r.send(0, Rejected), r.send(0, Broken), r.send(0, Plain)
	r.DeadLetter(0, r.events[a].offset, 0, "SINK_REJECTED", []byte("other"))
	r.DeadLetter(0, r.events[b].offset, 1, "SINK_REJECTED", Value(b, 0, Broken, 100))
	r.deliver(1, c)
	r.DeadLetter(0, r.events[c].offset, 2, "SINK_DELIVERY_FAILED", Value(c, 0, Plain, 100))
	r.commitAll()
	r.must(t, "BROKEN: 3 bad dead letters")
}

func TestLedger_flagsADuplicateThatNoCrashExplains(t *testing.T) {
	r := newRun()
	n, m := r.send(0, Plain), r.send(1, Rejected)
	r.deliver(1, n)
	r.deliver(2, n)
	r.deadLetter(m)
	r.deadLetter(m)
	r.commitAll()
	r.must(t, "BROKEN: 2 unexplained duplicates")
}

func TestLedger_limitsTheDuplicatesOfACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun()
		old, young, late := []int{r.send(0, Plain), r.send(0, Plain)}, r.send(0, Plain), r.send(1, Plain)
		r.deliver(1, old...)
		time.Sleep(10 * time.Second)
		r.deliver(1, young)
		r.Crashed(1, Crash{At: time.Now(), InFlight: 1, Uncommitted: time.Second})
		r.deliver(2, late)
		r.deliver(2, old[0], young)
		r.deliver(1, late) // was in flight when the process was paused
		r.commitAll()
		r.must(t, "good")
		if v := r.Verdict(); v.Duplicates != 3 || v.Bound != 2 || v.Oldest != 10*time.Second {
			t.Errorf("%+v", v)
		}
		r.deliver(2, old[1])
		r.must(t, "BROKEN: 1 unexplained duplicates")
	})
}

func TestLedger_allowsDuplicatesOfUncommittedEvents(t *testing.T) {
	r := newRun()
	n, m := r.send(0, Plain), r.send(1, Plain)
	r.deliver(1, n)
	between := time.Now()
	r.deliver(1, m)
	r.Outage(between, time.Now())
	r.deliver(2, m)
	r.commitAll()
	r.must(t, "good")
	if v := r.Verdict(); v.Bound != 1 || v.Duplicates != 1 {
		t.Errorf("%+v", v)
	}
	r.deliver(2, n)
	r.must(t, "BROKEN: 1 unexplained duplicates")
}

func TestValue_isTheRecordOfItsKind(t *testing.T) {
	for kind := range kinds {
		v := Value(7, 3, kind, 500)
		var got struct {
			N    int
			Kind string
		}
		err := json.Unmarshal(v, &got)
		if (err != nil) != (kind == Broken) || len(v) < 490 || len(v) > 510 || !strings.Contains(string(v), kind.String()) {
			t.Errorf("%s: %d bytes, %v", kind, len(v), err)
		}
	}
}

func TestParseArrival_readsNumberAndID(t *testing.T) {
	a, err := ParseArrival([]byte(`{"specversion":"1.0","id":"orders-1-2","data":{"n":5,"kind":"flaky","version":3}}`))
	if err != nil || a.ID != "orders-1-2" || a.Data.N != 5 || a.Data.Kind != "flaky" || a.Data.Version != 3 {
		t.Error(a, err)
	}
	large := `{"specversion":"1.0","id":"orders-1-2","data":{"n":5,"kind":"plain","pad":"` + strings.Repeat("x", parseLimit) + `"}}`
	if a, err := ParseArrival([]byte(large)); err != nil || a.ID != "orders-1-2" || a.Data.N != 5 || a.Data.Kind != "plain" {
		t.Error(a, err)
	}
	if a, err := ParseArrival([]byte(strings.ReplaceAll(large, `"n":5`, `"n":x`))); err == nil {
		t.Error(a)
	}
	if a, err := ParseArrival([]byte(`{"id":"x"}`)); err != nil || a.Data.N != -1 {
		t.Error(a, err)
	}
	if _, err := ParseArrival([]byte(`{`)); err == nil {
		t.Error("half an event was parsed")
	}
}
