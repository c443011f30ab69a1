//go:build synctests

package simulation

import (
	"time"
)

// fault starts one disturbance and returns at once. If the disturbance lasts, its goroutine is in
// w.troubles and ends by itself.
type fault func(w *world, d dice)

var faults = map[string]fault{
	"sink":         sinkTrouble,
	"copy":         copyTrouble,
	"slow":         slowSink,
	"letters":      lettersRefused,
	"broker":       brokerErrors,
	"connections":  connectionsCut,
	"leaders":      leadersMove,
	"coordinators": coordinatorsMove,
	"nodes":        nodesGo,
	"retention":    retention,
	"crash":        crash,
	"stop":         stopAndJoin,
	"isolate":      isolate,
	"reload":       reload,
}

// trouble causes faults for the time of the plan.
func (w *world) trouble(d dice) {
	for w.since() < w.plan.over {
		time.Sleep(d.between(0, w.plan.pace))
		if len(w.plan.faults) > 0 {
			faults[one(d, w.plan.faults...)](w, newDice(w.plan.seed, 6, d.Int()))
		}
	}
}

// take marks a thing as disturbed; it returns false if it is already.
func (w *world) take(what string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy[what] {
		return false
	}
	w.busy[what] = true
	return true
}

func (w *world) release(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.busy, what)
}
