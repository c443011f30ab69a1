package cli

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/delivery/fault"
)

// printJSON writes one value as indented JSON.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.Out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print the result as JSON: %w", err)
	}
	return nil
}

// problem is one error as --output json prints it. Code is one of the stable
// codes of configuration faults and of event failures, or FAILED.
type problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Key     string `json:"key,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// problems spreads err into one entry for each fault of a file.
func problems(err error) []problem {
	if err == nil {
		return []problem{}
	}
	if faults, ok := errors.AsType[config.Errors](err); ok {
		list := make([]problem, len(faults))
		for i, f := range faults {
			list[i] = problem{f.Code, f.Message, f.Pos.File, f.Pos.Line, f.Pos.Column, f.Key, f.Hint}
		}
		return list
	}
	code := string(fault.CodeOf(err))
	if code == "" {
		code = "FAILED"
	}
	return []problem{{Code: code, Message: err.Error()}}
}

// reportError prints err for a person on standard error, or as JSON on
// standard output.
func (a *app) reportError(err error) {
	if a.output == "json" {
		// The same error in text would be all there is left to say.
		if a.printJSON(map[string]any{"ok": false, "errors": problems(err)}) == nil {
			return
		}
	}
	if _, ok := errors.AsType[config.Errors](err); ok {
		a.errorf("%v\n", err)
		return
	}
	a.errorf("fiso-flow: %v\n", err)
}
