//go:build synctests

package simulation

import "time"

// someone takes a member that is not disturbed, or returns nil.
func (w *world) someone(d dice) *member {
	for _, n := range d.Perm(members) {
		if m := w.members[n]; w.take(m.name) {
			return m
		}
	}
	return nil
}

// crash kills a member and starts it again later.
func crash(w *world, d dice) {
	m := w.someone(d)
	if m == nil {
		return
	}
	happened.count("crash")
	m.crash()
	w.lasts(m.name, d.between(0, time.Minute), m.start)
}

// stopAndJoin stops a member cleanly and starts it again later.
func stopAndJoin(w *world, d dice) {
	m := w.someone(d)
	if m == nil {
		return
	}
	w.troubles.Go(func() {
		happened.count("stop")
		m.stop()
		w.lasts(m.name, d.between(0, 30*time.Second), m.start)
	})
}

// isolate cuts a member off the network for a while. The member continues afterwards; if its
// session has expired, it is a zombie.
func isolate(w *world, d dice) {
	m := w.someone(d)
	if m == nil {
		return
	}
	long := d.between(time.Second, 90*time.Second)
	w.history.add(entry{what: excuse, who: m.who(), text: "is cut off", until: w.since() + long + noticed})
	happened.count("isolate")
	m.cut()
	w.lasts(m.name, long, func() {
		w.history.move("%s is back", m.who())
		m.wire.mend()
	})
}

// reload changes the flow file of a member, once or several times.
func reload(w *world, d dice) {
	m := w.someone(d)
	if m == nil {
		return
	}
	w.troubles.Go(func() {
		defer w.release(m.name)
		for range 1 + d.IntN(3) {
			m.change(d)
			w.countReload(m)
			w.history.move("%s has a new file: %+v", m.who(), m.file)
			m.write()
			time.Sleep(one(d, 0, 20*time.Millisecond, 2*time.Second, 10*time.Second))
		}
		if m.file.paused || m.file.invalid {
			m.file.paused, m.file.invalid = false, false
			w.history.move("%s has a file that runs: %+v", m.who(), m.file)
			m.write()
		}
	})
}

func (w *world) countReload(m *member) {
	happened.count("reload")
	if m.file.invalid {
		happened.count("reload of an invalid file")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy["service"] {
		happened.count("reload while the service is in trouble")
	}
}

// change makes a random change to the settings.
func (m *member) change(d dice) {
	f := &m.file
	f.version++
	f.paused, f.invalid = false, false
	if s := m.w.plan.sinks; s != nil && s.changes && d.chance(0.4) {
		f.copied = !f.copied
		happened.count(map[bool]string{true: "sink added", false: "sink removed"}[f.copied])
		return
	}
	switch d.IntN(6) {
	case 0:
		f.inFlight = one(d, 3, 16, 256, 1024) // replaces the source
	case 1:
		f.mode = one(d, "structured", "binary", "batch")
	case 2:
		f.retries = one(d, 1, 2, 5)
	case 3:
		f.paused = true
	case 4:
		f.invalid = true
	}
}
