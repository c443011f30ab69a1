// Package plan turns a flow file into a flow that could run: every part
// of it decoded, checked and compiled, and nothing built or connected. What
// validate, explain, check and schema of the command line need is here, and the
// supervisor builds from it.
//
// The connector types are an explicit list, in registry.go: a type is there
// when this binary has it.
package plan
