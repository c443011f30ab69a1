package fault

import (
	"fmt"
	"runtime"
)

// DescribePanic describes a recovered value for logs and errors: the text of a
// runtime panic; otherwise only the type, as the value may contain a part of a
// file or of an event.
func DescribePanic(r any) string {
	if err, ok := r.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("panic(%T)", r)
}
