// Package repo knows this repository: which files it holds, which Go modules
// stand in it, and how a command is run in one of them. Modules are found,
// never listed.
package repo

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// Repo is the tree as it stood when Open read it. It does not change afterwards
// and may be used from several goroutines.
type Repo struct {
	// Root is the absolute folder of the tree.
	Root string
	// Files are all files that are tracked, or new and not ignored, as sorted
	// slash paths relative to Root.
	Files []string
	// Modules are the Go modules, sorted by folder; the root module comes first.
	Modules []*Module
	// Note says what could not be found out, such as a missing git; else empty.
	Note string
}

// Module is one Go module of the tree.
type Module struct {
	// Root is the absolute folder of the tree, Dir the module's slash path in it ("." for the root module).
	Root, Dir string
	// Path is the module path, such as github.com/lsm/fiso/common.
	Path string
	// Mod is the parsed go.mod.
	Mod *modfile.File
	// Files are the module's own files, relative to the tree; modules nested in it are left out.
	Files []string
}

// Open reads the tree at root. It asks git for the files and, where git is
// missing or root is no checkout, walks the folder and says so in Note.
func Open(ctx context.Context, root string) (*Repo, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("finding the repository: %w", err)
	}
	r := &Repo{Root: abs}
	r.Files, err = gitFiles(ctx, abs)
	if err != nil {
		r.Note = fmt.Sprintf("git could not list the files (%v): every file counts, ignored ones too", err)
		if r.Files, err = walkFiles(abs); err != nil {
			return nil, fmt.Errorf("listing the files of %s: %w", abs, err)
		}
	}
	if err := r.findModules(); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Repo) findModules() error {
	for _, file := range r.Files {
		if path.Base(file) != "go.mod" || inTestdata(file) {
			continue
		}
		data, err := r.Read(file)
		if err != nil {
			return err
		}
		mod, err := modfile.Parse(file, data, nil)
		if err != nil {
			return fmt.Errorf("reading a go.mod: %w", err)
		}
		if mod.Module == nil {
			return fmt.Errorf("%s: no module line", file)
		}
		r.Modules = append(r.Modules, &Module{Root: r.Root, Dir: path.Dir(file), Path: mod.Module.Mod.Path, Mod: mod})
	}
	if len(r.Modules) == 0 {
		return fmt.Errorf("no go.mod found in %s: run this from the top of the repository", r.Root)
	}
	slices.SortFunc(r.Modules, func(a, b *Module) int { return strings.Compare(a.Dir, b.Dir) })
	for _, file := range r.Files {
		if m := r.ModuleOf(file); m != nil {
			m.Files = append(m.Files, file)
		}
	}
	return nil
}

// ModuleOf gives the module that a file belongs to: the one in the nearest
// folder above it. It is nil where no module stands above.
func (r *Repo) ModuleOf(file string) *Module {
	var found *Module
	for _, m := range r.Modules {
		inside := m.Dir == "." || strings.HasPrefix(file, m.Dir+"/")
		if inside && (found == nil || len(m.Dir) > len(found.Dir) || found.Dir == ".") {
			found = m
		}
	}
	return found
}

// Sibling gives the module with that path, or nil.
func (r *Repo) Sibling(modulePath string) *Module {
	for _, m := range r.Modules {
		if m.Path == modulePath {
			return m
		}
	}
	return nil
}

// Select gives the modules to work on: all of them, or the one in folder dir.
func (r *Repo) Select(dir string) ([]*Module, error) {
	if dir == "" {
		return r.Modules, nil
	}
	var known []string
	for _, m := range r.Modules {
		if m.Dir == path.Clean(filepath.ToSlash(dir)) || m.Path == dir {
			return []*Module{m}, nil
		}
		known = append(known, m.Dir)
	}
	return nil, fmt.Errorf("no module in %q: there are %s", dir, strings.Join(known, ", "))
}

// Read gives the content of one file of the tree.
func (r *Repo) Read(file string) ([]byte, error) {
	data, err := os.ReadFile(r.Abs(file))
	if err != nil {
		return nil, fmt.Errorf("reading a file of the tree: %w", err)
	}
	return data, nil
}

// Abs turns a slash path of the tree into one that the system opens.
func (r *Repo) Abs(file string) string {
	return filepath.Join(r.Root, filepath.FromSlash(file))
}

// Abs is the module's folder as the system opens it.
func (m *Module) Abs() string {
	return filepath.Join(m.Root, filepath.FromSlash(m.Dir))
}

// ImportPath is the import path of the package that a file of the module belongs to.
func (m *Module) ImportPath(file string) string {
	return path.Join(m.Path, m.Rel(path.Dir(file)))
}

// Rel is a path of the tree, seen from the module's folder.
func (m *Module) Rel(p string) string {
	if m.Dir == "." {
		return p
	}
	return path.Join(".", strings.TrimPrefix(strings.TrimPrefix(p, m.Dir), "/"))
}

// Patterns are what to give the go command, in the module's folder, to mean all
// packages of the module: ./... where that finds something, and each package
// below a folder that starts with a dot, which wildcards pass over. Packages
// of which mage or the integration tag is the only part are left out.
func (m *Module) Patterns() []string {
	var patterns []string
	wild := false
	for _, dir := range m.PackageDirs() {
		if strings.HasPrefix(dir, ".") && dir != "." {
			patterns = append(patterns, "./"+dir)
		} else {
			wild = true
		}
	}
	if wild {
		patterns = append(patterns, "./...")
	}
	return patterns
}

// PackageDirs are the folders, seen from the module, that hold Go code which
// builds without a tag. The magefile is no such code.
func (m *Module) PackageDirs() []string {
	var dirs []string
	for _, file := range m.Files {
		name := path.Base(file)
		if !strings.HasSuffix(name, ".go") || strings.HasPrefix(name, "magefile") || inTestdata(file) {
			continue
		}
		if dir := m.Rel(path.Dir(file)); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	slices.Sort(dirs)
	return dirs
}

func inTestdata(file string) bool {
	for dir := path.Dir(file); dir != "." && dir != "/"; dir = path.Dir(dir) {
		base := path.Base(dir)
		if base == "testdata" || base == "vendor" || strings.HasPrefix(base, "_") {
			return true
		}
	}
	return false
}
