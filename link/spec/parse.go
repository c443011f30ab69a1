package spec

import (
	"errors"
	"regexp"

	"github.com/lsm/fiso/common/config"
)

// Parse reads a configuration file strictly. Its error is of type config.Errors
// and holds every fault of the file, in order of position.
func Parse(name string, data []byte, opts ...config.Option) (*Config, error) {
	c := &Config{}
	if err := config.Decode(name, data, c, append(opts, config.Interpolate())...); err != nil {
		if errs, ok := errors.AsType[config.Errors](err); ok {
			return nil, explainURL(errs)
		}
		return nil, config.Errors{{Pos: config.Pos{File: name, Line: 1, Column: 1}, Code: config.CodeSyntax, Message: err.Error()}}
	}
	for i := range c.Targets {
		c.Targets[i].clearPositions()
	}
	return c, nil
}

// urlKey matches a key of a target that was meant for its URL.
var urlKey = regexp.MustCompile(`^targets\[\d+\]\.(?i:url|uri|baseURL|address)$`)

// explainURL sets the hint for a target with a URL: a target has host and protocol.
func explainURL(errs config.Errors) config.Errors {
	for _, e := range errs {
		if e.Code == config.CodeUnknownKey && urlKey.MatchString(e.Key) {
			e.Hint = "write host (and protocol, port and basePath), as in host: api.example.com"
		}
	}
	return errs
}

// clearPositions removes the positions of expressions: a reload compares targets, and a
// target that only moved within the file has not changed.
func (t *Target) clearPositions() {
	if t.Async != nil {
		t.Async.Key = config.Text{Value: t.Async.Key.Value}
	}
	if t.Kafka != nil {
		t.Kafka.Key = config.Text{Value: t.Kafka.Key.Value}
	}
}

// Schema returns the JSON Schema of a configuration file.
func Schema() map[string]any {
	s := config.InterpolatedSchema(&Config{})
	s["title"] = "fiso-link configuration"
	return s
}
