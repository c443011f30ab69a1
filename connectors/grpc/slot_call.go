package grpc

import "time"

// call is a call of Send. The slot's mutex guards its fields, except done.
type call struct {
	frame frame
	hash  uint64 // of the key
	keyed bool

	list       *callList // where the call waits; nil: on the wire, or over
	prev, next *call
	stream     *slotStream // on whose wire the event is; nil: none
	behind     *slotStream // the active stream when the call was queued; nil: there was none
	received   uint64      // how many messages that stream had received when the event was sent or queued
	abandoned  bool        // Send has returned; the result is dropped

	// done gets the error of Send once. It has room for it, so that nobody waits.
	done  chan error
	timer *time.Timer // of Send
}

func newCall() *call {
	c := &call{done: make(chan error, 1), timer: time.NewTimer(time.Hour)}
	c.timer.Stop()
	return c
}

// finish ends the call. Send, unless it has returned, returns err.
func (c *call) finish(err error) {
	c.stream = nil
	if !c.abandoned {
		c.done <- err
	}
}

// callList is a queue from which calls can be removed anywhere.
type callList struct {
	first, last *call
	n           int
}

func (l *callList) push(c *call) {
	c.list, c.prev, c.next = l, l.last, nil
	if l.last == nil {
		l.first = c
	} else {
		l.last.next = c
	}
	l.last = c
	l.n++
}

func (l *callList) pushFront(c *call) {
	c.list, c.prev, c.next = l, nil, l.first
	if l.first == nil {
		l.last = c
	} else {
		l.first.prev = c
	}
	l.first = c
	l.n++
}

func (l *callList) remove(c *call) {
	if c.prev == nil {
		l.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		l.last = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.list, c.prev, c.next = nil, nil, nil
	l.n--
}

// moveToFront puts all calls in front of those of another list, in order.
func (l *callList) moveToFront(to *callList) {
	for c := l.last; c != nil; c = l.last {
		l.remove(c)
		to.pushFront(c)
	}
}

// failAll removes and ends all calls that match.
func (l *callList) failAll(match func(*call) bool, err error) (n int) {
	for c := l.first; c != nil; {
		next := c.next
		if match(c) {
			l.remove(c)
			c.finish(err)
			n++
		}
		c = next
	}
	return n
}
