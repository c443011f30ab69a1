// Package simulation tests that no event is lost. It runs whole fiso-flow instances on an
// in-memory Kafka cluster with a service behind them, in virtual time, with faults that a seed
// determines. An oracle judges the history (oracle_test.go).
//
//	go tool mage simulate --seeds 1000                       # many seeds
//	go test -tags synctests ./simulation -seed 17 -v         # one seed again, with its history
//	go test -tags synctests ./simulation -seed 17 -faults crash,reload   # only some faults
//
// In some seeds the flow has several sinks, or splits its records. The oracle then judges what
// each sink gets of each event: an event is settled exactly when all its sinks are done, a sink
// that is down does not stop other sinks, and a dead letter that is put back goes only to its own
// sink.
//
// The build tag replaces the mutexes of franz-go by channels, so that virtual time passes while a
// goroutine waits for one. `go tool mage check` runs 200 seeds, and 20 with the race detector; `go
// tool mage test` runs 4 with it. A run ends with a table of how often each fault happened.
//
// A seed determines events, settings and faults, but not the scheduling of goroutines. To
// reproduce a rare failure, use -count.
package simulation
