// Package delivery moves messages from a source through a transformer to one or
// more outputs and loses none. It is for programs that receive messages, call
// something for each and must not forget any: fiso-flow runs its flows on it,
// and fiso-link the calls that it accepted to make later. It knows nothing of
// Kafka, CEL or HTTP.
//
//	e := delivery.New(delivery.Config{Name: "orders"}, &delivery.Version{
//		Transformer: t,
//		Outputs:     []delivery.Output{{Name: "shop", Sink: s, Handling: delivery.Handling{DeadLetter: d}}},
//	})
//	err := e.Run(ctx, source)
//
// # What it promises
//
//   - Every message is settled exactly once: with nil when each event that it
//     became was delivered to every output that takes it, filtered, stored as a
//     dead letter or, where the configuration says so, dropped; with
//     connector.ErrInterrupted when its assignment ended first. There is no other
//     way, whatever a transformer, a sink or a dead letter writer answers, and
//     however they panic.
//   - An output gets the events of one key (see Config.Ordering) one after the
//     other, in the order of the source, each after the one before it was
//     delivered or given up. Events may be transformed earlier than that. An
//     event that waits holds up its key in its output and nothing else.
//   - No more than Config.MaxInFlight messages of an assignment are accepted and
//     not settled, and no more than that many deliveries of an output are under
//     way.
//   - When an assignment ends, what was not begun is handed back at once, and
//     calls under way have Config.DrainTimeout.
//
// # What it asks
//
// A transformer, a sink and a dead letter writer return promptly when the
// context they were called with ends. The engine never leaves a call behind.
package delivery
