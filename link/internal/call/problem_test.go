package call

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/lsm/fiso/common/http1"
)

// codes returns the codes that the source declares.
func codes(t *testing.T) []Code {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "problem.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []Code
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := v.Type.(*ast.Ident); ok && id.Name == "Code" {
			text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, Code(text))
		}
		return true
	})
	return all
}

func TestCode_everyOneHasAStatus(t *testing.T) {
	all := codes(t)
	if len(all) != len(statuses) {
		t.Errorf("%d codes, %d statuses", len(all), len(statuses))
	}
	for _, c := range all {
		if s, ok := statuses[c]; !ok || c.Status() != s || http.StatusText(s) == "" || s < 400 {
			t.Errorf("%s: status %d", c, s)
		}
	}
	if got := Code("UNHEARD_OF").Status(); got != 500 {
		t.Errorf("an unknown code: %d", got)
	}
}

func TestProblem_isProblemJSON(t *testing.T) {
	p := NewProblem(CircuitOpen, "pay", `the "target" is given a rest`)
	var got map[string]any
	if err := json.Unmarshal(p.JSON(), &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"type": "about:blank", "title": "Service Unavailable", "status": 503.0, "code": "CIRCUIT_OPEN", "target": "pay", "detail": `the "target" is given a rest`,
	} {
		if got[name] != want {
			t.Errorf("%s: got %v, want %v", name, got[name], want)
		}
	}
	h := p.Header()
	if h.Get("Content-Type") != "application/problem+json" || h.Get("fiso-error") != "CIRCUIT_OPEN" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("header: %v", h)
	}
	if b := string(NewProblem(Internal, "", "").JSON()); b != `{"type":"about:blank","title":"Internal Server Error","status":500,"code":"INTERNAL"}`+"\n" {
		t.Errorf("without a target and a detail: %s", b)
	}
}

func TestError_keepsItsCauseAndSaysItsReason(t *testing.T) {
	err := error(&http1.Error{Reason: http1.ReasonTimeout, Sent: true, Err: io.ErrUnexpectedEOF})
	if err.Error() != "timeout: unexpected EOF" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
	if got := ReasonOf(fmt.Errorf("attempt 2: %w", err)); got != http1.ReasonTimeout {
		t.Errorf("wrapped: %s", got)
	}
	if got := ReasonOf(io.EOF); got != http1.ReasonReset {
		t.Errorf("an error without a reason: %s", got)
	}
}
