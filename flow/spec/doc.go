// Package spec defines the flow file. One YAML file is one flow; a directory of flow files is one
// instance of fiso-flow.
//
// Parse reads one file, ParseAll reads directories. Both are strict: an unknown key, a wrong type
// or a bad value is a config.Error with file, line and column, and the errors of all files are
// returned together. A FlowDefinition object of Kubernetes is accepted as a file too; its spec is
// the same body.
//
// The content of source.config and sink.config depends on the connector type and is not decoded
// here: package plan decodes it.
package spec
