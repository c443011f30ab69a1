// Package tidy keeps the go.mod and go.sum of every module, and the go.work
// that ties them, as they should be.
//
// `go mod tidy` knows nothing of a workspace: it would look for the sibling
// modules where modules are published, and they are not yet. So each module is
// tidied through a go.mod of its own aside, to which a replacement is added for
// each sibling, and which comes back without them.
package tidy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"

	"github.com/lsm/fiso/.ci/repo"
)

// firstVersion is what a sibling is required at when no go.mod requires it yet.
const firstVersion = "v0.1.0"

// Run tidies the modules and go.work of the tree and gives the files that it
// changed. Nothing is published or fetched but the dependencies themselves.
func Run(ctx context.Context, r *repo.Repo) ([]string, error) {
	tmp, err := os.MkdirTemp("", "fiso-tidy-")
	if err != nil {
		return nil, fmt.Errorf("making a folder to tidy in: %w", err)
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // a leftover in the temporary folder harms nobody

	var changed []string
	for i, m := range order(r) {
		files, err := module(ctx, r, m, filepath.Join(tmp, fmt.Sprint(i)))
		if err != nil {
			return changed, fmt.Errorf("tidying %s: %w", m.Path, err)
		}
		changed = append(changed, files...)
	}
	after, err := repo.Open(ctx, r.Root)
	if err != nil {
		return changed, err
	}
	files, err := workspace(ctx, after)
	return append(changed, files...), err
}

// order puts a module behind the siblings that it requires, so that each is
// tidied against go.mod files that are tidy already.
func order(r *repo.Repo) []*repo.Module {
	var sorted []*repo.Module
	seen := map[*repo.Module]bool{}
	var visit func(m *repo.Module)
	visit = func(m *repo.Module) {
		if m == nil || seen[m] {
			return
		}
		seen[m] = true
		for _, req := range m.Mod.Require {
			visit(r.Sibling(req.Mod.Path))
		}
		sorted = append(sorted, m)
	}
	for _, m := range r.Modules {
		visit(m)
	}
	return sorted
}

// module tidies one module by way of the folder tmp.
func module(ctx context.Context, r *repo.Repo, m *repo.Module, tmp string) ([]string, error) {
	oldMod, oldSum, err := read(m.Abs())
	if err != nil {
		return nil, err
	}
	aside, err := withReplacements(r, m, oldMod)
	if err != nil {
		return nil, err
	}
	if err := write(tmp, aside, oldSum); err != nil {
		return nil, err
	}
	tidy := repo.Cmd{
		Dir:  m.Abs(),
		Env:  []string{"GOWORK=off"},
		Args: []string{"go", "mod", "tidy", "-modfile=" + filepath.Join(tmp, "go.mod")},
	}
	if err := tidy.Run(ctx); err != nil {
		return nil, err
	}
	newMod, newSum, err := read(tmp)
	if err != nil {
		return nil, err
	}
	if newMod, err = withoutReplacements(r, newMod); err != nil {
		return nil, err
	}
	return store(m, [2][]byte{oldMod, newMod}, [2][]byte{oldSum, newSum})
}

// store writes the files that differ and names them, seen from the repository.
func store(m *repo.Module, mod, sum [2][]byte) ([]string, error) {
	var changed []string
	for _, f := range []struct {
		name    string
		content [2][]byte
	}{{"go.mod", mod}, {"go.sum", sum}} {
		if bytes.Equal(f.content[0], f.content[1]) {
			continue
		}
		if err := os.WriteFile(filepath.Join(m.Abs(), f.name), f.content[1], 0o644); err != nil {
			return changed, err
		}
		changed = append(changed, path.Join(m.Dir, f.name))
	}
	return changed, nil
}

// withReplacements adds to a go.mod a replacement for each sibling. They carry
// a version, so that a sibling imported but not required yet is found at that one.
func withReplacements(r *repo.Repo, m *repo.Module, data []byte) ([]byte, error) {
	f, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		return nil, err
	}
	var failed error
	for _, s := range r.Modules {
		for _, version := range required(r, s.Path, firstVersion) {
			if s != m {
				failed = errors.Join(failed, f.AddReplace(s.Path, version, s.Abs(), ""))
			}
		}
	}
	made, err := f.Format()
	return made, errors.Join(failed, err)
}

func withoutReplacements(r *repo.Repo, data []byte) ([]byte, error) {
	f, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		return nil, err
	}
	var failed error
	// Dropping a line changes the list it stands in: walk a copy.
	for _, rep := range slices.Clone(f.Replace) {
		if r.Sibling(rep.Old.Path) != nil {
			failed = errors.Join(failed, f.DropReplace(rep.Old.Path, rep.Old.Version))
		}
	}
	f.Cleanup()
	made, err := f.Format()
	return made, errors.Join(failed, err)
}

// required are the versions at which the go.mod files of the tree require a
// sibling, sorted, or fallback where none does.
func required(r *repo.Repo, modulePath string, fallback ...string) []string {
	var versions []string
	for _, m := range r.Modules {
		for _, req := range m.Mod.Require {
			if req.Mod.Path == modulePath {
				versions = append(versions, req.Mod.Version)
			}
		}
	}
	if len(versions) == 0 {
		return fallback
	}
	semver.Sort(versions)
	return slices.Compact(versions)
}

// read gives go.mod and go.sum of a folder; a go.sum that is not there is empty.
func read(dir string) (mod, sum []byte, err error) {
	if mod, err = os.ReadFile(filepath.Join(dir, "go.mod")); err != nil {
		return nil, nil, err
	}
	if sum, err = os.ReadFile(filepath.Join(dir, "go.sum")); err != nil && !os.IsNotExist(err) {
		return nil, nil, err
	}
	return mod, sum, nil
}

func write(dir string, mod, sum []byte) error {
	return errors.Join(
		os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "go.mod"), mod, 0o644),
		os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o644),
	)
}
