package deadletter

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/connector"
)

// asRead is a letter as a flow reads it from a topic of dead letters.
func asRead(l *Letter, topic string) *connector.Message {
	m := stored(l)
	m.Position = connector.PartitionOffset(topic, 0, 7)
	return m
}

// U4: a flow that read its own dead letters wrote 40,000 of one record in eight
// seconds. A flow that reads those of another one must work: it reprocesses them.
func TestKafka_aLetterThatStandsInItsTopicIsNotWrittenAgain(t *testing.T) {
	mine, other := letter(), letter()
	other.Flow = "others"
	replayed := letter() // dead letters go to another cluster's "dlq"
	replayed.Message.Position.Stream = "dlq"
	plain := letter().Message
	plain.Position.Stream = "dlq"
	forged := letter().Message
	forged.Position.Stream = "dlq"
	forged.Headers = append(forged.Headers, h(HeaderFlow, mine.Flow))
	for name, tc := range map[string]struct {
		message *connector.Message
		stands  bool
	}{
		"its own, read from its topic":                     {asRead(mine, "dlq"), true},
		"its own, put back into the source":                {asRead(mine, "orders"), false},
		"its own, put back into a source of the same name": {asRead(replayed, "dlq"), false},
		"another flow's, in the same topic":                {asRead(other, "dlq"), false},
		"another flow's, in a topic of its own":            {asRead(other, "dlq-others"), false},
		"no dead letter, in a topic of the name":           {plain, false},
		"no dead letter, and a header that says its flow":  {forged, false},
	} {
		t.Run(name, func(t *testing.T) {
			produced := 0
			k := to("dlq", func(string, []byte, []byte, []connector.Header) error { produced++; return nil })
			l := letter()
			l.Message = tc.message
			err := k.Write(t.Context(), l)
			if errors.Is(err, ErrAlreadyStored) != tc.stands || (err != nil) != tc.stands || (produced == 0) != tc.stands {
				t.Errorf("%v, %d produced", err, produced)
			}
			if want := "dlq-0-7: the record is a dead letter of this flow, which is in its topic already: configure the flow not to read dlq"; tc.stands && err.Error() != want {
				t.Errorf("%v", err)
			}
		})
	}
}

// U4: flows that read each other's dead letters stop at MaxDeadLetters, whatever their
// topics are called, and the record stays unsettled.
func TestKafka_lettersGoRoundACircleOnlySoOften(t *testing.T) {
	var last []connector.Header
	k := to("dlq-a", func(_ string, _, _ []byte, hs []connector.Header) error { last = hs; return nil })
	l := letter()
	for n := 1; n <= MaxDeadLetters; n++ {
		if err := k.Write(t.Context(), l); err != nil {
			t.Fatalf("letter %d: %v", n, err)
		}
		if got := header(&connector.Message{Headers: last}, HeaderDeadLetterCount); got != strconv.Itoa(n) || len(last) != 16 {
			t.Fatalf("letter %d counts %s, and has %d headers", n, got, len(last))
		}
		l = letter()
		l.Flow = []string{"a", "b"}[n%2]
		l.Message.Headers, l.Message.Position.Stream = last, "dlq-b"
	}
	for range 2 {
		last = nil
		err := k.Write(t.Context(), l)
		if last != nil || errors.Is(err, ErrAlreadyStored) || !strings.HasPrefix(words(err), "32 dead letters were made of the record at dlq-b-3-42 in a row (fiso-dead-letter-count): the flows that read dlq-b and dlq-a form a loop: ") {
			t.Errorf("one more: %v", err)
		}
	}
}

func words(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// U4: an invalid count must not hold an event.
func TestKafka_aBrokenCountIsNone(t *testing.T) {
	for _, count := range []string{"", "x", "-1", "1e9", "99999999999999999999"} {
		k := to("dlq", func(_ string, _, _ []byte, hs []connector.Header) error {
			if got := header(&connector.Message{Headers: hs}, HeaderDeadLetterCount); got != "1" {
				t.Errorf("%q: counted as %s", count, got)
			}
			return nil
		})
		l := letter()
		l.Message.Headers = append(l.Message.Headers, h(HeaderDeadLetterCount, count))
		if err := k.Write(t.Context(), l); err != nil {
			t.Errorf("%q: %v", count, err)
		}
	}
}

// U24: headers from a caller of an HTTP source do not hold the flow, and do not settle an event that is not stored.
func TestKafka_headersOfACallerAreNoEarlierDeath(t *testing.T) {
	for name, headers := range map[string][]connector.Header{
		"a count of deaths":           {h(HeaderDeadLetterCount, strconv.Itoa(MaxDeadLetters))},
		"a letter of this very topic": {h(HeaderFlow, letter().Flow), h(HeaderTopic, "orders")},
	} {
		t.Run(name, func(t *testing.T) {
			var stored []connector.Header
			k := to("hooks", func(_ string, _, _ []byte, hs []connector.Header) error { stored = hs; return nil })
			l := letter()
			l.Message.Position = connector.Position{Stream: "hooks"}
			l.Message.Headers = headers
			if err := k.Write(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			if got := header(&connector.Message{Headers: stored}, HeaderDeadLetterCount); got != "1" {
				t.Errorf("the letter counts %q deaths", got)
			}
		})
	}
}
