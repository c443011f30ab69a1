// Package cli implements the command line of fiso-flow. Each command has its own file; the work is
// done by the packages next to this one.
package cli
