// Package simulation proves that nothing is lost: whole fiso-flow instances, on
// a Kafka cluster in memory, with a service behind them, in virtual time, under
// faults that follow from a seed. One oracle judges what happened (oracle_test.go).
//
//	go tool mage simulate --seeds 1000                       # as many as one likes
//	go test -tags synctests ./simulation -seed 17 -v         # one again, with its history
//	go test -tags synctests ./simulation -seed 17 -faults crash,reload   # with some faults only
//
// In some seeds the flow has several sinks, or splits its records. The oracle then
// judges what each sink gets of each event: an event is settled when, and only
// when, all sinks that take it are done, a sink that is away stops no other, and a
// dead letter that is put back goes to its own sink alone.
//
// The build tag makes the mutexes of franz-go channels, so that virtual time
// passes while somebody waits for one. `go tool mage check` runs 200 seeds, and
// under the race detector 20; `go tool mage test` runs 4 under it. A run ends with a table of how often each fault
// happened.
//
// A seed fixes events, settings and faults. How goroutines take turns is the
// scheduler's choice, so what fails once in many runs is looked for with -count.
package simulation
