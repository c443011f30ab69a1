package deadletter

import (
	"errors"
	"fmt"

	"github.com/lsm/fiso/common/connector"
)

// ErrAlreadyStored is returned by Write for a letter that it does not write, because
// its record is itself a dead letter of the same flow, read from the topic that
// the letter would go to, and stands there already. The event may be settled.
var ErrAlreadyStored = errors.New("the record is a dead letter of this flow, which stands in its topic already")

// MaxDeadLetters is how many dead letters in a row are made of a record.
const MaxDeadLetters = 32

// refuseLoop refuses a letter that would be written without end, by a flow that reads
// its own dead letters or by flows that read each other's.
//
// A flow can read its own dead letters only where the addresses of its brokers
// hide that source and dead letters are on one cluster: otherwise its file is
// refused. A dead letter that somebody copied back into its original topic,
// headers included, is written again, also where the topic for dead letters has
// the same name on another cluster: the first letter may have been deleted there
// since. So is a message that was read from no broker: its headers are those of
// its sender.
func refuseLoop(l *Letter, topic string) error {
	m := l.Message
	original := header(m, HeaderTopic)
	if m.Position.Known() && m.Position.Stream == topic && header(m, HeaderFlow) == l.Flow && original != "" && original != topic {
		return fmt.Errorf("%s: %w: let the flow not read %s", m.Position, ErrAlreadyStored, topic)
	}
	if n := deadLetterCount(m); n >= MaxDeadLetters {
		return fmt.Errorf("%d dead letters were made of the record at %s in a row (%s): the flows that read %s and %s go round in a circle: "+
			"break it, and let the event pass or move the consumer group past it",
			n, m.Position, HeaderDeadLetterCount, m.Position.Stream, topic)
	}
	return nil
}

// deadLetterCount is how many dead letters in a row were made of a message before, by its
// header HeaderDeadLetterCount. A value that is no such number counts as 0, and so does
// the header of a message that was read from no broker: with it, a caller of an
// HTTP source could hold the flow.
func deadLetterCount(m *connector.Message) int {
	if !m.Position.Known() {
		return 0
	}
	p := parser{}
	return p.number(HeaderDeadLetterCount, header(m, HeaderDeadLetterCount), 31)
}

// header is the value of a message's last header of a name, or "".
func header(m *connector.Message, name string) string {
	for i := len(m.Headers) - 1; i >= 0; i-- {
		if m.Headers[i].Key == name {
			return string(m.Headers[i].Value)
		}
	}
	return ""
}
