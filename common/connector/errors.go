package connector

import (
	"context"
	"errors"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
)

// Class tells the caller of a sink what to do about an error.
type Class int

const (
	// Temporary: the destination refused this event and may accept it later. Retry
	// after a backoff; give up after the configured number of retries. An error
	// without a class is temporary.
	Temporary Class = iota
	// Permanent: the destination will never accept this event. Do not retry.
	Permanent
	// Unavailable: the destination may be down, whatever the event is: it cannot be
	// reached, did not answer in time, or says that it is busy. Wait, and retry. The
	// attempt counts against the event only if the destination has answered for
	// another event since this one last failed.
	Unavailable
	// Blocked: a part of the destination that this event needs is down, such as one
	// partition of a topic. Wait, and retry. The attempt never counts.
	Blocked
	// Interrupted: a shutdown, a rebalance or a reload cut the work short. The event
	// has neither failed nor is it done.
	Interrupted
)

// String returns the class's name in lower case, for logs.
func (c Class) String() string {
	switch c {
	case Permanent:
		return "permanent"
	case Unavailable:
		return "unavailable"
	case Blocked:
		return "blocked"
	case Interrupted:
		return "interrupted"
	default:
		return "temporary"
	}
}

// ErrInterrupted settles a message that was not begun or not finished because its
// context ended.
var ErrInterrupted = errors.New("interrupted: handed back unsettled")

// ErrClosed is the error of a sink after Close.
var ErrClosed = errors.New("closed")

type classified struct {
	class      Class
	after      time.Duration
	unsendable bool
	err        error
}

func (e *classified) Error() string { return e.err.Error() }
func (e *classified) Unwrap() error { return e.err }

// AsPermanent marks err as permanent. A nil err stays nil.
func AsPermanent(err error) error { return classify(err, Permanent, 0) }

// AsUnsendable marks err as permanent and found by the sink itself: the event cannot
// be sent, and the destination was not asked. So err says nothing about the
// destination. A nil err stays nil.
func AsUnsendable(err error) error {
	if err == nil {
		return nil
	}
	return &classified{class: Permanent, unsendable: true, err: err}
}

// AsUnavailable marks err as a possible outage of the destination. retryAfter is
// the delay that the destination asked for; 0 is none. A nil err stays nil.
func AsUnavailable(err error, retryAfter time.Duration) error {
	return classify(err, Unavailable, max(retryAfter, 0))
}

// AsBlocked marks err as an outage of a part of the destination. A nil err stays
// nil.
func AsBlocked(err error) error { return classify(err, Blocked, 0) }

// AsTemporary marks err as temporary. retryAfter is the delay that the destination
// asked for; 0 is none. A nil err stays nil.
func AsTemporary(err error, retryAfter time.Duration) error {
	return classify(err, Temporary, max(retryAfter, 0))
}

func classify(err error, c Class, after time.Duration) error {
	if err == nil {
		return nil
	}
	return &classified{class: c, after: after, err: err}
}

// ClassOf returns the class of err: that of the outermost mark in its chain.
// Without a mark, ErrInterrupted and context.Canceled are Interrupted, a
// *cloudevent.EncodeError is Permanent, and everything else is Temporary, also an
// exceeded deadline.
func ClassOf(err error) Class {
	if c, ok := errors.AsType[*classified](err); ok {
		return c.class
	}
	if errors.Is(err, ErrInterrupted) || errors.Is(err, context.Canceled) {
		return Interrupted
	}
	if _, ok := errors.AsType[*cloudevent.EncodeError](err); ok {
		return Permanent
	}
	return Temporary
}

// IsUnsendable reports whether the sink found by itself that the event cannot be sent:
// err is permanent and either marked by AsUnsendable or a *cloudevent.EncodeError.
func IsUnsendable(err error) bool {
	if ClassOf(err) != Permanent {
		return false
	}
	if c, ok := errors.AsType[*classified](err); ok && c.unsendable {
		return true
	}
	_, ok := errors.AsType[*cloudevent.EncodeError](err)
	return ok
}

// RetryAfter returns the delay that the destination asked for, or 0.
func RetryAfter(err error) time.Duration {
	if c, ok := errors.AsType[*classified](err); ok {
		return c.after
	}
	return 0
}
