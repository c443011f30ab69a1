// Package temporal connects Fiso to Temporal. A Sink starts, signals and updates workflows,
// one for each CloudEvent. A Source receives CloudEvents from workflows: it makes the program
// a worker for the activity fiso.publish, which a workflow in any SDK calls with an event.
//
// # What the sink promises
//
//   - nil means that the server has stored the start, the signal or the accepted
//     update, or had stored it for the same event before.
//   - Every request carries an id that is computed from the event, the flow and
//     the sink. The server uses it to recognise an event that comes again. README.md
//     says where this ends.
//   - A call of Send is one attempt. Nothing is retried out of sight, so an error
//     shows the cause of its attempt. A start that finds another workflow, and an
//     update that is not finished, need a second call to the server.
//   - Each attempt has a deadline, and Send returns promptly when its context ends.
//   - Errors have a class, see verdict.go. They quote the server's words, which may
//     name the workflow, but never arguments, memos or credentials.
//   - With a codec, no argument and no memo leaves the process unencrypted: while the
//     codec fails, the destination counts as unavailable. Ids, search attributes and
//     headers are never encrypted.
//
// # What the source promises
//
//   - The activity completes once its event is settled with nil. Its result says how the
//     event ended.
//   - An event that was not settled with nil fails the attempt with the type
//     fiso.Unsettled, which Temporal retries by the workflow's policy. The event keeps its
//     CloudEvents id.
//   - A malformed event fails the activity for good, with the type fiso.InvalidEvent.
//   - While an event of an activity is in flight, or if it was settled before, a further
//     attempt of that activity does not hand it over again. Another worker, or this one
//     after a restart, does.
//   - The handler is called serially. Events in flight, names, texts and all waiting times
//     are bounded.
//   - When the server is away or refuses the source, Status says so, and the source tries
//     again for as long as it runs.
package temporal
