//go:build synctests

package simulation

import "time"

// undisturbedMember marks a member without a fault as disturbed and returns it, or returns nil.
func (sim *simulation) undisturbedMember(rnd random) *member {
	for _, n := range rnd.Perm(members) {
		if m := sim.members[n]; sim.beginFault(m.name) {
			return m
		}
	}
	return nil
}

// crash kills a member and starts it again later.
func crash(sim *simulation, rnd random) {
	m := sim.undisturbedMember(rnd)
	if m == nil {
		return
	}
	counters.count("crash")
	m.crash()
	sim.undoAfter(m.name, rnd.between(0, time.Minute), m.start)
}

// stopAndJoin stops a member cleanly and starts it again later.
func stopAndJoin(sim *simulation, rnd random) {
	m := sim.undisturbedMember(rnd)
	if m == nil {
		return
	}
	sim.activeFaults.Go(func() {
		counters.count("stop")
		m.stop()
		sim.undoAfter(m.name, rnd.between(0, 30*time.Second), m.start)
	})
}

// isolate cuts a member off the network for a while. The member continues afterwards; if its
// session has expired, it is a zombie.
func isolate(sim *simulation, rnd random) {
	m := sim.undisturbedMember(rnd)
	if m == nil {
		return
	}
	long := rnd.between(time.Second, 90*time.Second)
	sim.history.add(entry{kind: faultPeriod, member: m.id(), text: "is cut off", until: sim.since() + long + noticeDelay})
	counters.count("isolate")
	m.cut()
	sim.undoAfter(m.name, long, func() {
		sim.history.addRebalance("%s is back", m.id())
		m.network.restore()
	})
}

// reload changes the flow file of a member, once or several times.
func reload(sim *simulation, rnd random) {
	m := sim.undisturbedMember(rnd)
	if m == nil {
		return
	}
	sim.activeFaults.Go(func() {
		defer sim.endFault(m.name)
		for range 1 + rnd.IntN(3) {
			m.change(rnd)
			sim.countReload(m)
			sim.history.addRebalance("%s has a new file: %+v", m.id(), m.file)
			m.write()
			time.Sleep(oneOf(rnd, 0, 20*time.Millisecond, 2*time.Second, 10*time.Second))
		}
		if m.file.paused || m.file.invalid {
			m.file.paused, m.file.invalid = false, false
			sim.history.addRebalance("%s has a file that runs: %+v", m.id(), m.file)
			m.write()
		}
	})
}

func (sim *simulation) countReload(m *member) {
	counters.count("reload")
	if m.file.invalid {
		counters.count("reload of an invalid file")
	}
	sim.mu.Lock()
	defer sim.mu.Unlock()
	if sim.disturbed["service"] {
		counters.count("reload while the service has an outage")
	}
}

// change makes a random change to the settings.
func (m *member) change(rnd random) {
	f := &m.file
	f.version++
	f.paused, f.invalid = false, false
	if s := m.sim.plan.sinks; s != nil && s.changed && rnd.chance(0.4) {
		f.hasCopySink = !f.hasCopySink
		counters.count(map[bool]string{true: "sink added", false: "sink removed"}[f.hasCopySink])
		return
	}
	switch rnd.IntN(6) {
	case 0:
		f.maxInFlight = oneOf(rnd, 3, 16, 256, 1024) // replaces the source
	case 1:
		f.sinkMode = oneOf(rnd, "structured", "binary", "batch")
	case 2:
		f.maxRetries = oneOf(rnd, 1, 2, 5)
	case 3:
		f.paused = true
	case 4:
		f.invalid = true
	}
}
