package reload

import (
	"context"
	"log/slog"
	"time"

	"github.com/lsm/fiso/common/config"
)

// File is a file as it was read.
type File struct {
	Path string
	Data []byte
	Err  error // why it cannot be read, though it is listed
}

// Loaded is what a content means.
type Loaded[T any] struct {
	Value T
	Err   error // why the content cannot be used
	// Refs are the files that the content refers to, also of one that cannot be
	// used, as far as they are known: it is loaded again when one of them changes.
	Refs []string
	// Texts are what Load read of files that the content refers to, by path, with
	// or without what config.TrimValue takes off. A content that refers to a new
	// file without saying its text is loaded again once that file was read.
	Texts map[string]string
}

// Options say what a Follower follows. List and Load are required.
type Options[T any] struct {
	// List names the files. With an error it names those it could find, and no
	// file counts as removed.
	List func(ctx context.Context) ([]string, error)
	// Load finds out what a content means. It may take its time, up to the end of
	// ctx.
	Load func(ctx context.Context, f File) Loaded[T]
	// Dirs are the files and directories that the Watcher watches, beside the
	// files that contents refer to.
	Dirs []string
	// Watcher is closed by Close. Nil: the files are only polled.
	Watcher Watcher
	// Debounce is how long a content must not change before it is loaded; default
	// 100ms.
	Debounce time.Duration
	// Poll is how often the files are looked at without an event; default 5s.
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
