package spec

import (
	"strings"

	"github.com/lsm/fiso/common/config"
)

// codeNotInThisVersion is the code for a key of the contract that only a later version implements.
const codeNotInThisVersion = "NOT_IN_THIS_VERSION"

// futureKeys are keys of the contract that this version does not implement, with what to do
// instead.
var futureKeys = map[string]string{
	"interceptors": "reshape the event with transform.cel",
	"schema":       "data is read as JSON",
}

// explainFutureKeys replaces "unknown key" for keys that a later version implements.
func explainFutureKeys(errs config.Errors) config.Errors {
	for _, e := range errs {
		key := strings.TrimPrefix(e.Key, "spec.")
		if advice, known := futureKeys[key]; known && e.Code == config.CodeUnknownKey {
			e.Code = codeNotInThisVersion
			e.Message = key + " is known, but not in this version of fiso-flow"
			e.Hint = advice
		}
	}
	return errs
}
