package fault

import (
	"fmt"
	"runtime"
)

// DescribePanic is a recovered value for logs and errors: the text of the runtime's own panics. Any other value may hold a
// part of a file or of an event, so only its type is told.
func DescribePanic(r any) string {
	if err, ok := r.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("panic(%T)", r)
}
