package connector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
)

func TestClassOf_theOutermostMarkCounts(t *testing.T) {
	cause := errors.New("boom")
	for _, tc := range []struct {
		name  string
		err   error
		class Class
		after time.Duration
	}{
		{"unmarked is temporary", cause, Temporary, 0},
		{"nil is temporary", nil, Temporary, 0},
		{"permanent", AsPermanent(cause), Permanent, 0},
		{"unavailable", AsUnavailable(cause, 0), Unavailable, 0},
		{"temporary with a delay", AsTemporary(cause, 7*time.Second), Temporary, 7 * time.Second},
		{"a negative delay is none", AsTemporary(cause, -time.Second), Temporary, 0},
		{"interrupted", ErrInterrupted, Interrupted, 0},
		{"cancelled", context.Canceled, Interrupted, 0},
		{"a deadline is temporary", context.DeadlineExceeded, Temporary, 0},
		{"an event that cannot be written", fmt.Errorf("send: %w", &cloudevent.EncodeError{Err: cause}), Permanent, 0},
		{"a mark over an event that cannot be written", AsTemporary(&cloudevent.EncodeError{Err: cause}, 0), Temporary, 0},
		{"closed is temporary", ErrClosed, Temporary, 0},
		{"wrapped", fmt.Errorf("send: %w", AsPermanent(cause)), Permanent, 0},
		{"wrapped with a delay", fmt.Errorf("send: %w", AsTemporary(cause, time.Minute)), Temporary, time.Minute},
		{"wrapped cancel", fmt.Errorf("send: %w", context.Canceled), Interrupted, 0},
		{"joined", errors.Join(cause, AsUnavailable(cause, 0)), Unavailable, 0},
		{"the outer mark", AsPermanent(fmt.Errorf("give up: %w", AsTemporary(cause, time.Minute))), Permanent, 0},
		{"a mark over a cancel", AsTemporary(context.Canceled, 0), Temporary, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := ClassOf(tc.err); got != tc.class {
				t.Errorf("class %v, want %v", got, tc.class)
			}
			if got := RetryAfter(tc.err); got != tc.after {
				t.Errorf("retry after %v, want %v", got, tc.after)
			}
		})
	}
}

// U36.
func TestIsUnsendable_onlyWhatTheSinkFoundByItself(t *testing.T) {
	cause := errors.New("boom")
	for _, tc := range []struct {
		name string
		err  error
		want bool
	}{
		{"nil", nil, false},
		{"nil, marked", AsUnsendable(nil), false},
		{"unmarked", cause, false},
		{"permanent", AsPermanent(cause), false},
		{"unsendable", AsUnsendable(cause), true},
		{"wrapped", fmt.Errorf("send: %w", AsUnsendable(cause)), true},
		{"an event that cannot be written", fmt.Errorf("send: %w", &cloudevent.EncodeError{Err: cause}), true},
		{"a permanent event that cannot be written", AsPermanent(&cloudevent.EncodeError{Err: cause}), true},
		{"a mark over an event that cannot be written", AsTemporary(&cloudevent.EncodeError{Err: cause}, 0), false},
		{"the outer mark", AsTemporary(AsUnsendable(cause), 0), false},
	} {
		if got := IsUnsendable(tc.err); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
	if ClassOf(AsUnsendable(cause)) != Permanent {
		t.Error("what cannot be sent is not permanent")
	}
}

func TestMarks_keepTheCauseItsWordsAndNil(t *testing.T) {
	cause := errors.New("boom")
	for name, mark := range map[string]func(error) error{
		"AsPermanent": AsPermanent, "AsUnsendable": AsUnsendable, "AsBlocked": AsBlocked,
		"AsTemporary": func(err error) error { return AsTemporary(err, time.Second) },
	} {
		if err := mark(nil); err != nil {
			t.Errorf("%s(nil) = %v", name, err)
		}
		if err := mark(cause); !errors.Is(err, cause) || err.Error() != "boom" {
			t.Errorf("%s hides its cause: %v", name, err)
		}
	}
}

func TestClass_hasANameForLogs(t *testing.T) {
	for class, want := range map[Class]string{
		Temporary: "temporary", Permanent: "permanent", Unavailable: "unavailable", Blocked: "blocked", Interrupted: "interrupted", Class(99): "temporary",
	} {
		if got := class.String(); got != want {
			t.Errorf("%d is %q, want %q", class, got, want)
		}
	}
}

// resultCounter counts the results that it receives.
type resultCounter struct {
	n    atomic.Int32
	last atomic.Value
}

func (v *resultCounter) Settled(_ *Message, err error) {
	v.n.Add(1)
	v.last.Store([]error{err})
}

func TestSettle_theFirstVerdictCountsAndNoOther(t *testing.T) {
	var v resultCounter
	var m Message
	m.Bind(&v)
	if m.IsSettled() {
		t.Error("a new message is settled")
	}
	if !m.Settle(ErrInterrupted) || m.Settle(nil) || !m.IsSettled() {
		t.Error("the first result did not count, or the second did")
	}
	if got := v.last.Load().([]error)[0]; !errors.Is(got, ErrInterrupted) || v.n.Load() != 1 {
		t.Errorf("the source heard %d results, the last %v", v.n.Load(), got)
	}
}

func TestSettle_isHeardOnceHoweverManyCall(t *testing.T) {
	for range 100 {
		var v resultCounter
		var m Message
		m.Bind(&v)
		var won atomic.Int32
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				if m.Settle(nil) {
					won.Add(1)
				}
			})
		}
		wait.Wait()
		if won.Load() != 1 || v.n.Load() != 1 {
			t.Fatalf("%d calls counted, the source heard %d", won.Load(), v.n.Load())
		}
	}
}

