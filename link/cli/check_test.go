package cli

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/command"
	"github.com/lsm/fiso/link/internal/server"
)

// U22: a server's answer can neither control the terminal nor imitate a line of the
// command.
func TestCheck_printsWhatServersAnswerAsOneLineOfText(t *testing.T) {
	var out, errs strings.Builder
	a := newApp(command.IO{Out: &out, Err: &errs})
	err := a.printSteps([]server.Step{{Target: "crm", Name: "OPTIONS /", Err: errors.New("it says \x1b[2J\nok     crm")}})
	if want := `FAILED crm                  OPTIONS /: it says \x1b[2J\nok     crm` + "\n"; out.String() != want {
		t.Errorf("printed %q, want %q", &out, want)
	}
	if !errors.Is(err, command.ErrReported) || errs.String() != "fiso-link: 1 step(s) failed\n" {
		t.Errorf("%v, standard error %q", err, &errs)
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
