package blueprint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/delivery/deadletter"
	"github.com/lsm/fiso/flow/spec"
	"github.com/lsm/fiso/flow/stdout"
)

// stdoutSink has no settings.
type stdoutSink struct {
	stdout.Config `yaml:",inline"`
}

func (c *stdoutSink) tell() string                     { return "a line of JSON on standard output for each event" }
func (c *stdoutSink) ask(bool)                         {}
func (c *stdoutSink) writesJSON() bool                 { return true }
func (c *stdoutSink) compile(string, *spec.Flow) error { return nil }

// A write of its own costs an event more than all else that this sink does.
// Nobody who looks at a terminal sees the wait.
func (c *stdoutSink) gathers() *delivery.Batch {
	return &delivery.Batch{MaxWait: time.Millisecond, Eager: true}
}

func (c *stdoutSink) build(env Env) (connector.Sink, error) { return stdout.New(env.Stdout), nil }

// fileLetters is a file for dead letters.
type fileLetters struct {
	Path string `yaml:"path" required:"true" doc:"File that dead letters are appended to, one line of JSON each, synced to disk before they count."`
}

func (c *fileLetters) tell() string { return "file " + c.Path }

func (c *fileLetters) build(Env) (deadletter.Writer, error) {
	w, err := deadletter.OpenFile(c.Path)
	if err != nil {
		return nil, err
	}
	return w, nil
}

// check opens the file as it is, and where there is none, sees whether its
// directory would take one.
func (c *fileLetters) check(context.Context) []connector.Step {
	step := connector.Step{Name: "write to " + c.Path}
	if st, err := os.Stat(c.Path); err == nil && !st.Mode().IsRegular() {
		step.Err = errors.New("it is no regular file; name a file, whose directory this user may write to")
		return []connector.Step{step}
	}
	f, err := os.OpenFile(c.Path, os.O_WRONLY|os.O_APPEND, 0)
	if os.IsNotExist(err) {
		if f, err = os.CreateTemp(filepath.Dir(c.Path), ".fiso-check-*"); err == nil {
			err = os.Remove(f.Name())
		}
	}
	if err != nil {
		step.Err = fmt.Errorf("make its directory, and let this user write there: %w", err)
	}
	if f != nil {
		_ = f.Close() // nothing was written
	}
	return []connector.Step{step}
}
