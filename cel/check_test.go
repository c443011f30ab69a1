package cel

import (
	"strings"
	"testing"

	celgo "github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/ext"

	"github.com/lsm/fiso/common/config"
)

func TestCheck_saysWhatIsWrongAndWhatToDo(t *testing.T) {
	const keyHint = "keys are texts, whole numbers, true or false: make it text with string(…)"
	const endsEarly = endsTooEarly
	literal := func(s string) string { return s + ` is read as CEL; a literal text needs quotes: '"` + s + `"'` }
	for name, row := range map[string]struct {
		source        string
		asText        bool
		line, col     int
		message, hint string
	}{
		"a text":               {"order.created", true, 1, 1, "undeclared reference to 'order'", literal("order.created")},
		"a word":               {"orders", true, 1, 1, "undeclared reference to 'orders'", literal("orders")},
		"a path":               {"/orders/eu", true, 1, 1, "unexpected '/'", literal("/orders/eu")},
		"a field":              {`{"a": order_id}`, false, 1, 7, "undeclared reference to 'order_id'", "did you mean data.order_id?"},
		"a lone field":         {"order_id", false, 1, 1, "undeclared reference to 'order_id'", "did you mean data.order_id? " + literal("order_id")},
		"a variable":           {"[dat.x]", false, 1, 2, "undeclared reference to 'dat'", "did you mean data?"},
		"on the second line":   {"{\"a\": 1,\n  \"b\": timee}", false, 2, 8, "undeclared reference to 'timee'", "did you mean time?"},
		"a function":           {`data.a.uperAscii()`, false, 1, 17, "undeclared reference to 'uperAscii'", "did you mean upperAscii()?"},
		"an unknown function":  {`qqqqqqqqqq(data.a)`, false, 1, 11, "undeclared reference to 'qqqqqqqqqq'", ""},
		"numbers":              {`1 * 1.5`, false, 1, 3, "found no matching overload for '_*_' applied to '(int, double)'", mixedNumbers},
		"types":                {`type + 1`, false, 1, 6, "found no matching overload for '_+_' applied to '(string, int)'", mixedTexts},
		"an overload":          {`size(true)`, false, 1, 5, "found no matching overload for 'size' applied to '(bool)'", ""},
		"a long literal":       {`data.id == 12345678901234567890123`, false, 1, 12, "invalid int literal", bigLiteralHint},
		"no operand":           {"data + )", false, 1, 8, "unexpected ')'", ""},
		"no right side":        {"data.x >", false, 1, 9, endsEarly, ""},
		"nothing after a line": {"data.x ==\n  1 &&\n", false, 2, 7, endsEarly, ""},
		"no field":             {"data.", false, 1, 6, endsEarly, ""},
		"a bracket open":       {"size(data.a", false, 1, 12, endsEarly + ": ')' is missing", ""},
		"a list open":          {"[1, 2", false, 1, 6, endsEarly + ": ']' is missing", ""},
		"a condition":          {"data.a ? 1", false, 1, 11, endsEarly + ": ':' is missing", ""},
		"a text open":          {`data.a == "x && true`, false, 1, 11, `unexpected '"x && true'`, "close the quotes"},
		"one equals sign":      {"data.a = 1", false, 1, 8, "unexpected '='", "compare with =="},
		"one ampersand":        {"data.a & data.b", false, 1, 8, "unexpected '&'", "and is &&"},
		"one bar":              {"data.a | data.b", false, 1, 8, "unexpected '|'", "or is ||"},
		"another character":    {"data.a @ data.b", false, 1, 8, "unexpected '@'", ""},
		"no colon":             {`{"a" 1}`, false, 1, 6, "':' is missing before '1'", ""},
		"two dots":             {"data..a + 1", false, 1, 6, "unexpected '..'", ""},
		"two values":           {"data.a b", false, 1, 8, "unexpected 'b' after the end of the expression", ""},
		"a bracket too many":   {"(data.a))", false, 1, 9, "unexpected ')' after the end of the expression", ""},
		"no comma":             {"[1 2]", false, 1, 4, "unexpected '2'", ""},
		"nothing":              {" \n", false, 1, 1, "the expression is empty", ""},
		"a key twice":          {`{"a": 1, "b": {"c": 1, "c": 2}}`, false, 1, 24, "the key c appears twice", "a key can have one value only"},
		"a number twice":       {`{1: 1, 1u: 2}`, false, 1, 8, "the key 1 appears twice", "a key can have one value only"},
		"a reference as a key": {`{type: 1, "a": 2, true: 3, true: 4}`, false, 1, 28, "the key true appears twice", "a key can have one value only"},
		"a key of bytes":       {`{b"x": 1}`, false, 1, 2, "a map key is of type bytes", keyHint},
		"a reference":          {"data.a + \"${REGION}\"", false, 1, 11, "${REGION} is not resolved in an expression", referenceHint},
		"too long":             {strings.Repeat("1+", 9000) + "1", false, 1, 1, "the expression has 18001 characters; 16384 are allowed", ""},
		"too deep":             {"1 +\n  " + strings.Repeat("[", 100), false, 2, 51, "the expression nests deeper than 48 levels", ""},
	} {
		t.Run(name, func(t *testing.T) {
			checked, faults := recordEnv(t).Check(config.Text{Value: row.source}, row.asText)
			if len(faults) == 0 || checked != nil {
				t.Fatalf("%v, %v", checked, faults)
			}
			f := faults[0]
			if len(faults) > 1 && strings.Contains(row.message, "ends too early") || strings.Contains(f.Message, "expecting") {
				t.Errorf("got %v", faults)
			}
			if f.Code != config.CodeCEL || !strings.HasPrefix(f.Message, row.message) || f.Hint != row.hint {
				t.Errorf("got %s %q\nhint %q, want\n     %q", f.Code, f.Message, f.Hint, row.hint)
			}
			var decoded struct {
				K config.Text `yaml:"k"`
			}
			if row.source == " \n" {
				return // YAML has no such value
			}
			if err := config.Decode("f.yaml", []byte("k: |\n  "+strings.ReplaceAll(row.source, "\n", "\n  ")+"\n"), &decoded); err != nil {
				t.Fatal(err)
			}
			_, faults = recordEnv(t).Check(decoded.K, row.asText)
			if f := faults[0]; f.Pos.Line != row.line+1 || f.Pos.Column != row.col+2 || !strings.HasPrefix(f.Message, "k: "+row.message[:10]) {
				t.Errorf("%q at %v, want line %d, column %d, with the key", f.Message, f.Pos, row.line+1, row.col+2)
			}
		})
	}
}

