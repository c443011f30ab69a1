package deadletter

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/connector"
)

var errTooLarge = errors.New("MESSAGE_TOO_LARGE")

// producerFunc is a producer made of its Produce.
type producerFunc func(ctx context.Context, topic string, key, value []byte, headers []connector.Header) error

func (f producerFunc) Produce(ctx context.Context, topic string, key, value []byte, headers []connector.Header) error {
	return f(ctx, topic, key, value, headers)
}

func TestKafka_writesTheRecordAsItWasRead(t *testing.T) {
	l := letter()
	k := NewKafka(producerFunc(func(_ context.Context, topic string, key, value []byte, headers []connector.Header) error {
		if topic != "dlq" || string(key) != "k\x00" || string(value) != `{"a":1}` || !slices.Equal(text(headers), text(Headers(l))) {
			t.Errorf("produced %s %q %q %v", topic, key, value, headers)
		}
		return nil
	}), "dlq", nil)
	if err := k.Write(t.Context(), l); err != nil {
		t.Error(err)
	}
	if err := errors.Join(k.Close(t.Context()), k.Close(t.Context())); err != nil {
		t.Error(err)
	}
	if err := k.Write(t.Context(), l); !errors.Is(err, connector.ErrClosed) {
		t.Errorf("Write after Close: %v", err)
	}
}

func TestKafka_saysWhatToDoAboutALetterThatIsTooLarge(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"too large", errTooLarge, "the dead letter of orders-3-42, 316 bytes with its headers, is too large for topic dlq: raise the topic's max.message.bytes, or take it out with fiso-flow dlq skip … --to-file: MESSAGE_TOO_LARGE"},
		{"anything else", errors.New("no leader"), "write to dlq: no leader"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := NewKafka(producerFunc(func(context.Context, string, []byte, []byte, []connector.Header) error { return tc.err }), "dlq", errTooLarge)
			err := k.Write(t.Context(), letter())
			if !errors.Is(err, tc.err) || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

// F8, https://github.com/twmb/franz-go/issues/1217: the context that a produce
// runs under is never cancelled, however Write ends.
func TestF8_aProduceUnderWayIsNeverCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		cancelled := true
		k := NewKafka(producerFunc(func(ctx context.Context, _ string, _, _ []byte, _ []connector.Header) error {
			<-release
			cancelled = ctx.Err() != nil
			return nil
		}), "dlq", nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := k.Write(ctx, letter()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Write: %v", err)
		}
		short, cancelShort := context.WithTimeout(t.Context(), time.Second)
		defer cancelShort()
		if err := k.Close(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close while a produce is under way: %v", err)
		}
		close(release)
		if err := k.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if cancelled {
			t.Error("the produce was cancelled")
		}
	})
}

// F9: a letter that waits longer than its caller is stored once, however often
// it is written again meanwhile.
func TestF9_aLetterWrittenAgainJoinsItsOwnProduce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan error)
		produced := 0
		k := NewKafka(producerFunc(func(context.Context, string, []byte, []byte, []connector.Header) error {
			produced++
			return <-release
		}), "dlq", nil)
		l := letter()
		write := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return k.Write(ctx, l)
		}
		for range 3 {
			if err := write(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Write: %v", err)
			}
		}
		release <- nil
		synctest.Wait()
		if err := write(); err != nil || produced != 1 {
			t.Errorf("%v after %d produces, want 1", err, produced)
		}
		go func() { release <- errTooLarge }()
		if err := write(); !errors.Is(err, errTooLarge) || produced != 2 || len(k.pending) != 0 {
			t.Errorf("%v after %d produces, %d pending", err, produced, len(k.pending))
		}
	})
}

func TestKafka_forgetsResultsThatNobodyAsksFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan error)
		k := NewKafka(producerFunc(func(context.Context, string, []byte, []byte, []connector.Header) error { return <-release }), "dlq", nil)
		late, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		given, giveUp := context.WithCancel(t.Context())
		time.AfterFunc(2*time.Second, giveUp)
		if err := errors.Join(k.Write(late, letter()), k.Write(given, letter())); !errors.Is(err, context.Canceled) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := k.Write(given, letter()); !errors.Is(err, context.Canceled) {
			t.Errorf("a write that may not begin: %v", err)
		}
		if len(k.pending) != 1 {
			t.Errorf("%d pending, want that which will be asked for", len(k.pending))
		}
		release <- nil
		release <- nil
		<-time.After(keepResult + time.Second)
		go func() { release <- nil }()
		if err := k.Write(t.Context(), letter()); err != nil || len(k.pending) != 0 {
			t.Errorf("%v, %d pending", err, len(k.pending))
		}
	})
}
