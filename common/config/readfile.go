package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
)

// ErrEmpty says that a file that should hold a value is empty.
var ErrEmpty = errors.New("is empty: put the value there")

// ReadFile reads the regular file at path, of at most limit bytes; path may be a link. It refuses
// other files before it opens them: opening or reading a named pipe, a socket or a device may
// block for ever or never end. The time for an answer of the file system is limited: see
// WithFileTimeout.
func ReadFile(ctx context.Context, path string, limit int64) ([]byte, error) {
	return WithFileTimeout(ctx, path, func() ([]byte, error) { return readRegular(path, limit) })
}

func readRegular(path string, limit int64) ([]byte, error) {
	if info, err := os.Stat(path); err == nil {
		if err := regular(path, info); err != nil {
			return nil, err
		}
	}
	// A pipe may have replaced the file. Without O_NONBLOCK, opening it would wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err // it names the file
	}
	defer func() { _ = f.Close() }() // nothing was written
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := regular(path, info); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is larger than %s", path, sizeText(limit))
	}
	return data, nil
}

// sizeText formats a size for a person.
func sizeText(n int64) string {
	if n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

func regular(path string, info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	kind := "a device"
	switch mode := info.Mode(); {
	case mode.IsDir():
		kind = "a directory"
	case mode&fs.ModeNamedPipe != 0:
		kind = "a named pipe"
	case mode&fs.ModeSocket != 0:
		kind = "a socket"
	}
	return fmt.Errorf("%s is %s: only a regular file can be read", path, kind)
}

// readValue reads a value from a file and applies TrimValue. A file without a value is an error:
// it is being written, or was emptied.
func readValue(path string) (string, error) {
	data, err := ReadFile(context.Background(), path, MaxFile)
	if err != nil {
		return "", err
	}
	return valueIn(path, data)
}

func valueIn(path string, data []byte) (string, error) {
	text := TrimValue(string(data))
	if strings.TrimSpace(text) == "" {
		return "", fmt.Errorf("%s %w", path, ErrEmpty)
	}
	return text, nil
}

// TrimValue removes what editors and shells add to a value: a byte order mark at its begin, and
// line breaks at its end.
func TrimValue(text string) string {
	return strings.TrimRight(strings.TrimPrefix(text, "\ufeff"), "\r\n")
}

// fileTimeout is how long a file system may take to answer. A network file system whose server is
// down does not answer at all.
const fileTimeout = 5 * time.Second

// WithFileTimeout calls ask, which accesses the file system at path, and waits for its result for
// fileTimeout or until ctx ends. A system call cannot be cancelled: it keeps its thread until it
// returns. To bound the number of such calls, WithFileTimeout returns an error at once while an
// earlier call for the same path has exceeded fileTimeout and not returned.
func WithFileTimeout[T any](ctx context.Context, path string, ask func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	if unansweredByPath.has(path) {
		return none, errNotAnswering(path)
	}
	call := &unansweredCall{path: path}
	done, late := make(chan answer, 1), make(chan struct{})
	timer := time.AfterFunc(fileTimeout, func() {
		unansweredByPath.add(call)
		close(late)
	})
	go func() {
		defer timer.Stop()
		defer unansweredByPath.end(call)
		value, err := ask()
		done <- answer{value, err}
	}()
	select {
	case a := <-done:
		return a.value, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	case <-late:
		return none, errNotAnswering(path)
	}
}

func errNotAnswering(path string) error {
	return fmt.Errorf("%s: the file system does not answer: check what is mounted there", path)
}
