package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/lsm/fiso/.ci/repo"
)

// tool is a Go program that is fetched, built once and kept in .cache/bin.
type tool struct {
	name, pkg, version string
	took               string // how long the build takes, for the message
}

// install builds the tools that are not there yet, and returns the folder that holds
// them. They are built outside the workspace, with the versions their authors chose.
func (p *Pipeline) install(ctx context.Context, folder string, tools ...tool) (string, error) {
	dir, err := p.dir(".cache", "bin", folder+"-"+runtime.Version())
	if err != nil {
		return "", err
	}
	for _, t := range tools {
		if _, err := os.Stat(program(dir, t.name)); err == nil {
			continue
		} else if !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("looking for %s: %w", t.name, err)
		}
		p.say("building %s %s, once (%s)", t.name, t.version, t.took)
		build := repo.Cmd{Dir: p.Root, Env: []string{"GOWORK=off", "GOFLAGS=", "GOBIN=" + dir}, Args: []string{"go", "install", t.pkg + "@" + t.version}}
		if err := build.Run(ctx); err != nil {
			return "", fmt.Errorf("building %s: %w", t.name, err)
		}
	}
	return dir, nil
}

// program is the file of a program in a folder.
func program(dir, name string) string {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(dir, name)
}
