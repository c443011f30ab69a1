// Package spec is the configuration of fiso-link: the file as a whole, and a
// target, which is also the spec of a LinkTarget. Parse reads a file strictly:
// all of its faults are told at once, each with line, column and a hint.
package spec
