package connector

import "context"

// TransactionalSink is a sink whose deliveries and dead letters become visible
// together with the progress of a source, or not at all. It is the hook for
// exactly-once delivery between a source that Transacts and a sink of the same
// connector, on the same system.
//
// The caller calls Begin, Send any number of times, and then either Commit with
// the progress of every assignment that had messages settled since Begin, or
// Abort. One transaction is open at a time. After an Abort, the source hands over
// the messages of the transaction again.
type TransactionalSink interface {
	Sink
	// Begin opens a transaction. It waits until the previous one has ended.
	Begin(ctx context.Context) error
	// Commit ends the transaction. After an error nothing of it is or becomes
	// visible, unless the error is Unavailable: then the outcome is unknown, and the
	// source finds it out before it hands messages over again.
	Commit(ctx context.Context, progress []Progress) error
	// Abort ends the transaction without effect.
	Abort(ctx context.Context) error
}

// Progress is how far an assignment is done: at all positions before Next.
type Progress struct {
	Assignment *Assignment
	Next       Position
}
