// Package plan turns a flow file into a Plan: every part is decoded, checked and compiled, but
// nothing is built or connected. The commands validate, explain, check and schema use it, and the
// supervisor builds flows from it.
//
// The connectors are an explicit list in connector.go.
package plan
