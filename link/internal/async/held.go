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

// hold notes something that could not be written; the result lets go of it.
func (h *held) hold(what string) func() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.number == nil {
		h.number, h.why = map[string]int{}, map[string]string{}
	}
	h.number[what]++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.number[what]--
	}
}

func (h *held) because(what string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.why[what] = err.Error()
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
