package cli

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/lsm/fiso/link/internal/instance"
)

// U22: what a server answers neither steers a terminal nor passes for a line of the
// command's own.
func TestCheck_printsWhatServersAnswerAsOneLineOfText(t *testing.T) {
	var out strings.Builder
	a := &app{IO: IO{Out: &out}}
	err := a.tellSteps([]instance.Step{{Target: "crm", Name: "OPTIONS /", Err: errors.New("it says \x1b[2J\nok     crm")}})
	if want := `FAILED crm                  OPTIONS /: it says \x1b[2J\nok     crm` + "\n"; out.String() != want {
		t.Errorf("printed %q, want %q", &out, want)
	}
	if err == nil || err.Error() != "1 step(s) failed" {
		t.Error(err)
	}
}

func TestCheck_inJSONIsOneDocumentAlsoWhereAStepFails(t *testing.T) {
	code, out, errs := call(t.Context(), nil, "check", "-o", "json", file(t, good))
	var document struct {
		Steps []struct{ OK bool }
	}
	if err := json.Unmarshal([]byte(out), &document); err != nil || len(document.Steps) == 0 || code != 1 || errs != "" {
		t.Errorf("exit %d, %v: %s%s", code, err, out, errs)
	}
}
