package connector

// Guarantees is what a source promises beyond the contract of Source. Code that
// depends on a promise checks the field here, never the name or the type of a
// connector.
type Guarantees struct {
	// Redelivers: the source keeps every message that was not settled with nil and
	// hands it over again, also after a crash, without the sender's help. Only a flow
	// with such a source may leave out the place for dead letters.
	Redelivers bool
	// Orders: messages with the same key are handed over in the order in which they
	// were sent.
	Orders bool
	// Rewinds: the source can read again from an earlier position. The position of
	// one reader does not move that of another.
	Rewinds bool
	// Assigns: the readers share what there is to read, so a healthy reader may have
	// nothing to read.
	Assigns bool
	// Transacts: the source's progress can be part of a transaction of a sink of the
	// same connector. See TransactionalSink.
	Transacts bool
}

// Covers reports whether g promises at least what other does.
func (g Guarantees) Covers(other Guarantees) bool {
	return (g.Redelivers || !other.Redelivers) && (g.Orders || !other.Orders) &&
		(g.Rewinds || !other.Rewinds) && (g.Assigns || !other.Assigns) && (g.Transacts || !other.Transacts)
}
