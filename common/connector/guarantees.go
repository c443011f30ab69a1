package connector

// Guarantees is what a source promises beyond the contract of Source. Whatever
// depends on such a promise asks for it here, never for the name or the type of
// a connector.
type Guarantees struct {
	// Redelivers: the source keeps what was not settled with nil and hands it
	// over again, also after a crash, without help of the sender. A flow may
	// leave out a dead letter place only of such a source's own.
	Redelivers bool
	// Orders: messages of one key are handed over in the order in which they
	// were sent.
	Orders bool
	// Rewinds: the source can be told to read again from an earlier position,
	// and one reader's position does not move another's.
	Rewinds bool
	// Assigns: what the source reads is shared out among its readers, so one
	// that runs well may have nothing to read.
	Assigns bool
	// Transacts: progress can be made part of a transaction of a sink of the
	// same connector. See TransactionalSink.
	Transacts bool
}

// Covers reports whether g promises at least what other does.
func (g Guarantees) Covers(other Guarantees) bool {
	return (g.Redelivers || !other.Redelivers) && (g.Orders || !other.Orders) &&
		(g.Rewinds || !other.Rewinds) && (g.Assigns || !other.Assigns) && (g.Transacts || !other.Transacts)
}
