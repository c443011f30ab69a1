package pipeline

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/flow/supervisor"
)

// health decides whether a flow works.
type health struct {
	assigns bool // the source assigns partitions
	stall   time.Duration
	first   time.Duration // see Options.FirstAssignment

	mu       sync.Mutex
	started  time.Time
	assigned bool // the source had a partition before
	reached  bool // the source had reached its servers before
}

func (h *health) begin(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.started = now
}

// judge describes the status of source and engine for the user. A flow is not ready while its
// source has a problem, events are held, the line is stopped, it waits for its first partition, or
// a partition has lag but no progress. Being not ready asks for attention and stops nothing.
func (h *health) judge(now time.Time, src connector.Status, eng delivery.State) supervisor.Status {
	var problems []string
	if src.Problem != "" {
		problems = append(problems, "source: "+src.Problem)
	} else if h.starting(now, len(src.Partitions) > 0) {
		problems = append(problems, "starting: no partition is assigned yet")
	}
	for _, c := range eng.Closed {
		problems = append(problems, ofSink(c.Output)+c.Why)
	}
	for _, held := range eng.Held {
		problems = append(problems, fmt.Sprintf("%s%s held for %v: %s", ofSink(held.Output), events(held.Events), roundDuration(held.Since), held.Reason))
	}
	problems = append(problems, h.stalled(now, src.Partitions)...)
	s := supervisor.Status{Problem: strings.Join(problems, "; "), Unreached: !h.noteReached(src), Notes: src.Notes}
	if eng.Asked > 0 {
		s.Notes = append(s.Notes[:len(s.Notes):len(s.Notes)], fmt.Sprintf(
			"the sink asked for a pause of %v (Retry-After, of which at most %v is kept): the next try is at %s",
			eng.Asked, delivery.MaxRetryAfter, eng.AskedUntil.UTC().Format(time.RFC3339)))
	}
	if eng.LastError != "" {
		s.Notes = append(s.Notes[:len(s.Notes):len(s.Notes)], fmt.Sprintf("last error, %s: %s", eng.LastErrorAt.UTC().Format(time.RFC3339), eng.LastError))
	}
	return s
}

// noteReached reports whether the source reaches its servers, or did so before.
func (h *health) noteReached(src connector.Status) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reached = h.reached || len(src.Partitions) > 0
	return h.reached || !src.Unreachable
}

// starting reports whether the flow still waits for its first partition.
func (h *health) starting(now time.Time, assigned bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.assigned = h.assigned || assigned
	return h.assigns && !h.assigned && now.Sub(h.started) < h.first
}

// maxStalledShown limits how many partitions a report names.
const maxStalledShown = 5

// stalled describes the partitions with lag and without progress for too long.
func (h *health) stalled(now time.Time, partitions []connector.PartitionStatus) []string {
	var words []string
	more := 0
	for _, p := range partitions {
		still := now.Sub(p.Progress)
		if p.Lag <= 0 || p.Progress.IsZero() || still <= h.stall {
			continue
		}
		if len(words) == maxStalledShown {
			more++
			continue
		}
		words = append(words, fmt.Sprintf("no progress on %s/%d for %v, with %s behind", p.Stream, p.Partition, roundDuration(still), events(int(p.Lag))))
	}
	if more > 0 {
		words = append(words, fmt.Sprintf("and on %d more partitions", more))
	}
	return words
}

// ofSink returns a prefix that names the sink; "" if there is only one sink.
func ofSink(name string) string {
	if name == "" {
		return ""
	}
	return "sink " + name + ": "
}

func events(n int) string {
	if n == 1 {
		return "1 event"
	}
	return fmt.Sprintf("%d events", n)
}

// roundDuration rounds d for display.
func roundDuration(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(time.Second)
}
