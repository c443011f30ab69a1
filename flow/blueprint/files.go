package blueprint

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/flow/deadletter"
)

// Files shares dead letter files within a process: two versions of a flow
// during a reload, or two flows, that open the same file would cut each
// other's lines off. The zero value is ready, and safe for concurrent use.
type Files struct {
	mu    sync.Mutex
	files map[string]*shared
}

// shared is one open file and how many use it.
type shared struct {
	file  *deadletter.File
	users int
}

// Open opens the file, or joins those who have it open. The file is closed
// once every writer that Open returned was closed.
func (f *Files) Open(path string) (deadletter.Writer, error) {
	name, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("dead letter file %s: %w", path, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.files[name]
	if s == nil {
		file, err := deadletter.OpenFile(name)
		if err != nil {
			return nil, err
		}
		s = &shared{file: file}
		if f.files == nil {
			f.files = map[string]*shared{}
		}
		f.files[name] = s
	}
	s.users++
	return &user{files: f, name: name, shared: s}, nil
}

// user is one user's hold on a shared file.
type user struct {
	files  *Files
	name   string
	shared *shared

	mu     sync.Mutex
	closed bool
	writes sync.WaitGroup
}

// Write stores a letter in the shared file.
func (u *user) Write(ctx context.Context, l *deadletter.Letter) error {
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return fmt.Errorf("write to %s: %w", u.name, connector.ErrClosed)
	}
	u.writes.Add(1)
	u.mu.Unlock()
	defer u.writes.Done()
	return u.shared.file.Write(ctx, l)
}

// Close waits for this user's writes until ctx ends, and closes the file when
// nobody else uses it.
func (u *user) Close(ctx context.Context) error {
	u.mu.Lock()
	closed := u.closed
	u.closed = true
	u.mu.Unlock()
	if closed {
		return nil
	}
	u.files.mu.Lock()
	defer u.files.mu.Unlock()
	if u.shared.users--; u.shared.users > 0 {
		return u.wait(ctx)
	}
	delete(u.files.files, u.name)
	return u.shared.file.Close(ctx)
}

func (u *user) wait(ctx context.Context) error {
	idle := make(chan struct{})
	go func() { // ends with the last write, each of which has a context
		u.writes.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close: writes to %s are still under way: %w", u.name, ctx.Err())
	}
}
