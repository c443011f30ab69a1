package connector

// Outcome says how a message ended that was settled with nil.
type Outcome uint8

// The outcomes of a message. A message that became several events has the gravest
// outcome of them, in this order.
const (
	OutcomeUnknown Outcome = iota // the handler does not tell
	Filtered                      // no destination was to get it
	Delivered
	Dropped      // it could not be delivered, and such messages are to be dropped
	DeadLettered // it is stored as a dead letter
)

var outcomeNames = [...]string{"unknown", "filtered", "delivered", "dropped", "dead_lettered"}

// String returns the outcome as metrics and answers name it, such as "dead_lettered".
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return outcomeNames[OutcomeUnknown]
}
