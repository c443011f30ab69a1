//go:build synctests

package simulation

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// counterSet counts what happened in all simulations, to find kinds of faults that never happen. It is safe
// for concurrent use.
type counterSet struct {
	mu     sync.Mutex
	counts map[string]int
	done   int
	failed []uint64
}

var counters = counterSet{counts: map[string]int{}}

func (t *counterSet) count(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[what]++
}

// end records that a seed was judged.
func (t *counterSet) end(seed uint64, good bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done++
	if !good {
		t.failed = append(t.failed, seed)
	}
}

// line describes the progress of a run.
func (t *counterSet) line(of int, took time.Duration) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	faults := 0
	for kind, n := range t.counts {
		if !strings.HasPrefix(kind, "answer ") && !strings.HasPrefix(kind, "seeds ") {
			faults += n
		}
	}
	s := fmt.Sprintf("%d of %d seeds after %s (%.1f/s), %d faults, %d failed", t.done, of, took.Round(time.Second), float64(t.done)/took.Seconds(),
		faults, len(t.failed))
	if len(t.failed) > 0 {
		s += fmt.Sprintf(": seeds %v", t.failed[:min(len(t.failed), 20)])
	}
	return s
}

// table lists how often each kind happened.
func (t *counterSet) table() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	for _, kind := range requiredKinds() {
		if t.counts[kind] == 0 {
			t.counts[kind] = 0 // list kinds that never happened, too
		}
	}
	kinds := make([]string, 0, len(t.counts))
	for kind := range t.counts {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		fmt.Fprintf(&b, "%8d  %s\n", t.counts[kind], kind)
	}
	return b.String()
}

// report prints the progress every few seconds, and the table at the end. It writes to the
// standard output of the process, because go test holds back the output of tests.
func report(t *testing.T, of int) {
	began := time.Now()
	over, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(5 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fmt.Fprintln(os.Stdout, counters.line(of, time.Since(began)))
			case <-over:
				return
			}
		}
	}()
	t.Cleanup(func() { // after all seeds have ended
		close(over)
		<-stopped
		fmt.Fprintf(os.Stdout, "%s\n%s", counters.table(), counters.line(of, time.Since(began))+"\n")
	})
}

// requiredKinds returns the kinds that every larger run must contain.
func requiredKinds() []string {
	kinds := []string{
		"leaders move", "coordinators move", "node joins", "node goes", "retention", "crash", "stop", "isolate", "connections cut",
		"service is slow", "dead letters are refused", "reload", "reload of an invalid file", "reload while the service has an outage", "answer with Retry-After",
		"seeds with several sinks", "seeds whose records are split", "sink removed", "sink added", "only main is down", "only copy is down",
		"answer 2xx of one sink while the other has an outage", "dead letter of main put back", "dead letter of copy put back",
		"dead letter of a sink that is gone put back",
	}
	for _, outageKind := range outageKinds {
		kinds = append(kinds, "service "+outageKind, "copy "+outageKind)
	}
	for _, a := range brokerFaults {
		kinds = append(kinds, "errors to "+a.key.Name())
	}
	return kinds
}
