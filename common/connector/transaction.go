package connector

import "context"

// TransactionalSink is a sink whose deliveries, dead letters and the progress
// of a source become visible together, or not at all. It is the hook for
// exactly-once delivery between a source that Transacts and a sink of the same
// connector, on the same system.
//
// Its user calls Begin, any number of Sends, and then Commit with the progress
// of every assignment of which messages were settled since Begin, or Abort. One
// transaction is open at a time. After an Abort, the source hands the messages
// of the transaction over again.
type TransactionalSink interface {
	Sink
	// Begin opens a transaction. It waits for the end of the one before.
	Begin(ctx context.Context) error
	// Commit ends the transaction; an error says that nothing of it is visible,
	// or ever will be, unless it is marked Unavailable: then the outcome is not
	// known, and the source finds it out before it hands messages over again.
	Commit(ctx context.Context, progress []Progress) error
	// Abort ends the transaction without effect.
	Abort(ctx context.Context) error
}

// Progress is how far an assignment is done: all positions before Next.
type Progress struct {
	Assignment *Assignment
	Next       Position
}
