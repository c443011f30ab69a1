package spec

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/lsm/fiso/common/config"
)

// List returns the sorted paths of the flow files at path: path itself if it is a file, or the
// *.yaml and *.yml files of the directory. It does not enter subdirectories. It skips names that
// begin with a dot (editors and the ..data links of Kubernetes use them) and *_test.yaml, which
// hold transform tests.
func List(ctx context.Context, path string) ([]string, error) {
	return config.WithFileTimeout(ctx, path, func() ([]string, error) { return listed(path) })
}

func listed(path string) ([]string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s does not exist: create it (fiso-flow init writes a first flow file), "+
			"or name another place as an argument or with FISO_CONFIG_DIR", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read flow files: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("read flow files: %w", err)
	}
	var files []string
	for _, e := range entries {
		name := e.Name()
		ext := filepath.Ext(name)
		if e.IsDir() || strings.HasPrefix(name, ".") || ext != ".yaml" && ext != ".yml" || strings.HasSuffix(name, "_test"+ext) {
			continue
		}
		files = append(files, filepath.Join(path, name))
	}
	sort.Strings(files)
	return files, nil
}

// Read reads a flow file, which must be a regular file of at most 1 MiB.
func Read(ctx context.Context, file string) ([]byte, error) {
	data, err := config.ReadFile(ctx, file, config.MaxFile)
	if err != nil {
		return nil, fmt.Errorf("read flow file: %w", err)
	}
	return data, nil
}

// ParseAll reads all flow files at the paths (see List) with parse; name returns the name of a
// flow. ParseAll returns every flow without faults, and config.Errors with the faults of all
// files. It is a fault if there is no file, or if two files define the same flow.
func ParseAll[T any](paths []string, parse func(file string, data []byte) (T, error), name func(T) string) ([]T, error) {
	var (
		flows  []T
		faults config.Errors
		first  = map[string]string{}
	)
	files, err := listAll(paths)
	faults = Faults("", err)
	for _, path := range files {
		data, err := Read(context.Background(), path)
		if err != nil {
			faults = append(faults, Faults(path, err)...)
			continue
		}
		flow, err := parse(path, data)
		if err != nil {
			faults = append(faults, Faults(path, err)...)
			continue
		}
		if other, taken := first[name(flow)]; taken {
			faults = append(faults, Duplicate(name(flow), other, path))
			continue
		}
		first[name(flow)] = path
		flows = append(flows, flow)
	}
	if len(faults) > 0 {
		return flows, faults
	}
	return flows, nil
}

func listAll(paths []string) ([]string, error) {
	var (
		files []string
		errs  []error
	)
	for _, p := range paths {
		found, err := List(context.Background(), p)
		errs = append(errs, err)
		files = append(files, found...)
	}
	if err := errors.Join(errs...); err != nil || len(files) > 0 {
		return files, err
	}
	return nil, NoFlow(strings.Join(paths, ", "))
}

// Codes of faults that do not concern the content of one file.
const (
	CodeNoFlow        = "NO_FLOW"
	CodeDuplicateFlow = "DUPLICATE_FLOW"
	CodeUnreadable    = "UNREADABLE"
)

// NoFlow is the fault of a directory without a flow file.
func NoFlow(path string) *config.Error {
	return &config.Error{
		Pos: config.Pos{File: path}, Code: CodeNoFlow,
		Message: "no flow file (*.yaml or *.yml) here", Hint: "write a first one with fiso-flow init",
	}
}

// Duplicate is the fault of two files that define the same flow.
func Duplicate(name, first, second string) *config.Error {
	return &config.Error{
		Pos: config.Pos{File: second}, Key: "name", Code: CodeDuplicateFlow,
		Message: fmt.Sprintf("flow %s is defined twice, here and in %s", name, first), Hint: "give one of them another name",
	}
}

// Faults converts err to config.Errors. It flattens joined errors; an error that is not a
// config.Error becomes a fault of the file.
func Faults(file string, err error) config.Errors {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok { // not errors.As, which would return only the first
		var all config.Errors
		for _, e := range joined.Unwrap() {
			all = append(all, Faults(file, e)...)
		}
		return all
	}
	if many, ok := errors.AsType[config.Errors](err); ok {
		return many
	}
	if one, ok := errors.AsType[*config.Error](err); ok {
		return config.Errors{one}
	}
	return config.Errors{{Pos: config.Pos{File: file}, Code: CodeUnreadable, Message: err.Error()}}
}
