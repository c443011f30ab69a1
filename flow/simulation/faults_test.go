//go:build synctests

package simulation

import (
	"time"
)

// fault starts one fault and returns at once. If the fault lasts, its goroutine is in
// simulation.activeFaults and ends by itself.
type fault func(sim *simulation, rnd random)

var faults = map[string]fault{
	"sink":         sinkOutage,
	"copy":         copyOutage,
	"slow":         slowSink,
	"letters":      deadLettersRefused,
	"broker":       brokerErrors,
	"connections":  connectionsCut,
	"leaders":      leadersMove,
	"coordinators": coordinatorsMove,
	"nodes":        nodeComesAndGoes,
	"retention":    retention,
	"crash":        crash,
	"stop":         stopAndJoin,
	"isolate":      isolate,
	"reload":       reload,
}

// injectFaults causes faults for the time of the plan.
func (sim *simulation) injectFaults(rnd random) {
	for sim.since() < sim.plan.duration {
		time.Sleep(rnd.between(0, sim.plan.maxFaultInterval))
		if len(sim.plan.faults) > 0 {
			faults[oneOf(rnd, sim.plan.faults...)](sim, newRandom(sim.plan.seed, 6, rnd.Int()))
		}
	}
}

// beginFault marks a target as disturbed. It returns false if it is already.
func (sim *simulation) beginFault(target string) bool {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	if sim.disturbed[target] {
		return false
	}
	sim.disturbed[target] = true
	return true
}

func (sim *simulation) endFault(target string) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	delete(sim.disturbed, target)
}
