// Package supervisor owns the flows of an instance. It reads the flow files, starts all flows or
// none, watches the files, and applies changes to each running flow separately, without disturbing
// the others.
//
// # Goroutines
//
// Supervisor.Run is one goroutine. Only it follows the files (package common/reload), decides
// which file owns which flow name (settleNames), and sets the wanted plan of each flow
// (updateFlows). It never waits for a flow.
//
// Each flow has one owner goroutine (flow.run). Only it builds, starts, swaps and stops the
// pipeline of the flow, so these steps never overlap. The owner gets a wanted plan, not commands:
// a plan that arrives while the owner is busy replaces the waiting one.
//
// # Guarantees
//
//   - A file that is not valid has no effect except on the log, a metric and the
//     report. A changed file is loaded only after it was stable for a moment. A
//     file counts as removed only after it was missing for several seconds from a
//     directory that can be listed.
//   - A change of transform, sink or error handling is swapped into the running
//     pipeline. For a change of the source, the new pipeline is built first; then
//     the old one drains and the new one starts.
//   - A pipeline that ends by itself is started again with backoff, and the report
//     contains the reason.
package supervisor
