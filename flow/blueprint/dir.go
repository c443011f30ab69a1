package blueprint

import "github.com/lsm/fiso/flow/spec"

// ParseDir reads all flow files at the paths, files or directories. It returns
// every flow that passed, and config.Errors with the faults of all files; no
// file at all is one, and so are two files that define one flow, and flows that
// write in a circle.
func ParseDir(paths ...string) ([]*Blueprint, error) {
	flows, err := spec.ParseAll(paths, Parse, (*Blueprint).Name)
	faults := append(spec.Faults("", err), circlesAmong(flows)...)
	if len(faults) == 0 {
		return flows, nil
	}
	return flows, faults
}
