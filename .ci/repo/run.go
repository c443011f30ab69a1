package repo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Cmd is a command to run.
type Cmd struct {
	// Dir is the folder it runs in.
	Dir string
	// Env are settings (KEY=value) on top of the environment of the pipeline.
	Env []string
	// In is what it reads; nil is nothing.
	In io.Reader
	// Out receives what it prints, both streams; nil keeps it for the error.
	Out io.Writer
	// Args are the command and its arguments.
	Args []string
}

// stopWithin is how long a command may take to end once it was interrupted.
const stopWithin = 4 * time.Second

// Run runs the command and waits for it. When ctx ends the command is
// interrupted, and killed where it does not end within 4 s. The error
// names the command and, where Out was nil, holds what it printed.
func (c Cmd) Run(ctx context.Context) error {
	var kept bytes.Buffer
	cmd := c.command(ctx)
	cmd.Stdout, cmd.Stderr = c.Out, c.Out
	if c.Out == nil {
		cmd.Stdout, cmd.Stderr = &kept, &kept
	}
	if err := cmd.Run(); err != nil {
		return c.failed(err, kept.Bytes())
	}
	return nil
}

// Output runs the command and gives what it printed on its standard output.
func (c Cmd) Output(ctx context.Context) ([]byte, error) {
	var errs bytes.Buffer
	cmd := c.command(ctx)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return out, c.failed(err, errs.Bytes())
	}
	return out, nil
}

func (c Cmd) command(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Dir = c.Dir
	cmd.Stdin = c.In
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopWithin
	return cmd
}

func (c Cmd) failed(err error, printed []byte) error {
	line := strings.Join(c.Args, " ")
	if text := strings.TrimSpace(string(printed)); text != "" {
		return fmt.Errorf("%s: %w\n%s", line, err, text)
	}
	return fmt.Errorf("%s: %w", line, err)
}
