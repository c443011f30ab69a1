//go:build race

package grpc

// stalledCallers is how many callers the test of stalled callers has. The race detector
// makes a thousand connections take too long.
const stalledCallers = 200
