package deadletter

import (
	"errors"
	"fmt"

	"github.com/lsm/fiso/common/connector"
)

// ErrStands is returned by Write for a letter that it does not write, because
// its record is a letter of the same flow, read from the topic that the letter
// would go to: it stands there already. The event may be settled.
var ErrStands = errors.New("the record is a dead letter of this flow, which stands in its topic already")

// MaxDeaths is how many dead letters in a row are made of a record.
const MaxDeaths = 32

// again reports what keeps a letter from being written again and again, by a
// flow that reads its own dead letters, or by flows that read each other's.
//
// A flow that reads its own is misled by its brokers' addresses, or its topics
// have other names there: all else is refused when its file is read. A record
// that was put back into its first topic, headers and all, is no such one. What
// was read from no broker is none either: its headers are its sender's own.
func again(l *Letter, topic string) error {
	m := l.Message
	if m.Position.Known() && m.Position.Stream == topic && header(m, HeaderFlow) == l.Flow && header(m, HeaderTopic) != "" {
		return fmt.Errorf("%s: %w: let the flow not read %s", m.Position, ErrStands, topic)
	}
	if n := deaths(m); n >= MaxDeaths {
		return fmt.Errorf("%d dead letters were made of the record at %s in a row (%s): the flows that read %s and %s go round in a circle: "+
			"break it, and let the event pass or move the consumer group past it",
			n, m.Position, HeaderDeaths, m.Position.Stream, topic)
	}
	return nil
}

// deaths is how many dead letters in a row were made of a message before. What
// is no number of ours is none, and so is what no broker kept: whoever calls an
// HTTP source could hold the flow with it.
func deaths(m *connector.Message) int {
	if !m.Position.Known() {
		return 0
	}
	p := parser{}
	return p.number(HeaderDeaths, header(m, HeaderDeaths), 31)
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
