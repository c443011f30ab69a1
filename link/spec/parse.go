package spec

import (
	"errors"

	"github.com/lsm/fiso/common/config"
)

// Parse reads a configuration file strictly. Its error is of type config.Errors
// and holds every fault of the file, in order of position.
func Parse(name string, data []byte, opts ...config.Option) (*Config, error) {
	f := &file{}
	if err := config.Decode(name, data, f, append(opts, config.Interpolate())...); err != nil {
		if _, ok := errors.AsType[config.Errors](err); ok {
			return nil, err
		}
		return nil, config.Errors{{Pos: config.Pos{File: name, Line: 1, Column: 1}, Code: config.CodeSyntax, Message: err.Error()}}
	}
	return &f.Config, nil
}

// Schema is the JSON Schema of a configuration file.
func Schema() map[string]any {
	s := config.Schema(&Config{})
	s["title"] = "fiso-link configuration"
	return s
}
