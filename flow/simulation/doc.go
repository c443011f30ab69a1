// Package simulation proves that nothing is lost: whole fiso-flow instances, on
// a Kafka cluster in memory, with a service behind them, in virtual time, under
// faults that follow from a seed. One oracle judges what happened (oracle_test.go).
//
//	go test ./simulation                       # some seeds
//	go test ./simulation -seeds 10000          # as many as one likes
//	go test ./simulation -seed 17 -v           # one again, with its history
//	go test ./simulation -seed 17 -faults crash,reload   # with some faults only
//
// A seed fixes events, settings and faults. How goroutines take turns is the
// scheduler's choice, so what fails once in many runs is looked for with -count.
package simulation
