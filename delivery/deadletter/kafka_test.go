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

// producerFunc is a producer that gets the result of a record from a function, which
// runs on its own goroutine.
type producerFunc func(topic string, key, value []byte, headers []connector.Header) error

func (f producerFunc) Begin(_ context.Context, topic string, key, value []byte, headers []connector.Header) (Pending, error) {
	p := &pending{done: make(chan struct{})}
	go func() {
		p.err = f(topic, key, value, headers)
		close(p.done)
	}()
	return p, nil
}

func (producerFunc) Close(context.Context) error { return nil }

type pending struct {
	done chan struct{}
	err  error
}

func (p *pending) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// to returns a writer to a topic.
func to(topic string, p producerFunc) *Kafka { return NewKafka(KafkaConfig{Producer: p, Topic: topic}) }

func TestKafka_writesTheRecordAsItWasRead(t *testing.T) {
	l := letter()
	k := to("dlq", func(topic string, key, value []byte, headers []connector.Header) error {
		if topic != "dlq" || string(key) != "k\x00" || string(value) != `{"a":1}` || !slices.Equal(text(headers), text(Headers(l))) {
			t.Errorf("produced %s %q %q %v", topic, key, value, headers)
		}
		return nil
	})
	if err := k.Write(t.Context(), l); err != nil {
		t.Error(err)
	}
	if err := errors.Join(k.Close(t.Context()), k.Close(t.Context())); err != nil {
		t.Error(err)
	}
	if err := k.Write(t.Context(), l); !errors.Is(err, connector.ErrClosed) || err.Error() != "write to topic dlq: closed" {
		t.Errorf("Write after Close: %v", err)
	}
}

func TestKafka_saysWhatToDoAboutALetterThatIsTooLarge(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"too large", errTooLarge, "the dead letter of orders-3-42, 340 bytes with its headers, is too large for topic dlq: raise the topic's max.message.bytes, or move the consumer group past the record: MESSAGE_TOO_LARGE"},
		{"anything else", errors.New("write to topic dlq: no leader"), "write to topic dlq: no leader"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := to("dlq", func(string, []byte, []byte, []connector.Header) error { return tc.err })
			k.TooLarge = errTooLarge
			err := k.Write(t.Context(), letter())
			if !errors.Is(err, tc.err) || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

// A letter whose record the producer did not begin may be written again.
func TestKafka_writesALetterAgainThatWasNotBegun(t *testing.T) {
	p := &refusing{}
	k := NewKafka(KafkaConfig{Producer: p, Topic: "dlq"})
	for n := range 2 {
		if err := k.Write(t.Context(), letter()); !errors.Is(err, errTooLarge) || p.asked != n+1 {
			t.Errorf("%v after the producer was asked %d times", err, p.asked)
		}
	}
	if err := k.Close(t.Context()); !errors.Is(err, errTooLarge) {
		t.Errorf("Close: %v, want the producer's error", err)
	}
}

// refusing is a producer whose Begin fails.
type refusing struct{ asked int }

func (p *refusing) Begin(context.Context, string, []byte, []byte, []connector.Header) (Pending, error) {
	p.asked++
	return nil, errTooLarge
}

func (*refusing) Close(context.Context) error { return errTooLarge }

// F9: a letter whose write takes longer than its caller waits is stored once, however
// often it is written again meanwhile.
func TestF9_aLetterWrittenAgainJoinsItsOwnProduce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan error)
		produced := 0
		k := to("dlq", func(string, []byte, []byte, []connector.Header) error {
			produced++
			return <-release
		})
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
		k := to("dlq", func(string, []byte, []byte, []connector.Header) error { return <-release })
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
		<-time.After(resultTTL + time.Second)
		go func() { release <- nil }()
		if err := k.Write(t.Context(), letter()); err != nil || len(k.pending) != 0 {
			t.Errorf("%v, %d pending", err, len(k.pending))
		}
	})
}
