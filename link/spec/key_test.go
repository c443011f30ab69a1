package spec

import (
	"errors"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/config"
)

func TestCompileKey_saysWhatIsWrong(t *testing.T) {
	for name, test := range map[string]struct{ expression, want string }{
		"an unquoted text":     {"orders", `orders is read as CEL; a literal text needs quotes: '"orders"'`},
		"with a dash":          {"customer-id", `a literal text needs quotes: '"customer-id"'`},
		"a field without data": {"customer.id + path", "did you mean data.customer?"},
		"no end":               {"data.", "the expression ends too early"},
		"a truth value":        {"path == query", "a key must be a string or a number, and this is bool"},
		"a list":               {"[path]", "a key must be a string or a number"},
		"work without a bound": {`data.a.replace("", data.b)`, "replace is not available for keys"},
		"a regular expression": {`path.matches("a") ? path : query`, "matches is not available for keys"},
		"too long":             {strings.Repeat("a", 5000), "the expression has 5000 characters; 4096 are allowed"},
		"too deep":             {strings.Repeat("(", 60) + "path" + strings.Repeat(")", 60), "the expression nests deeper than 48 levels"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := CompileKey(config.Text{Value: test.expression})
			var e *config.Error
			if !errors.As(err, &e) || e.Code != config.CodeCEL || !strings.Contains(e.Message+e.Hint, test.want) {
				t.Errorf("%+v", err)
			}
		})
	}
}
