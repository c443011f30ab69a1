package config

import "sync"

// lateCalls counts, for each path, the calls that the file system did not
// answer in time. It is safe for concurrent use.
type lateCalls struct {
	mu    sync.Mutex
	paths map[string]int
}

// unanswered are the late calls of this process.
var unanswered = lateCalls{paths: map[string]int{}}

// lateCall is one call; unanswered.mu guards its fields.
type lateCall struct {
	path          string
	over, counted bool
}

func (l *lateCalls) has(path string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paths[path] > 0
}

// late counts a call, unless it is over by now.
func (l *lateCalls) late(c *lateCall) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.over {
		c.counted = true
		l.paths[c.path]++
	}
}

// end notes that a call is over.
func (l *lateCalls) end(c *lateCall) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.over = true
	if !c.counted {
		return
	}
	if l.paths[c.path]--; l.paths[c.path] == 0 {
		delete(l.paths, c.path)
	}
}
