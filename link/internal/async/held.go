package async

import (
	"fmt"
	"sync"
)

// held is what a worker cannot settle now, and why.
type held struct {
	mu      sync.Mutex
	number  map[string]int    // of what cannot be written, by what it is
	why     map[string]string // the last error
	absent  string            // why the target is not called; "": it is
	waiting int               // calls that wait for it
}

// holding is one record on its way to be written. It counts as held from the
// first because until release.
type holding struct {
	h          *held
	what       string
	told, over bool
}

func (h *held) about(what string) *holding { return &holding{h: h, what: what} }

// because notes why it is not written, and reports whether that is news. After
// release it does nothing.
func (g *holding) because(err error) (news bool) {
	h := g.h
	h.mu.Lock()
	defer h.mu.Unlock()
	if g.over {
		return false
	}
	if h.number == nil {
		h.number, h.why = map[string]int{}, map[string]string{}
	}
	if news = !g.told; news {
		g.told = true
		h.number[g.what]++
	}
	h.why[g.what] = err.Error()
	return news
}

func (g *holding) release() {
	g.h.mu.Lock()
	defer g.h.mu.Unlock()
	g.over = true
	if g.told {
		g.h.number[g.what]--
	}
}

func (h *held) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.number[DeadLetter] + h.number[Reply]
}

// reason is for a person; "": nothing is held.
func (h *held) reason() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, what := range [...]string{DeadLetter, Reply} {
		if n := h.number[what]; n > 0 {
			return fmt.Sprintf("%d call(s) held, whose %s cannot be written: %s", n, what, h.why[what])
		}
	}
	return ""
}

// wait notes a call that waits for its target; the result lets go of it.
func (h *held) wait(why string) func() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.absent = why
	h.waiting++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.waiting--
	}
}

// away is for a person; "": no call waits.
func (h *held) away() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiting == 0 {
		return ""
	}
	return fmt.Sprintf("%d call(s) wait: %s", h.waiting, h.absent)
}
