package blueprint

import "github.com/lsm/fiso/flow/spec"

// ParseDir reads all flow files at the paths, files or directories. It returns
// every flow that passed, and config.Errors with the faults of all files; no
// file at all is one, and so are two files that define one flow.
func ParseDir(paths ...string) ([]*Blueprint, error) {
	return spec.ParseAll(paths, Parse, (*Blueprint).Name)
}
