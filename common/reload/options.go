package reload

import (
	"context"
	"log/slog"
	"time"

	"github.com/lsm/fiso/common/config"
)

// File is a file with its content.
type File struct {
	Path string
	Data []byte
	Err  error // why a listed file cannot be read
}

// Loaded is the result of loading a content.
type Loaded[T any] struct {
	Value T
	Err   error // why the content cannot be used
	// Refs are the files that the content refers to, as far as they are known, also if
	// Err is set. The content is loaded again when one of them changes.
	Refs []string
	// Texts are the texts of referred files as Load has read them, by path, with or
	// without what config.TrimValue removes. A content that refers to a new file, and
	// does not return its text here, is loaded again once that file was read.
	Texts map[string]string
}

// Options configure a Follower. List and Load are required.
type Options[T any] struct {
	// List returns the paths of the files. With an error it returns those it could find,
	// and no file counts as removed.
	List func(ctx context.Context) ([]string, error)
	// Load loads a content. It may take as long as ctx lasts.
	Load func(ctx context.Context, f File) Loaded[T]
	// Dirs are the files and directories to watch, besides the files that contents refer
	// to.
	Dirs []string
	// Watcher is closed by Close. If it is nil, the files are only polled.
	Watcher Watcher
	// Debounce is how long a content must stay the same before it is loaded; default
	// 100ms.
	Debounce time.Duration
	// Poll is how often the files are checked without an event; default 5s.
	Poll time.Duration
	// Absent is how long a file must be absent before it counts as removed;
	// default Poll.
	Absent time.Duration
	// Read reads a file; default config.ReadFile with config.MaxFile.
	Read func(ctx context.Context, path string) ([]byte, error)
	// Logger may be nil.
	Logger *slog.Logger
}

func (o Options[T]) withDefaults() Options[T] {
	if o.Debounce <= 0 {
		o.Debounce = 100 * time.Millisecond
	}
	if o.Poll <= 0 {
		o.Poll = 5 * time.Second
	}
	if o.Absent <= 0 {
		o.Absent = o.Poll
	}
	if o.Read == nil {
		o.Read = func(ctx context.Context, path string) ([]byte, error) {
			return config.ReadFile(ctx, path, config.MaxFile)
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}
