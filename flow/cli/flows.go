package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/lsm/fiso/flow/blueprint"
	"github.com/lsm/fiso/flow/spec"
)

// defaultDir is where flow files are looked for when nobody says where.
const defaultDir = "/etc/fiso/flows"

// paths are those that were named, else the environment's, else the default.
func (a *app) paths(args []string) []string {
	if len(args) > 0 {
		return args
	}
	if dir := a.Getenv("FISO_CONFIG_DIR"); dir != "" {
		return []string{dir}
	}
	return []string{defaultDir}
}

// outcome is one flow file and what became of it.
type outcome struct {
	file string
	flow *blueprint.Blueprint // nil when err is not
	err  error
}

// load reads all flow files at the paths, faults and all. Its own error is for
// what is no file's fault: a path that does not exist, a directory without a
// flow, one flow in two files.
func load(paths []string) ([]outcome, error) {
	var (
		all  []outcome
		errs []error
		seen = map[string]string{}
	)
	for _, path := range paths {
		files, err := spec.List(path)
		if err == nil && len(files) == 0 {
			err = spec.NoFlow(path)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, file := range files {
			o := loadFile(file)
			if o.err == nil {
				if other, taken := seen[o.flow.Name()]; taken {
					errs = append(errs, spec.Duplicate(o.flow.Name(), other, file))
				}
				seen[o.flow.Name()] = file
			}
			all = append(all, o)
		}
	}
	return all, errors.Join(errs...)
}

func loadFile(file string) outcome {
	data, err := spec.Read(file)
	if err != nil {
		return outcome{file: file, err: err}
	}
	b, err := blueprint.Parse(file, data)
	return outcome{file, b, err}
}

// loadAll is load for commands that need every flow to be valid.
func loadAll(paths []string) ([]*blueprint.Blueprint, error) {
	all, err := load(paths)
	errs := []error{err}
	var flows []*blueprint.Blueprint
	for _, o := range all {
		errs = append(errs, o.err)
		flows = append(flows, o.flow)
	}
	return flows, errors.Join(errs...)
}

// flowFlag adds --flow, which names the one flow a command is about.
func flowFlag(c *cobra.Command, file *string) {
	c.Flags().StringVarP(file, "flow", "f", "", "flow file (required)")
}

// oneFlow reads the flow that --flow names.
func oneFlow(file string) (*blueprint.Blueprint, error) {
	if file == "" {
		return nil, usagef("--flow is missing: name a flow file")
	}
	o := loadFile(file)
	return o.flow, o.err
}
