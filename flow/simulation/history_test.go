//go:build synctests

package simulation

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// happening is the kind of a history entry.
type happening uint8

const (
	remark     happening = iota // for the reader
	produced                    // event n was stored at its place
	delivered                   // the service accepted n
	unanswered                  // accepted, but the answer was lost
	refused                     // the service refused n
	lettered                    // a dead letter of the place was sent to the cluster
	asked                       // a commit of the place was sent
	committed                   // the group's commit at the place was seen
	trimmed                     // the cluster deleted the records below the place
	gapped                      // fiso-flow reported a gap from the place to upTo
	moves                       // partitions may change owners from now until the time in until
	excuse                      // from now until the time in until, settled events may be repeated
	filed                       // a valid flow file with version n was written
	away                        // a sink is down, until back
	back                        // the sink is up again
	owned                       // the partition has another owner in the group, or none
)

// entry is one line of a history. The order of the lines is the order of events.
type entry struct {
	at      time.Duration
	what    happening
	who     string // name and life of a member, or ""
	n       int    // number of the event
	sink    string // of a delivery or a dead letter
	piece   int    // of a delivery or a dead letter: see unit
	part    int32
	offset  int64
	upTo    int64
	until   time.Duration // of moves and excuses
	most    int           // of a crash: how many events the member may have had in flight
	without bool          // of a flow file: it does not contain copySink
	note    string        // of a commit: its metadata, which is not printed
	text    string
}

// history is everything that happened in one run. It is safe for concurrent use.
type history struct {
	began time.Time

	mu      sync.Mutex
	entries []entry
	commits map[int32]int64 // last seen commits by partition
}

func (h *history) add(e entry) {
	e.at = time.Since(h.began)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.entries = append(h.entries, e)
}

func (h *history) note(format string, args ...any) { h.add(entry{text: fmt.Sprintf(format, args...)}) }

// move records a cause for partitions to change owners, now or a little later.
func (h *history) move(format string, args ...any) {
	h.add(entry{what: moves, text: fmt.Sprintf(format, args...), until: time.Since(h.began) + afterwards})
}

func (h *history) all() []entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.entries[:len(h.entries):len(h.entries)]
}

// String formats the entry for reading.
func (e entry) String() string {
	s := fmt.Sprintf("%11s  ", e.at.Round(time.Microsecond))
	if e.who != "" && e.what != owned {
		s += e.who + ": "
	}
	at := fmt.Sprintf("%d/%d", e.part, e.offset)
	switch e.what {
	case produced:
		s += fmt.Sprintf("#%d is %s", e.n, at)
	case delivered:
		s += fmt.Sprintf("#%d delivered%s", e.n, e.to())
	case unanswered:
		s += fmt.Sprintf("#%d was accepted, and the answer did not arrive", e.n) + e.to()
	case refused:
		s += fmt.Sprintf("#%d refused%s", e.n, e.to())
	case lettered:
		s += "dead letter of " + at + e.to()
	case asked:
		s += "commits " + at
	case committed:
		s += "committed is " + at
	case trimmed:
		s += "the cluster deleted all below " + at
	case filed:
		s += fmt.Sprintf("file of version %d, without %s: %t", e.n, copySink, e.without)
	case owned:
		s += fmt.Sprintf("partition %d is given to %q", e.part, e.who)
	case gapped:
		s += fmt.Sprintf("gap from %s to %d", at, e.upTo)
	}
	if e.text != "" {
		s += " " + e.text
	}
	return s
}

// to names the sink, unless it is mainSink.
func (e entry) to() string {
	s := ""
	if e.piece > 0 {
		s = fmt.Sprintf(" piece %d", e.piece)
	}
	if e.sink == copySink {
		s += " " + copySink
	}
	return s
}

// tell prints the last lines of a history, and of the earlier lines those that about selects.
func tell(entries []entry, last int, about func(entry) bool) string {
	var b strings.Builder
	skipped := 0
	for i, e := range entries {
		if i < len(entries)-last && !about(e) {
			skipped++
			continue
		}
		if skipped > 0 {
			fmt.Fprintf(&b, "        ... %d lines ...\n", skipped)
			skipped = 0
		}
		b.WriteString(e.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// saw records the committed offset if it has changed.
func (h *history) saw(part int32, at int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.commits == nil {
		h.commits = map[int32]int64{}
	}
	if was, ok := h.commits[part]; ok && was == at {
		return
	}
	h.commits[part] = at
	h.entries = append(h.entries, entry{what: committed, at: time.Since(h.began), part: part, offset: at})
}
