package async

import "sync"

// line stops dead letters once so many in a row were the target's doing, and no
// call was delivered between: what refuses them all, a credential or a path that is
// wrong, is then more likely at fault than they are. Calls wait from there on, and
// are made again, until one of them is delivered.
type line struct {
	most int // 0: there is no end

	mu  sync.Mutex
	row int
}

// bury counts a dead letter, and reports whether it may be one.
func (l *line) bury() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.most > 0 && l.row >= l.most {
		return false
	}
	l.row++
	return true
}

// pass notes a call that was delivered.
func (l *line) pass() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.row = 0
}