func TestSettle_worksWithoutASource(t *testing.T) {
	var m Message
	if !m.Settle(nil) || m.Settle(nil) {
		t.Error("an unbound message settles otherwise than a bound one")
	}
}

// ledger is a Settler that records single and batch calls.
type ledger struct {
	singles int
	batches [][]*Message
	err     error
}

func (l *ledger) Settled(_ *Message, err error) { l.singles, l.err = l.singles+1, err }
func (l *ledger) SettledBatch(ms []*Message, err error) {
	l.batches, l.err = append(l.batches, slices.Clone(ms)), err
}

func TestSettleAll_tellsTheSourceAtOnce(t *testing.T) {
	var l ledger
	ms := make([]*Message, 5)
	for i := range ms {
		ms[i] = new(Message)
		ms[i].Bind(&l)
	}
	if ms[0].Settler() != Settler(&l) {
		t.Error("a message does not say whom it is bound to")
	}
	ms[2].Settle(nil)
	SettleAll(ms, ErrInterrupted)
	if l.singles != 1 || len(l.batches) != 2 || !slices.Equal(l.batches[0], ms[:2]) || !slices.Equal(l.batches[1], ms[3:]) || !errors.Is(l.err, ErrInterrupted) {
		t.Errorf("the source heard %d single results and the batches %v, the last %v", l.singles, l.batches, l.err)
	}
	SettleAll(ms, nil)
	if l.singles != 1 || len(l.batches) != 2 {
		t.Error("a second result counted")
	}
}

func TestSettleAll_worksWithAnySource(t *testing.T) {
	var v resultCounter
	ms := []*Message{new(Message), new(Message), new(Message)} // the first is not bound
	ms[1].Bind(&v)
	ms[2].Bind(&v)
	SettleAll(ms, nil)
	if v.n.Load() != 2 || !ms[0].IsSettled() {
		t.Errorf("the source heard %d results of 2", v.n.Load())
	}
	SettleAll(nil, nil)
}

func TestPosition_isAStableID(t *testing.T) {
	for want, p := range map[string]Position{
		"orders-3-42":               PartitionOffset("orders", 3, 42),
		"":                          {},
		"http":                      {Stream: "http"},
		"stream-17":                 Sequence("stream", 17),
		"a-b-0-9223372036854775807": PartitionOffset("a-b", 0, 1<<63-1),
	} {
		if got := p.String(); got != want {
			t.Errorf("%+v is %q, want %q", p, got, want)
		}
		if known := strings.ContainsAny(want, "0123456789"); p.Known() != known || p.HasPartition() != (known && p.Stream != "stream") {
			t.Errorf("%q known = %v, with a partition = %v", want, p.Known(), p.HasPartition())
		}
	}
}

func TestHeader_findsTheFirstOfThatExactName(t *testing.T) {
	m := Message{Headers: []Header{{"a", []byte("1")}, {"A", nil}, {"a", []byte("2")}}}
	if v, ok := m.Header("a"); string(v) != "1" || !ok {
		t.Errorf("a = %q, %v", v, ok)
	}
	if v, ok := m.Header("A"); v != nil || !ok {
		t.Errorf("A = %q, %v", v, ok)
	}
	if _, ok := m.Header("b"); ok {
		t.Error("b was found")
	}
}
