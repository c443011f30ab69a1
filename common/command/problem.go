package command

import (
	"errors"

	"github.com/lsm/fiso/common/config"
)

// ErrReported is an error that the command has already printed. Its exit code is
// ExitFailed.
var ErrReported = errors.New("failed")

// Problem is one error as --output json prints it. Code is that of the configuration
// fault, or the result of App.Code, or FAILED.
type Problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Key     string `json:"key,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// Problems lists an error: one entry for each fault of a configuration file.
func (a *App) Problems(err error) []Problem {
	if err == nil {
		return []Problem{}
	}
	if faults, ok := errors.AsType[config.Errors](err); ok {
		list := make([]Problem, len(faults))
		for i, f := range faults {
			list[i] = Problem{f.Code, f.Message, f.Pos.File, f.Pos.Line, f.Pos.Column, f.Key, f.Hint}
		}
		return list
	}
	code := ""
	if a.Code != nil {
		code = a.Code(err)
	}
	if code == "" {
		code = "FAILED"
	}
	return []Problem{{Code: code, Message: err.Error()}}
}

// reportError prints an error as text on standard error, or as JSON on standard
// output.
func (a *App) reportError(err error) {
	if a.JSON() {
		// If JSON cannot be printed, the error is printed as text.
		if a.PrintJSON(map[string]any{"ok": false, "errors": a.Problems(err)}) == nil {
			return
		}
	}
	if _, ok := errors.AsType[config.Errors](err); ok {
		a.Errorf("%v\n", err) // each line begins with its file, for editors
		return
	}
	a.Errorf("%s: %v\n", a.Name, err)
}
