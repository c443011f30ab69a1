// Package spec holds the flow file: one YAML file is one flow, and a directory
// of them is an instance of fiso-flow.
//
// Parse reads one file and ParseAll directories, strictly: an unknown key, a
// wrong type or a bad value is a config.Error with file, line and column, and
// all errors of all files come back together. A whole FlowDefinition object of
// Kubernetes is accepted as a file as well; its spec is the same body.
//
// What is inside source.config and sink.config belongs to the connector of
// that type and stays undecoded here: package plan decodes it.
package spec
