package delivery

// laneTable holds the lanes of one step of an assignment by name. A lane is
// added and removed for nearly each event, and its name is a hash already: so
// this is a table with open addressing, at most half full, which neither hashes
// nor allocates.
type laneTable struct {
	slots []slot // length: a power of two
	n     int
}

// slot is free if lane is nil.
type slot struct {
	hash uint64
	lane *lane
}

const minSlots = 64

// find returns the index of the lane with that name, or of the free slot for
// it.
func (t *laneTable) find(hash uint64) int {
	mask := uint64(len(t.slots) - 1)
	i := hash & mask
	for t.slots[i].lane != nil && t.slots[i].hash != hash {
		i = (i + 1) & mask
	}
	return int(i) //nolint:gosec // G115: below len
}

func (t *laneTable) get(hash uint64) *lane {
	if t.n == 0 {
		return nil
	}
	return t.slots[t.find(hash)].lane
}

// put adds a lane whose name is not in the table.
func (t *laneTable) put(l *lane) {
	if 2*t.n >= len(t.slots) {
		old := t.slots
		t.slots = make([]slot, max(2*len(old), minSlots))
		for _, s := range old {
			if s.lane != nil {
				t.slots[t.find(s.hash)] = s
			}
		}
	}
	t.slots[t.find(l.hash)] = slot{l.hash, l}
	t.n++
}

// remove removes the lane of that name, if it is in the table, and moves the
// lanes behind it that belong in the free slot.
func (t *laneTable) remove(hash uint64) {
	if t.get(hash) == nil {
		return
	}
	mask := len(t.slots) - 1
	free := t.find(hash)
	for i := (free + 1) & mask; t.slots[i].lane != nil; i = (i + 1) & mask {
		home := int(t.slots[i].hash & uint64(mask)) //nolint:gosec // G115: below len
		if (i-home)&mask >= (i-free)&mask {
			t.slots[free] = t.slots[i]
			free = i
		}
	}
	t.slots[free] = slot{}
	t.n--
}
