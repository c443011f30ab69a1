package connector

import "context"

// Assignment is what a source reads in one order until it is taken away: a
// partition of a topic in one epoch of its group, a stream, or an endpoint. A
// source makes one when it begins to read and hands it over with every message
// of it, so handlers may keep state by its pointer. A source never makes one for
// each message: handlers would keep state for each of them, and no order.
type Assignment struct {
	ctx  context.Context
	name string
}

// NewAssignment is an assignment that is over when ctx ends. name is for logs,
// such as "orders-3".
func NewAssignment(ctx context.Context, name string) *Assignment {
	return &Assignment{ctx: ctx, name: name}
}

// Context ends when the assignment is taken away or the source stops.
func (a *Assignment) Context() context.Context { return a.ctx }

// Over reports whether the assignment was taken away.
func (a *Assignment) Over() bool { return a.ctx.Err() != nil }

// String is the assignment's name.
func (a *Assignment) String() string { return a.name }
