// Package modproxy shows what a user gets who has nothing of this repository:
// it lays the modules out as a module proxy in a folder, as if they had been
// released, and uses them from an empty module elsewhere.
package modproxy

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"

	"github.com/lsm/fiso/.ci/repo"
)

// Write lays out every module of the tree below dir, at version, in the form
// that `go help goproxy` describes.
func Write(r *repo.Repo, dir, version string) error {
	for _, m := range r.Modules {
		if m.Dir == "." {
			continue // the pipeline is not released
		}
		if err := writeModule(m, dir, version); err != nil {
			return fmt.Errorf("packing %s: %w", m.Path, err)
		}
	}
	return nil
}

func writeModule(m *repo.Module, dir, version string) error {
	escaped, err := module.EscapePath(m.Path)
	if err != nil {
		return err
	}
	at := filepath.Join(dir, filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	goMod, err := os.ReadFile(filepath.Join(m.Abs(), "go.mod"))
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	if err := zip.CreateFromDir(&packed, module.Version{Path: m.Path, Version: version}, m.Abs()); err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"list": []byte(version + "\n"),
		// The same time for all, so that two proxies of one tree are equal.
		version + ".info": fmt.Appendf(nil, `{"Version": %q, "Time": "2026-01-01T00:00:00Z"}`, version),
		version + ".mod":  goMod,
		version + ".zip":  packed.Bytes(),
	} {
		if err := os.WriteFile(filepath.Join(at, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
