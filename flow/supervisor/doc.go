// Package supervisor owns the flows of an instance: it reads their files,
// starts them all or none, watches the files, and brings each running flow to
// what its file says, one flow at a time and without a word to the others.
//
// # Who does what
//
// Supervisor.Run is one goroutine. It alone follows the files (package reload of
// common), decides which file owns which flow name (settleNames), and which
// definition each flow shall have (updateFlows). It never waits for a flow.
//
// Each flow has one owner goroutine (flow.own). It alone builds, starts, swaps
// and stops that flow's pipeline, so that nothing about one flow happens twice
// at a time. It is told what is wanted, never what to do: a definition that
// arrives while it is busy replaces the one that waits, and the last wins.
//
// # What is promised
//
//   - A file that is not valid changes nothing but the log, a metric and the
//     report. A content is acted upon only after it stood still for a moment,
//     and a file counts as removed only after it was away for several seconds,
//     in a directory that can be listed.
//   - A change of transform, sink or error handling is swapped into the
//     running pipeline. A change of the source builds the new pipeline first,
//     then drains the old one, then starts the new one.
//   - A pipeline that ends by itself is started again, with growing waits, and
//     the report says why it ended.
package supervisor
