// Package cli is the command line of fiso-flow: what a person types, and what
// they read in answer. Each command has a file of its own; everything it does
// stands in the packages beside this one.
package cli
