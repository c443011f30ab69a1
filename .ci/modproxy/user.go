package modproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/lsm/fiso/.ci/repo"
	"github.com/lsm/fiso/.ci/rules"
)

// User is somebody with nothing but Go and a module proxy.
type User struct {
	// Proxy is the folder that Write laid out.
	Proxy string
	// Home is an absolute folder for this user's module cache. What it fetched
	// there of others may be there the next time; what is ours never is.
	Home string
	// Version is the one that our modules stand in the proxy at.
	Version string
	// Out receives progress.
	Out io.Writer
}

// Prepare makes the user forget our modules and finds out where others come from.
func (u *User) Prepare(ctx context.Context, r *repo.Repo) (env []string, err error) {
	cache := filepath.Join(u.Home, "mod")
	for _, m := range r.Modules {
		for _, stale := range []string{filepath.Join(cache, filepath.FromSlash(m.Path)+"@"+u.Version), filepath.Join(cache, "cache", "download", filepath.FromSlash(m.Path), "@v")} {
			if err := os.RemoveAll(stale); err != nil {
				return nil, fmt.Errorf("forgetting an earlier copy of %s: %w", m.Path, err)
			}
		}
	}
	out, err := repo.Cmd{Args: []string{"go", "env", "GOPROXY", "GOMODCACHE"}}.Output(ctx)
	if err != nil {
		return nil, err
	}
	theirs, builders, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	// What the builder of this repository has fetched before need not come over the network again.
	return []string{
		"GOPROXY=" + fileURL(u.Proxy) + "," + fileURL(filepath.Join(builders, "cache", "download")) + "," + theirs,
		"GOMODCACHE=" + cache,
		"GOBIN=" + filepath.Join(u.Home, "bin"),
		// No checksum database knows a version that is not published. Those of the
		// others are in our own go.sum files, and were compared when we built.
		"GONOSUMDB=*", "GONOSUMCHECK=1", "GOPRIVATE=", "GONOPROXY=none",
		"GOWORK=off", "GOFLAGS=-mod=mod -modcacherw",
		// Go takes a downloaded module to be what it was for ever, and keeps an index
		// of its files in the build cache; ours change at one and the same version.
		"GODEBUG=goindex=0",
	}, nil
}

func fileURL(dir string) string {
	return "file://" + filepath.ToSlash(dir)
}

// GetAndBuild adds one of our modules to an empty one, compiles the first Go
// program of its README there, and refuses what the module may not bring along.
func (u *User) GetAndBuild(ctx context.Context, r *repo.Repo, m *repo.Module, env []string) error {
	example, err := readmeExample(r, m)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "fiso-user-")
	if err != nil {
		return fmt.Errorf("making an empty module: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a leftover in the temporary folder harms nobody
	if err := os.WriteFile(filepath.Join(dir, "main.go"), example, 0o644); err != nil {
		return fmt.Errorf("making an empty module: %w", err)
	}
	for _, args := range [][]string{
		{"go", "mod", "init", "example.com/user"},
		{"go", "get", m.Path + "@" + u.Version},
		{"go", "build", "-o", filepath.Join(dir, "example.out"), "."},
	} {
		if err := (repo.Cmd{Dir: dir, Env: env, Args: args}).Run(ctx); err != nil {
			return fmt.Errorf("as a user of %s would: %w", m.Path, err)
		}
	}
	deps, err := repo.Cmd{Dir: dir, Env: env, Args: []string{"go", "list", "-deps", "."}}.Output(ctx)
	if err != nil {
		return fmt.Errorf("listing what a user of %s compiles: %w", m.Path, err)
	}
	if bad := rules.Kept(m.Dir, strings.Fields(string(deps))); len(bad) > 0 {
		return fmt.Errorf("a user of %s is made to compile %s", m.Path, strings.Join(bad, ", "))
	}
	fmt.Fprintf(u.Out, "go get %s@%s: the README's example compiles\n", m.Path, u.Version)
	return nil
}

// Install installs a command of ours by its name, as a README tells people to.
func (u *User) Install(ctx context.Context, command string, env []string) error {
	// -mod is refused when installing at a version.
	install := repo.Cmd{Dir: os.TempDir(), Env: append(env, "GOFLAGS=-modcacherw"), Args: []string{"go", "install", command + "@" + u.Version}}
	if err := install.Run(ctx); err != nil {
		return fmt.Errorf("as somebody who installs it would: %w", err)
	}
	fmt.Fprintf(u.Out, "go install %s@%s: done\n", command, u.Version)
	return nil
}

// errNoExample is about a README that shows nothing a person could run.
var errNoExample = errors.New("no ```go block with a whole program (package main) in it; a reader wants one to start from")

// readmeExample is the first Go program in the module's README.
func readmeExample(r *repo.Repo, m *repo.Module) ([]byte, error) {
	name := m.Dir + "/README.md"
	data, err := r.Read(name)
	if err != nil {
		return nil, err
	}
	for block := range bytes.SplitSeq(data, []byte("\n```go\n")) {
		code, _, closed := bytes.Cut(block, []byte("\n```"))
		if closed && bytes.Contains(append([]byte("\n"), code...), []byte("\npackage main\n")) {
			return append(code, '\n'), nil
		}
	}
	return nil, fmt.Errorf("%s: %w", name, errNoExample)
}
