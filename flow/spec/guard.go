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

// Panic is a panic of fiso-flow over one flow file, as a fault of that file. It unwraps to config.Errors.
type Panic struct {
	faults config.Errors
	Stack  string // for the log
}

func (p *Panic) Error() string { return p.faults.Error() }
func (p *Panic) Unwrap() error { return p.faults }

// Guard calls do, which works on one flow file: parses it, explains it, builds its parts or takes an event through
// them. A panic in do becomes a *Panic, so that a bug in fiso-flow costs one file and neither the process nor the flows
// that run. A stack overflow cannot be recovered; the bounds on files and expressions keep it out.
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

// panicSite is the function that panicked. It is called by the deferred function that recovers.
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
