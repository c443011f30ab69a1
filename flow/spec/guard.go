package spec

import (
	"fmt"
	"path"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/lsm/fiso/common/config"
	eventfault "github.com/lsm/fiso/delivery/fault"
)

// CodeInternal is the code of a fault that is a bug in fiso-flow.
const CodeInternal = "INTERNAL"

// Panic is a panic of fiso-flow while it worked on one flow file. It unwraps to config.Errors.
type Panic struct {
	faults config.Errors
	Stack  string // for the log
}

func (p *Panic) Error() string { return p.faults.Error() }
func (p *Panic) Unwrap() error { return p.faults }

// Guard calls do, which works on one flow file: parse it, explain it, build its parts, or process
// an event. Guard converts a panic in do to a *Panic, so that a bug fails one file, not the
// process and the running flows. A stack overflow cannot be recovered; the limits on files and
// expressions prevent it.
func Guard(file string, do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &Panic{
				faults: config.Errors{{
					Pos: config.Pos{File: file}, Code: CodeInternal,
					Message: "fiso-flow panicked on this file, which is a bug in fiso-flow: " + eventfault.DescribePanic(r) + panicSite(),
					Hint:    "please report it with the file, its secrets taken out; until it is mended, undo what changed last",
				}},
				Stack: string(debug.Stack()),
			}
		}
	}()
	return do()
}

// panicSite returns the name of the function that panicked. Call it in the deferred function that
// recovers.
func panicSite() string {
	callers := make([]uintptr, 32)
	frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers)])
	panicking := false
	for {
		f, more := frames.Next()
		switch {
		case strings.HasPrefix(f.Function, "runtime."):
			panicking = true
		case panicking:
			return fmt.Sprintf(" (in %s, %s:%d)", path.Base(f.Function), path.Base(f.File), f.Line)
		}
		if !more {
			return ""
		}
	}
}
