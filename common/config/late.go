package config

import "sync"

// unansweredCalls counts, for each path, the calls that the file system did not answer in time.
// It is safe for concurrent use.
type unansweredCalls struct {
	mu    sync.Mutex
	paths map[string]int
}

// unansweredByPath holds the unanswered calls of this process.
var unansweredByPath = unansweredCalls{paths: map[string]int{}}

// unansweredCall is one call; unansweredByPath.mu guards its fields.
type unansweredCall struct {
	path          string
	over, counted bool
}

func (l *unansweredCalls) has(path string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paths[path] > 0
}

// add counts a call, unless it has ended meanwhile.
func (l *unansweredCalls) add(c *unansweredCall) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.over {
		c.counted = true
		l.paths[c.path]++
	}
}

// end records that a call has ended.
func (l *unansweredCalls) end(c *unansweredCall) {
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
