//go:build !race

package grpc

// stalledCallers is how many callers the test of stalled callers has.
const stalledCallers = 1000
