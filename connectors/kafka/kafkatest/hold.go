package kafkatest

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Hold keeps produce requests unanswered until it is released.
type Hold struct {
	// Began is closed when the first request is held.
	Began <-chan struct{}

	mu       sync.Mutex
	released bool
	free     chan struct{}
	requests sync.WaitGroup // held ones
}

// HoldProduce holds each produce request that the cluster receives from now on, until
// the hold is released or the cluster closed. Its methods may be called by many
// goroutines.
func (c *Cluster) HoldProduce() *Hold {
	began := make(chan struct{})
	h := &Hold{Began: began, free: make(chan struct{})}
	begin := sync.OnceFunc(func() { close(began) })
	c.mu.Lock()
	c.holds = append(c.holds, h)
	c.mu.Unlock()
	c.Fake.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		if h.add() {
			begin()
			c.Fake.SleepControl(func() { <-h.free })
			h.requests.Done()
		}
		return nil, nil, false
	})
	return h
}

// add reports whether a request is to be held, and counts it.
func (h *Hold) add() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.released {
		h.requests.Add(1)
	}
	return !h.released
}

// Release lets the held requests go on. It may be called again.
func (h *Hold) Release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.released {
		h.released = true
		close(h.free)
	}
}

// releaseHolds releases all holds and waits until their requests go on. A kfake.Cluster
// that is closed while one wakes may wait for a lock forever.
func (c *Cluster) releaseHolds() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.holds {
		h.Release()
		h.requests.Wait()
	}
	c.holds = nil
}
