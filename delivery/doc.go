// Package delivery moves messages from a source through a transformer to one or
// more outputs, and loses none. It is for programs that receive messages and make
// a call for each: fiso-flow runs its flows on it, and fiso-link its asynchronous
// calls. It does not depend on Kafka, CEL or HTTP.
//
//	e := delivery.New(delivery.Config{Name: "orders"}, &delivery.Version{
//		Transformer: t,
//		Outputs:     []delivery.Output{{Name: "shop", Sink: s, Handling: delivery.Handling{DeadLetter: d}}},
//	})
//	err := e.Run(ctx, source)
//
// # What it promises
//
//   - Every message is settled exactly once: with nil when each of its events was
//     delivered to every output that takes it, filtered, stored as a dead letter
//     or, if the configuration says so, dropped; with connector.ErrInterrupted
//     when its assignment ended first. Nothing else settles a message, whatever a
//     transformer, a sink or a dead letter writer returns, and also if it panics.
//   - An output gets the events of one key (see Config.Ordering) one after the
//     other, in the order of the source. An event is sent after the event before
//     it was delivered or given up; it may be transformed earlier. An event that
//     waits blocks its key in its output, and nothing else.
//   - At most Config.MaxInFlight messages of an assignment are accepted and not
//     settled, and at most that many deliveries of an output are under way.
//   - When an assignment ends, messages without a call under way are handed back
//     at once. Calls under way have Config.DrainTimeout to return.
//
// # What it requires
//
// A transformer, a sink and a dead letter writer must return promptly when the
// context of the call ends: the engine waits for every call.
package delivery
