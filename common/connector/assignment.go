package connector

import "context"

// Assignment is what a source reads in one order until it is taken away: a
// partition of a topic in one epoch of its group, a stream, or an endpoint. A
// source makes one when it begins to read and passes the same pointer with every
// message, so a handler may keep state for each pointer. A source must not make
// an assignment for each message: handlers would then keep state for each message
// and could not keep order.
type Assignment struct {
	ctx  context.Context
	name string
}

// NewAssignment returns an assignment that is over when ctx ends. name is for
// logs, such as "orders-3".
func NewAssignment(ctx context.Context, name string) *Assignment {
	return &Assignment{ctx: ctx, name: name}
}

// Context ends when the assignment is taken away or the source stops.
func (a *Assignment) Context() context.Context { return a.ctx }

// Over reports whether the assignment was taken away or the source stopped.
func (a *Assignment) Over() bool { return a.ctx.Err() != nil }

// String returns the assignment's name.
func (a *Assignment) String() string { return a.name }
