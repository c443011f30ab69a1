package spec

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// maxFile bounds what is read of a flow file; the decoder refuses from 1 MiB.
const maxFile = 1<<20 + 1

// List names the flow files at a path, sorted: the file itself, or the *.yaml
// and *.yml of a directory. Directories below it are not entered, and names
// that begin with a dot are left out: editors and the ..data links of
// Kubernetes keep such.
func List(path string) ([]string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s does not exist: make it (fiso-flow init writes a first flow file), or name another place with --config or FISO_CONFIG_DIR", path)
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
		if ext := filepath.Ext(name); e.IsDir() || strings.HasPrefix(name, ".") || ext != ".yaml" && ext != ".yml" {
			continue
		}
		files = append(files, filepath.Join(path, name))
	}
	sort.Strings(files)
	return files, nil
}

// Read reads a flow file, bounded: of one that is too large it returns enough
// for Parse to say so.
func Read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read flow file: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, fmt.Errorf("read flow file: %w", err)
	}
	return data, nil
}

// File is a flow and the file it stands in.
type File struct {
	Path string
	Flow *Flow
}

// ParseDir reads all flow files at a path (see List). It returns every flow
// that could be read, and one error with the faults of all files. No file at
// all is an error, and so are two files that define one flow.
func ParseDir(path string) ([]File, error) {
	paths, err := List(path)
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, NoFlow(path)
	}
	var (
		flows []File
		errs  []error
		first = map[string]string{}
	)
	for _, p := range paths {
		data, err := Read(p)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		flow, err := Parse(p, data)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if other, taken := first[flow.Name]; taken {
			errs = append(errs, Duplicate(flow.Name, other, p))
			continue
		}
		first[flow.Name] = p
		flows = append(flows, File{p, flow})
	}
	return flows, errors.Join(errs...)
}

// NoFlow is the error of a directory without a flow file.
func NoFlow(path string) error {
	return fmt.Errorf("no flow file (*.yaml or *.yml) in %s: write a first one with fiso-flow init", path)
}

// Duplicate is the error of two files that define one flow.
func Duplicate(name, first, second string) error {
	return fmt.Errorf("flow %s is defined twice, in %s and in %s: give one of them another name", name, first, second)
}
