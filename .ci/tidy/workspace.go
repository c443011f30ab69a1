package tidy

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"

	"github.com/lsm/fiso/.ci/repo"
)

// workspace makes go.work name every module of the tree, tie every sibling that
// some go.mod requires to its folder, and go.work.sum hold what building needs.
func workspace(ctx context.Context, r *repo.Repo) ([]string, error) {
	var changed []string
	did, err := goWork(r)
	if err != nil {
		return nil, err
	}
	if did {
		changed = append(changed, "go.work")
	}
	if did, err = goWorkSum(ctx, r); err != nil {
		return changed, err
	}
	if did {
		changed = append(changed, "go.work.sum")
	}
	return changed, nil
}

func goWork(r *repo.Repo) (bool, error) {
	name := filepath.Join(r.Root, "go.work")
	old, err := os.ReadFile(name)
	if err != nil && !os.IsNotExist(err) {
		return false, fmt.Errorf("tidying the workspace: %w", err)
	}
	f, err := modfile.ParseWork("go.work", old, nil)
	if err != nil {
		return false, fmt.Errorf("tidying the workspace: %w", err)
	}
	if err := setWork(f, r); err != nil {
		return false, fmt.Errorf("tidying the workspace: %w", err)
	}
	made := modfile.Format(f.Syntax)
	if bytes.Equal(old, made) {
		return false, nil
	}
	if err := os.WriteFile(name, made, 0o644); err != nil {
		return false, fmt.Errorf("tidying the workspace: %w", err)
	}
	return true, nil
}

// setWork rewrites the use and replace lines. Lines that stay are left as they
// are, with their comments.
func setWork(f *modfile.WorkFile, r *repo.Repo) error {
	uses, replaces := wanted(r)
	for _, u := range append([]*modfile.Use(nil), f.Use...) {
		if _, ok := uses[u.Path]; !ok {
			if err := f.DropUse(u.Path); err != nil {
				return err
			}
		}
	}
	for _, rep := range append([]*modfile.Replace(nil), f.Replace...) {
		if r.Sibling(rep.Old.Path) != nil && replaces[rep.Old.Path+"@"+rep.Old.Version] == "" {
			if err := f.DropReplace(rep.Old.Path, rep.Old.Version); err != nil {
				return err
			}
		}
	}
	newest := ""
	for _, m := range r.Modules {
		if err := f.AddUse(use(m), ""); err != nil {
			return err
		}
		for _, version := range required(r, m.Path) {
			if err := f.AddReplace(m.Path, version, "./"+m.Dir, ""); err != nil {
				return err
			}
		}
		if m.Mod.Go != nil && semver.Compare("v"+m.Mod.Go.Version, newest) > 0 {
			newest = "v" + m.Mod.Go.Version
		}
	}
	if newest != "" && (f.Go == nil || "v"+f.Go.Version != newest) {
		if err := f.AddGoStmt(newest[1:]); err != nil {
			return err
		}
	}
	f.SortBlocks()
	f.Cleanup()
	return nil
}

// wanted are the folders that go.work must use, and the siblings it must tie,
// as module@version to folder.
func wanted(r *repo.Repo) (uses map[string]bool, replaces map[string]string) {
	uses, replaces = map[string]bool{}, map[string]string{}
	for _, m := range r.Modules {
		uses[use(m)] = true
		for _, version := range required(r, m.Path) {
			replaces[m.Path+"@"+version] = "./" + m.Dir
		}
	}
	return uses, replaces
}

func use(m *repo.Module) string {
	if m.Dir == "." {
		return "."
	}
	return "./" + m.Dir
}

// goWorkSum makes go.work.sum anew. The workspace takes the highest version of
// each dependency that any module asks for, and where that is not the one a
// module's own go.sum knows, the sum stands here. The go command only ever adds
// to the file, and which lines depends on the command, so it is made by a fixed one.
func goWorkSum(ctx context.Context, r *repo.Repo) (bool, error) {
	name := filepath.Join(r.Root, "go.work.sum")
	old, err := os.ReadFile(name)
	if err != nil && !os.IsNotExist(err) {
		return false, fmt.Errorf("tidying the workspace: %w", err)
	}
	if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
		return false, fmt.Errorf("tidying the workspace: %w", err)
	}
	for _, m := range r.Modules {
		patterns := m.Patterns()
		if m.Dir == "." {
			patterns = append(patterns, ".") // the magefile
		}
		if len(patterns) == 0 {
			continue
		}
		list := repo.Cmd{Dir: m.Abs(), Args: append([]string{"go", "list", "-e", "-deps", "-test", "-tags=integration,mage", "-f", "{{.Dir}}"}, patterns...)}
		if _, err := list.Output(ctx); err != nil {
			return false, fmt.Errorf("listing what %s is built from: %w", m.Path, err)
		}
	}
	made, err := os.ReadFile(name)
	if err != nil && !os.IsNotExist(err) {
		return false, fmt.Errorf("tidying the workspace: %w", err)
	}
	return !bytes.Equal(old, made), nil
}
