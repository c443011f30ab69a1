package pipeline

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lsm/fiso/.ci/repo"
)

// temporalProgram is Temporal's command line, which holds a server for development. It is
// the newest version that can be installed: later ones need a part of their repository
// that is not published as a module.
const temporalProgram = "github.com/temporalio/cli/cmd/temporal@v1.5.1"

// temporalHome builds a real Temporal into .cache, unless it is there already, and gives
// its program. The name of the folder carries a hash of what it is built from.
func (p *Pipeline) temporalHome(ctx context.Context) (string, error) {
	home, err := filepath.Abs(filepath.Join(p.Root, ".cache", fmt.Sprintf("temporal-%x", sha256.Sum256([]byte(temporalProgram)))[:len("temporal-")+12]))
	if err != nil {
		return "", fmt.Errorf("finding the folder for Temporal: %w", err)
	}
	program := filepath.Join(home, "temporal")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("looking for Temporal: %w", err)
	}
	p.say("building Temporal, once; this takes some minutes")
	// go install puts a program in place once it is whole.
	build := repo.Cmd{
		Dir: os.TempDir(), Env: []string{"GOWORK=off", "CGO_ENABLED=0", "GOBIN=" + home},
		Args: []string{"go", "install", "-trimpath", "-ldflags=-s -w", temporalProgram},
	}
	if err := build.Run(ctx); err != nil {
		return "", fmt.Errorf("building Temporal: %w", err)
	}
	if _, err := os.Stat(program); err != nil {
		return "", fmt.Errorf("keeping what was built of Temporal: %w", err)
	}
	return program, nil
}
