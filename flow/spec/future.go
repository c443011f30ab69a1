package spec

import (
	"strings"

	"github.com/lsm/fiso/common/config"
)

// codeNotInThisVersion is the stable code of a key that the contract names and a later
// version brings.
const codeNotInThisVersion = "NOT_IN_THIS_VERSION"

// futureKeys are the keys of the contract that this version does not know yet, and
// what to do without them.
var futureKeys = map[string]string{
	"interceptors": "reshape the event with transform.cel",
	"schema":       "data is read as JSON",
}

// explainFutureKeys turns "unknown key" into the truth for keys that are known.
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
