package tidy

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

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

// goWork writes go.work whole.
func goWork(r *repo.Repo) (bool, error) {
	name := filepath.Join(r.Root, "go.work")
	old, err := os.ReadFile(name)
	if err != nil && !os.IsNotExist(err) {
		return false, fmt.Errorf("tidying the workspace: %w", err)
	}
	made := workText(r)
	if bytes.Equal(old, made) {
		return false, nil
	}
	if err := os.WriteFile(name, made, 0o644); err != nil {
		return false, fmt.Errorf("tidying the workspace: %w", err)
	}
	return true, nil
}

// workText is what go.work is to say: every module is used, and every sibling
// that some go.mod requires is tied to its folder at each version required.
func workText(r *repo.Repo) []byte {
	newest := "1.26.0"
	var uses, ties strings.Builder
	for _, m := range r.Modules {
		fmt.Fprintf(&uses, "\t%s\n", use(m))
		for _, version := range required(r, m.Path) {
			fmt.Fprintf(&ties, "\t%s %s => %s\n", m.Path, version, use(m))
		}
		if m.Mod.Go != nil && semver.Compare("v"+m.Mod.Go.Version, "v"+newest) > 0 {
			newest = m.Mod.Go.Version
		}
	}
	text := "// Written by `go tool mage tidy`.\ngo " + newest + "\n\nuse (\n" + uses.String() + ")\n"
	if ties.Len() > 0 {
		text += "\n// Siblings are required at their coming version; these lines tie them to this\n" +
			"// tree, so that a fresh clone builds before anything is published.\n" +
			"replace (\n" + ties.String() + ")\n"
	}
	return []byte(text)
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
	if err := os.RemoveAll(name); err != nil {
		return false, fmt.Errorf("tidying the workspace: %w", err)
	}
	if err := listAll(ctx, r); err != nil {
		if old != nil {
			_ = os.WriteFile(name, old, 0o644) // the failed listing is the error to tell
		}
		return false, err
	}
	made, err := os.ReadFile(name)
	if err != nil && !os.IsNotExist(err) {
		return false, fmt.Errorf("tidying the workspace: %w", err)
	}
	return !bytes.Equal(old, made), nil
}

// listAll asks for everything that building and testing the workspace needs;
// the go command writes the sums it misses into go.work.sum on the way.
func listAll(ctx context.Context, r *repo.Repo) error {
	for _, m := range r.Modules {
		patterns := m.Patterns()
		if m.Dir == "." {
			patterns = append(patterns, ".", "tool") // the magefile, and what it runs
		}
		if len(patterns) == 0 {
			continue
		}
		list := repo.Cmd{Dir: m.Abs(), Args: append([]string{"go", "list", "-e", "-deps", "-test", "-tags=integration,mage", "-f={{.Dir}}"}, patterns...)}
		if _, err := list.Output(ctx); err != nil {
			return fmt.Errorf("listing what %s is built from: %w", m.Path, err)
		}
	}
	return nil
}
