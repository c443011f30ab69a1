// Package spec is the configuration of fiso-link: the whole file, and a target, which
// is also the spec of a LinkTarget. Parse reads a file strictly and reports all of its
// faults at once, each with line, column and a hint.
package spec
