package transform

import (
	"testing"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// U2: a panic in an evaluation is an error of the event, without the value of the panic.
func TestProcess_tellsAPanicOfAnEvaluation(t *testing.T) {
	v := newVars(t, `{}`)
	v.dataValue = panicking{types.String("canary")}
	x := mustNew(t, Config{CEL: text(`data["a"] + 1`)}).output.parts[0].value
	if _, err := x.value(v); err == nil || err.Error() != "transform.cel: "+panicked+", which is a bug: please report the expression" {
		t.Errorf("got %v", err)
	}
}

// panicked is how the error of a panic in an evaluation begins.
const panicked = "the evaluation panicked"

// panicking is a value of data that panics when a member is read.
type panicking struct{ types.String }

func (p panicking) Get(ref.Val) ref.Val { panic(p.String) }
