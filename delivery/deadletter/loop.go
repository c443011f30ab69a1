package deadletter

import (
	"errors"
	"fmt"

	"github.com/lsm/fiso/common/connector"
)

// ErrAlreadyStored is returned by Write if the record is itself a dead letter
// of the same flow, read from the topic that the letter would be written to. It
// is in that topic already, so the event may be settled.
var ErrAlreadyStored = errors.New("the record is a dead letter of this flow, which is in its topic already")

// MaxDeadLetters is how many dead letters in a row are made of a record.
const MaxDeadLetters = 32

// refuseLoop refuses a letter that would be written again and again, by a flow
// that reads its own dead letters or by flows that read each other's.
//
// A flow can read its own dead letters only if its broker addresses hide that
// source and dead letters are on one cluster; otherwise its file is refused.
//
// A letter is not refused if somebody copied the dead letter back into its
// original topic, headers included, also if the dead letter topic has the same
// name on another cluster: the first letter may have been deleted since. Nor is
// the letter of a message that was not read from a broker, as its headers are
// set by its sender.
func refuseLoop(l *Letter, topic string) error {
	m := l.Message
	original := header(m, HeaderTopic)
	if m.Position.Known() && m.Position.Stream == topic && header(m, HeaderFlow) == l.Flow && original != "" && original != topic {
		return fmt.Errorf("%s: %w: configure the flow not to read %s", m.Position, ErrAlreadyStored, topic)
	}
	if n := deadLetterCount(m); n >= MaxDeadLetters {
		return fmt.Errorf("%d dead letters were made of the record at %s in a row (%s): the flows that read %s and %s form a loop: "+
			"break the loop, and correct the event or move the consumer group past it",
			n, m.Position, HeaderDeadLetterCount, m.Position.Stream, topic)
	}
	return nil
}

// deadLetterCount returns how many dead letters in a row were made of a
// message, from HeaderDeadLetterCount. An invalid value counts as 0, and so
// does the header of a message that was not read from a broker: otherwise a
// caller of an HTTP source could hold the flow.
func deadLetterCount(m *connector.Message) int {
	if !m.Position.Known() {
		return 0
	}
	p := parser{}
	return p.number(HeaderDeadLetterCount, header(m, HeaderDeadLetterCount), 31)
}

// header returns the value of a message's last header of that name, or "".
func header(m *connector.Message, name string) string {
	for i := len(m.Headers) - 1; i >= 0; i-- {
		if m.Headers[i].Key == name {
			return string(m.Headers[i].Value)
		}
	}
	return ""
}