func TestCheck_namesNoFieldWhereThereIsNoRecord(t *testing.T) {
	e := mustEnv(t, Config{Variables: []Variable{{"path", types.StringType}}, Libraries: []celgo.EnvOption{ext.Strings()}, Limits: Limits{Characters: 100}})
	for source, want := range map[string]string{
		"order_id + 1":           "",
		"order_id":               `order_id is read as CEL; a literal text needs quotes: '"order_id"'`,
		"pat.size()":             "did you mean path?",
		strings.Repeat("1", 101): "",
	} {
		_, faults := e.Check(config.Text{Value: source}, false)
		if len(faults) == 0 || faults[0].Hint != want {
			t.Errorf("%.20s: %v, want the hint %q", source, faults, want)
		}
	}
	if _, faults := e.Check(config.Text{Value: "math.abs(1)"}, false); len(faults) == 0 {
		t.Error("a library is there that was not asked for")
	}
}

func TestNew_saysWhichVariableItCannotHave(t *testing.T) {
	if _, err := New(Config{Variables: []Variable{{"a", types.IntType}, {"a", types.StringType}}}); err == nil || !strings.Contains(err.Error(), "overlapping identifier for name 'a'") {
		t.Errorf("got %v", err)
	}
}

func TestPrescan_knowsTextsAndComments(t *testing.T) {
	deep := strings.Repeat("[", 100)
	for _, source := range []string{
		`"` + deep + `"`, `'` + deep + `'`, `"""` + deep + "\n" + `"` + deep + `"""`, `r"\` + deep + `"`, `"\"` + deep + `"`, "1 // " + deep, "1 // " + deep + "\n",
		`b'` + deep + `'`, strings.Repeat("true ? 1 : ", 60) + "1",
	} {
		if _, _, fault := prescan(source, 1000); fault != "" {
			t.Errorf("%.30s: %s", source, fault)
		}
	}
	for _, source := range []string{`"a" + ` + deep, "'a\n" + deep, "// a\n" + deep, `r"\"` + deep, strings.Repeat("-", 100) + "1", `"` + strings.Repeat("a", 1000)} {
		if _, _, fault := prescan(source, 1000); fault == "" {
			t.Errorf("%.30s passed", source)
		}
	}
}

func TestNearest_isWhatDiffersLittle(t *testing.T) {
	for name, want := range map[string]string{"dat": "data", "DATA": "data", "tim": "time", "x": "", "nothing_like": "", strings.Repeat("a", 70): ""} {
		if got := nearest(name, []string{"data", "time", "type"}); got != want {
			t.Errorf("%.10s: %q, want %q", name, got, want)
		}
	}
}
