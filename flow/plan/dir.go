package plan

import (
	"bytes"
	"slices"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/flow/spec"
)

// ParseDir reads all flow files at the paths, which are files or directories. It returns every
// flow without faults, and config.Errors with the faults of all files. It is a fault if there is
// no file, if two files define the same flow, if flows write in a circle, or if two http sources
// cannot listen side by side.
func ParseDir(paths ...string) ([]*Plan, error) {
	flows, err := spec.ParseAll(paths, Parse, (*Plan).Name)
	faults := slices.Concat(spec.Faults("", err), refuseLoops(flows), refuseSharedPorts(flows))
	if len(faults) == 0 {
		return flows, nil
	}
	return flows, faults
}

// ReferencedFiles returns the paths of the files that a flow file refers to, as far as it can be
// decoded. A missing one of them may be why Parse refused the file.
func ReferencedFiles(file string, data []byte) []string {
	if !bytes.Contains(data, []byte("file:")) && !bytes.Contains(data, []byte("secretRef")) {
		return nil // parsing a large file again may take a second
	}
	var refs []string
	_ = spec.Guard(file, func() error { // Parse has already reported the faults of the file
		if flow, _ := spec.Parse(file, data, types); flow != nil {
			refs = config.Files(flow)
		}
		return nil
	})
	return refs
}
