package connector

import (
	"context"
	"errors"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
)

// Class says what the caller of a sink should do about an error.
type Class int

const (
	// Temporary: a verdict of the destination on this event that may change. Try
	// again after a while; give up after the configured number of retries. An error
	// without a mark is temporary.
	Temporary Class = iota
	// Permanent: this event will never be taken; trying again is no use.
	Permanent
	// Unavailable: the destination may be away, whatever the event: it cannot be
	// reached, did not answer in time or says that it is busy. Hold, and try again;
	// it counts against the event only if the destination has answered for another
	// one since this one last failed.
	Unavailable
	// Blocked: what this event needs of the destination is away, such as one
	// partition of a topic. Hold, and try again; it never counts.
	Blocked
	// Interrupted: the work was cut short by a shutdown, a rebalance or a
	// reload. It is neither failed nor done.
	Interrupted
)

// String is the class's name in lower case, for logs.
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

// ErrInterrupted settles a message that was not begun, or not finished,
// because its context ended.
var ErrInterrupted = errors.New("interrupted: handed back unsettled")

// ErrClosed is returned by a sink that was closed.
var ErrClosed = errors.New("closed")

type classified struct {
	class Class
	after time.Duration
	err   error
}

func (e *classified) Error() string { return e.err.Error() }
func (e *classified) Unwrap() error { return e.err }

// AsPermanent marks err as permanent. A nil err stays nil.
func AsPermanent(err error) error { return classify(err, Permanent, 0) }

// AsUnavailable marks err as one that may be an outage of the destination, with
// the delay it asked for (0: it asked for none). A nil err stays nil.
func AsUnavailable(err error, retryAfter time.Duration) error {
	return classify(err, Unavailable, max(retryAfter, 0))
}

// AsBlocked marks err as one that says nothing of the event. A nil err stays nil.
func AsBlocked(err error) error { return classify(err, Blocked, 0) }

// AsTemporary marks err as temporary, with the delay the destination asked
// for (0: it asked for none). A nil err stays nil.
func AsTemporary(err error, retryAfter time.Duration) error {
	return classify(err, Temporary, max(retryAfter, 0))
}

func classify(err error, c Class, after time.Duration) error {
	if err == nil {
		return nil
	}
	return &classified{class: c, after: after, err: err}
}

// ClassOf is the class of err: the outermost mark in its chain counts.
// ErrInterrupted and context.Canceled are interruptions; an event that cannot be
// written, a *cloudevent.EncodeError, is permanent; a deadline that passed is
// temporary, as is everything without a mark.
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

// RetryAfter is the delay the destination asked for, or 0.
func RetryAfter(err error) time.Duration {
	if c, ok := errors.AsType[*classified](err); ok {
		return c.after
	}
	return 0
}
