package plan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/deadletter"
)

var fileConnector = connectorType{name: "file", deadLetters: func() deadLetters { return new(deadLetterFile) }}

// deadLetterFile is a file for dead letters.
type deadLetterFile struct {
	Path string `yaml:"path" required:"true" doc:"File that dead letters are appended to, one line of JSON each, synced to disk before they count."`
}

func (c *deadLetterFile) describe() string { return "file " + c.Path }

func (c *deadLetterFile) name() string { return c.Path }

func (c *deadLetterFile) servers() []string { return nil }

func (c *deadLetterFile) setFromFlow(string, string, time.Duration) {}

func (c *deadLetterFile) build(Env) (deadletter.Writer, error) {
	w, err := deadletter.OpenFile(c.Path)
	if err != nil {
		return nil, err
	}
	return w, nil
}

// check opens the file without changing it. If there is none, check creates and removes a
// temporary file in its directory.
func (c *deadLetterFile) check(context.Context) []connector.Step {
	step := connector.Step{Name: "write to " + c.Path}
	if st, err := os.Stat(c.Path); err == nil && !st.Mode().IsRegular() {
		step.Err = errors.New("not a regular file; name a file in a directory that this user may write to")
		return []connector.Step{step}
	}
	f, err := os.OpenFile(c.Path, os.O_WRONLY|os.O_APPEND, 0)
	if os.IsNotExist(err) {
		if f, err = os.CreateTemp(filepath.Dir(c.Path), ".fiso-check-*"); err == nil {
			err = os.Remove(f.Name())
		}
	}
	if err != nil {
		step.Err = fmt.Errorf("create its directory, and let this user write to it: %w", err)
	}
	if f != nil {
		_ = f.Close() // nothing was written
	}
	return []connector.Step{step}
}

func (c *deadLetterFile) read(ctx context.Context, since time.Time, fn func(StoredLetter) error) error {
	n := 0
	for l, err := range deadletter.ReadFile(c.Path) {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // no file yet: there are no dead letters
		}
		if ctx.Err() != nil {
			return fmt.Errorf("read %s: %w", c.Path, ctx.Err())
		}
		n++
		if err := callIfSince(StoredLetter{At: strconv.Itoa(n), Letter: l, Err: err}, since, fn); err != nil {
			return err
		}
	}
	return nil
}
