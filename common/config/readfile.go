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

// ErrEmpty is why a file that is read for its value holds none.
var ErrEmpty = errors.New("is empty: put the value there")

// ReadFile reads the regular file at path, through links, of at most limit
// bytes. Anything else is refused before it is opened, since opening or reading
// a named pipe, a socket or a device may block for ever or never end. The file
// system has a few seconds to answer: see Within.
func ReadFile(ctx context.Context, path string, limit int64) ([]byte, error) {
	return WithFileTimeout(ctx, path, func() ([]byte, error) { return readRegular(path, limit) })
}

func readRegular(path string, limit int64) ([]byte, error) {
	if info, err := os.Stat(path); err == nil {
		if err := regular(path, info); err != nil {
			return nil, err
		}
	}
	// Without O_NONBLOCK, opening a pipe that took the file's place since waits for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err // names the file already
	}
	defer func() { _ = f.Close() }() // only read from
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

// sizeText is a size for a person.
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

// readValue reads a value from a file, without what TrimValue takes off. A
// file without a value is an error: it is being written, or was emptied.
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

// TrimValue is a value without what editors and shells put around one: a byte
// order mark before it, and line breaks at its end.
func TrimValue(text string) string {
	return strings.TrimRight(strings.TrimPrefix(text, "\ufeff"), "\r\n")
}

// fileTimeout is how long a file system may take to answer. A network file
// system whose server is gone does not answer at all.
const fileTimeout = 5 * time.Second

// WithFileTimeout asks a file system about path and waits for its answer, for a few seconds
// or until ctx ends. A call into the operating system cannot be ended: it stays
// behind until it returns, with its thread. So that such calls do not add up, no
// call for the same path is made while one is late, by its own time and not that of
// ctx: Within then returns the same error at once.
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
