// Package modproxy shows what a user gets who has nothing of this repository:
// it lays the modules out as a module proxy in a folder, as if they had been
// released, and uses them from an empty module elsewhere.
package modproxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"

	"github.com/lsm/fiso/.ci/repo"
)

// released is a time for every module's .info; the same one, so that two
// proxies of one tree are equal.
var released = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Write lays out every module of the tree below dir, at version, in the form
// that `go help goproxy` describes.
func Write(r *repo.Repo, dir, version string) error {
	for _, m := range r.Modules {
		if m.Dir == "." {
			continue // the pipeline is not released
		}
		if err := writeModule(r, m, dir, version); err != nil {
			return fmt.Errorf("packing %s: %w", m.Path, err)
		}
	}
	return nil
}

func writeModule(r *repo.Repo, m *repo.Module, dir, version string) error {
	escaped, err := module.EscapePath(m.Path)
	if err != nil {
		return err
	}
	at := filepath.Join(dir, filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	info, err := json.Marshal(map[string]any{"Version": version, "Time": released})
	if err != nil {
		return err
	}
	goMod, err := os.ReadFile(filepath.Join(m.Abs(), "go.mod"))
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	if err := pack(&packed, r, m, version); err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"list":            []byte(version + "\n"),
		version + ".info": info,
		version + ".mod":  goMod,
		version + ".zip":  packed.Bytes(),
	} {
		if err := os.WriteFile(filepath.Join(at, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// pack zips a module as a release of it would be: its own files and, where it
// has none of its own, the repository's LICENSE.
func pack(out io.Writer, r *repo.Repo, m *repo.Module, version string) error {
	var files []modzip.File
	license := false
	for _, name := range m.Files {
		rel := strings.TrimPrefix(name, m.Dir+"/")
		license = license || rel == "LICENSE"
		files = append(files, file{rel: rel, abs: r.Abs(name)})
	}
	if !license {
		if _, err := os.Stat(r.Abs("LICENSE")); err == nil {
			files = append(files, file{rel: "LICENSE", abs: r.Abs("LICENSE")})
		}
	}
	return modzip.Create(out, module.Version{Path: m.Path, Version: version}, files)
}

// file is a file of the tree under the name it has in its module.
type file struct{ rel, abs string }

func (f file) Path() string                 { return f.rel }
func (f file) Lstat() (os.FileInfo, error)  { return os.Lstat(f.abs) }
func (f file) Open() (io.ReadCloser, error) { return os.Open(f.abs) }
