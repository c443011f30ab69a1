// Package engine moves messages from a source through a processor to a sink and
// loses none. It knows nothing of Kafka, CEL or HTTP.
//
//	e := engine.New(engine.Config{Flow: "orders"}, &engine.Stage{Processor: p, Sink: s, DeadLetter: d})
//	err := e.Run(ctx, source)
//
// # What it promises
//
//   - Every message is settled exactly once: with nil when its event was
//     delivered, filtered, stored as a dead letter or, where the flow says so,
//     dropped; with connector.ErrInterrupted when its assignment ended first.
//     There is no other way, whatever a processor, a sink or a dead letter
//     writer answers, and however they panic.
//   - Events of one lane (a key within an assignment, see Config.Ordering) are
//     sent one after the other, in the order of the source, each after the one
//     before it was delivered or given up. Made they may be before. An event
//     that waits holds its lane up and nobody else.
//   - No more than Config.MaxInFlight events are worked on at a time, and no
//     more than that are accepted of an assignment and not settled.
//   - When an assignment ends, what was not begun is handed back at once, and
//     calls under way have Config.DrainTimeout.
//
// # What it asks
//
// A Processor, a Sink and a dead letter writer return promptly when the context
// they were called with ends. The engine never leaves a call behind.
package engine
