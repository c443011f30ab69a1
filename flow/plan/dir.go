package plan

import (
	"bytes"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/flow/spec"
)

// ParseDir reads all flow files at the paths, files or directories. It returns
// every flow that passed, and config.Errors with the faults of all files; no
// file at all is one, and so are two files that define one flow, and flows that
// write in a circle.
func ParseDir(paths ...string) ([]*Plan, error) {
	flows, err := spec.ParseAll(paths, Parse, (*Plan).Name)
	faults := append(spec.Faults("", err), refuseLoops(flows)...)
	if len(faults) == 0 {
		return flows, nil
	}
	return flows, faults
}

// ReferencedFiles names the further files that a flow file refers to, as far as it can
// be read: those that Parse may have refused it for.
func ReferencedFiles(file string, data []byte) []string {
	if !bytes.Contains(data, []byte("file:")) && !bytes.Contains(data, []byte("secretRef")) {
		return nil // to read a large file once more may take a second
	}
	var refs []string
	_ = spec.Guard(file, func() error { // Parse has said what is wrong with the file
		if flow, _ := spec.Parse(file, data, types); flow != nil {
			refs = config.Files(flow)
		}
		return nil
	})
	return refs
}
