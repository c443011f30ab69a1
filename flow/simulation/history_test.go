//go:build synctests

package simulation

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// entryKind is the kind of a history entry.
type entryKind uint8

const (
	note            entryKind = iota // for the reader
	produced                         // event n was deadLetter at its position
	delivered                        // the service accepted n
	answerLost                       // accepted, but the answer was lost
	refused                          // the service refused n
	deadLettered                     // a dead letter of the position was sent to the cluster
	commitRequested                  // a commit of the position was sent
	committed                        // the group's commit at the position was seen
	recordsDeleted                   // the cluster deleted the records below the position
	gapReported                      // fiso-flow reported a gap from the position to upTo
	rebalance                        // partitions may change owners from now until the time in until
	faultPeriod                      // from now until the time in until, settled events may be repeated
	flowFileWritten                  // a valid flow file with version n was written
	sinkDown                         // a sink is down, until sinkUp
	sinkUp                           // the sink is up again
	ownerChanged                     // the partition has another owner in the group, or none
)

// entry is one line of a history. The order of the lines is the order of events.
type entry struct {
	at            time.Duration
	kind          entryKind
	member        string // name and run of a member, or ""
	n             int    // number of the event
	sink          string // of a delivery or a dead letter
	piece         int    // of a delivery or a dead letter: see expectedDelivery
	part          int32
	offset        int64
	upTo          int64
	until         time.Duration // of rebalances and fault periods
	maxInFlight   int           // of a crash: how many events the member may have had in flight
	lacksCopySink bool          // of a flow file
	metadata      string        // of a commit; it is not printed
	text          string
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

func (h *history) addNote(format string, args ...any) {
	h.add(entry{text: fmt.Sprintf(format, args...)})
}

// addRebalance records a cause for partitions to change owners, now or a little later.
func (h *history) addRebalance(format string, args ...any) {
	h.add(entry{kind: rebalance, text: fmt.Sprintf(format, args...), until: time.Since(h.began) + maxRebalance})
}

func (h *history) all() []entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.entries[:len(h.entries):len(h.entries)]
}

// String formats the entry for reading.
func (e entry) String() string {
	s := fmt.Sprintf("%11s  ", e.at.Round(time.Microsecond))
	if e.member != "" && e.kind != ownerChanged {
		s += e.member + ": "
	}
	at := fmt.Sprintf("%d/%d", e.part, e.offset)
	switch e.kind {
	case produced:
		s += fmt.Sprintf("#%d is %s", e.n, at)
	case delivered:
		s += fmt.Sprintf("#%d delivered%s", e.n, e.to())
	case answerLost:
		s += fmt.Sprintf("#%d was accepted, and the answer did not arrive", e.n) + e.to()
	case refused:
		s += fmt.Sprintf("#%d refused%s", e.n, e.to())
	case deadLettered:
		s += "dead letter of " + at + e.to()
	case commitRequested:
		s += "commits " + at
	case committed:
		s += "committed is " + at
	case recordsDeleted:
		s += "the cluster deleted all below " + at
	case flowFileWritten:
		s += fmt.Sprintf("file of version %d, without %s: %t", e.n, copySink, e.lacksCopySink)
	case ownerChanged:
		s += fmt.Sprintf("partition %d is given to %q", e.part, e.member)
	case gapReported:
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

// formatEntries prints the last lines of a history, and of the earlier lines those that relevantTo selects.
func formatEntries(entries []entry, last int, relevantTo func(entry) bool) string {
	var b strings.Builder
	skipped := 0
	for i, e := range entries {
		if i < len(entries)-last && !relevantTo(e) {
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

// recordCommit records the committed offset if it has changed.
func (h *history) recordCommit(part int32, at int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.commits == nil {
		h.commits = map[int32]int64{}
	}
	if was, ok := h.commits[part]; ok && was == at {
		return
	}
	h.commits[part] = at
	h.entries = append(h.entries, entry{kind: committed, at: time.Since(h.began), part: part, offset: at})
}
