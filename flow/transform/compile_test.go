package transform

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/delivery/fault"
)

func TestNew_saysWhatIsWrongAndWhatToDo(t *testing.T) {
	const keyHint = "keys are texts, whole numbers, true or false: make it text with string(…)"
	literal := func(s string) string { return s + ` is read as CEL; a literal text needs quotes: '"` + s + `"'` }
	for name, row := range map[string]struct {
		cfg           Config
		key           string
		line, col     int
		message, hint string
	}{
		"literal type":      {Config{Type: text("order.created")}, "cloudevents.type", 1, 1, "undeclared reference to 'order'", literal("order.created")},
		"literal word":      {Config{Type: text("orders")}, "cloudevents.type", 1, 1, "undeclared reference to 'orders'", literal("orders")},
		"literal with dash": {Config{Type: text("order-created")}, "cloudevents.type", 1, 1, "undeclared reference to 'order'", literal("order-created")},
		"literal path":      {Config{EventSource: text("/orders/eu")}, "cloudevents.source", 1, 1, "unexpected '/'", literal("/orders/eu")},
		"literal address":   {Config{DataSchema: text("https://a.example/s")}, "cloudevents.dataschema", 1, 6, "unexpected ':' after the end of the expression", literal("https://a.example/s")},
		"field":             {Config{CEL: text(`{"a": order_id}`)}, "transform.cel", 1, 7, "undeclared reference to 'order_id'", "did you mean data.order_id?"},
		"lone field":        {Config{Fields: config.Fields{field("a", "order_id")}}, "transform.fields.a", 1, 1, "undeclared reference to 'order_id'", "did you mean data.order_id? " + literal("order_id")},
		"variable":          {Config{CEL: text(`{"a": dat.order_id}`)}, "transform.cel", 1, 7, "undeclared reference to 'dat'", "did you mean data?"},
		"second line":       {Config{CEL: text("{\"a\": 1,\n  \"b\": timee}")}, "transform.cel", 2, 8, "undeclared reference to 'timee'", "did you mean time?"},
		"function":          {Config{CEL: text(`data.a.uperAscii()`)}, "transform.cel", 1, 17, "undeclared reference to 'uperAscii'", "did you mean upperAscii()?"},
		"unknown function":  {Config{CEL: text(`qqqqqqqqqq(data.a)`)}, "transform.cel", 1, 11, "undeclared reference to 'qqqqqqqqqq'", ""},
		"mixed numbers":     {Config{CEL: text(`1 * 1.5`)}, "transform.cel", 1, 3, "found no matching overload for '_*_' applied to '(int, double)'", "CEL does not mix whole numbers and decimals: write double(…) around the whole one"},
		"mixed types":       {Config{CEL: text(`id + 1`)}, "transform.cel", 1, 4, "found no matching overload for '_+_' applied to '(string, int)'", "make both sides text with string(…), or both numbers with int(…) or double(…)"},
		"no such overload":  {Config{CEL: text(`size(true)`)}, "transform.cel", 1, 5, "found no matching overload for 'size' applied to '(bool)'", ""},
		"filter":            {Config{Filter: text(`"eu"`)}, "filter", 1, 1, "it returns a string where true or false is expected", `compare it with something, as in data.region == "eu"`},
		"list as text":      {Config{ID: text(`[1]`)}, "cloudevents.id", 1, 1, "it returns a list(int) where text is expected", "make it text with string(…)"},
		"bytes as text":     {Config{ID: text(`b"x"`)}, "cloudevents.id", 1, 1, "it returns a bytes where text is expected", "make it text with string(…)"},
		"optional output":   {Config{CEL: text(`data.?a`)}, "transform.cel", 1, 1, "it returns an optional value, which JSON cannot represent", "end it with .orValue(null)"},
		"type output":       {Config{CEL: text(`type(data)`)}, "transform.cel", 1, 1, "it returns a type, which JSON cannot represent", "make it text with string(type(…))"},
		"twice a key":       {Config{CEL: text(`{"a": 1, "b": {"c": 1, "c": 2}}`)}, "transform.cel", 1, 24, "the key c appears twice", "a key can have one value only"},
		// U2: these were hashed, and a type that cannot be hashed ended the process.
		"bytes as a key":     {Config{CEL: text(`{b"x": 1}`)}, "transform.cel", 1, 2, "a map key is of type bytes", keyHint},
		"bytes as a lookup":  {Config{CEL: text(`{"a": {bytes("x"): 1}}`)}, "transform.cel", 1, 13, "a map key is of type bytes", keyHint},
		"a list as a key":    {Config{CEL: text(`{[1]: 1}`)}, "transform.cel", 1, 2, "a map key is of type list(int)", keyHint},
		"a map as a key":     {Config{CEL: text(`{{}: 1}`)}, "transform.cel", 1, 2, "a map key is of type map(", keyHint},
		"a decimal as a key": {Config{CEL: text(`{1.5: 1}`)}, "transform.cel", 1, 2, "a map key is of type double", keyHint},
		"null as a key":      {Config{Filter: text(`{null: true}[null]`)}, "filter", 1, 2, "a map key is of type null_type", keyHint},
		"a long literal":     {Config{Filter: text(`data.id == 12345678901234567890123`)}, "filter", 1, 12, "invalid int literal", bigLiteralHint},
		"twice a number":     {Config{CEL: text(`{1: 1, 1u: 2}`)}, "transform.cel", 1, 8, "the key 1 appears twice", "a key can have one value only"},
		"twice a field":      {Config{Fields: config.Fields{field("a", "1"), field("a", "2")}}, "transform.fields", 1, 1, `the field "a" appears twice`, "a field can have one value only"},
		"cel and fields":     {Config{CEL: text("1"), Fields: config.Fields{field("a", "1")}}, "transform.cel", 1, 1, "transform has both cel and fields", "keep one of the two"},
		"blank":              {Config{CEL: text("  ")}, "transform.cel", 1, 1, "the expression is empty", ""},
		"bad regex":          {Config{CEL: text(`data.a.matches("(")`)}, "transform.cel", 1, 16, "invalid matches argument", ""},
		"long regex":         {Config{CEL: text(`data.a.matches("` + strings.Repeat("a", 1025) + `")`)}, "transform.cel", 1, 15, "a regular expression is longer than 1024 characters", ""},
		"bad time":           {Config{CEL: text(`timestamp("x")`)}, "transform.cel", 1, 11, "invalid timestamp argument", ""},
		"extension name":     {Config{Extensions: config.Fields{field("Tenant-Id", "id")}}, "cloudevents.extensions.Tenant-Id", 1, 1, `an extension cannot be named "Tenant-Id"`, "use lower-case letters and digits, up to 20 of them"},
		"extension reserved": {Config{Extensions: config.Fields{field("time", "id")}}, "cloudevents.extensions.time", 1, 1, "time is an attribute and not an extension", "use lower-case letters and digits, up to 20 of them"},
		"extension no name":  {Config{Extensions: config.Fields{field("", "id")}}, "cloudevents.extensions.", 1, 1, `an extension cannot be named ""`, "use lower-case letters and digits, up to 20 of them"},
		"too long":           {Config{CEL: text(strings.Repeat("1+", 9000) + "1")}, "transform.cel", 1, 1, "the expression has 18001 characters; 16384 are allowed", ""},
		"too deep":           {Config{CEL: text("1 +\n  " + strings.Repeat("[", 100))}, "transform.cel", 2, 51, "the expression nests deeper than 48 levels", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(row.cfg)
			var faults config.Errors
			if !errors.As(err, &faults) || len(faults) == 0 {
				t.Fatalf("got %v", err)
			}
			e := faults[0]
			if e.Key != row.key || e.Code != "CEL" || !strings.HasPrefix(e.Message, row.message) || e.Hint != row.hint {
				t.Errorf("got %s %s %q\nhint %q, want\n     %q", e.Key, e.Code, e.Message, e.Hint, row.hint)
			}
			file := strings.Repeat("#\n", 9) + "k: |\n  " + strings.ReplaceAll(strings.TrimSpace(exprOf(row.cfg)), "\n", "\n  ") + "\n"
			var decoded struct {
				K config.Text `yaml:"k"`
			}
			if name == "cel and fields" || strings.Contains(name, "twice a field") || name == "blank" || strings.Contains(name, "extension") {
				return
			}
			if err := config.Decode("f.yaml", []byte(file), &decoded); err != nil {
				t.Fatal(err)
			}
			e = faultIn(t, row.cfg, decoded.K)
			if e.Pos.Line != row.line+10 || e.Pos.Column != row.col+2 {
				t.Errorf("at %v, want line %d, column %d", e.Pos, row.line+10, row.col+2)
			}
		})
	}
}

// exprOf returns the only expression of a configuration.
func exprOf(cfg Config) string {
	for _, x := range []config.Text{cfg.CEL, cfg.Filter, cfg.ID, cfg.Type, cfg.EventSource, cfg.DataSchema} {
		if !x.IsZero() {
			return x.Value
		}
	}
	for _, f := range append(cfg.Fields, cfg.Extensions...) {
		return f.Value.Value
	}
	return ""
}

// faultIn is the first fault when the expression comes from a file.
func faultIn(t *testing.T, cfg Config, k config.Text) *config.Error {
	t.Helper()
	switch {
	case !cfg.CEL.IsZero():
		cfg.CEL = k
	case !cfg.Filter.IsZero():
		cfg.Filter = k
	case !cfg.ID.IsZero():
		cfg.ID = k
	case !cfg.Type.IsZero():
		cfg.Type = k
	case !cfg.EventSource.IsZero():
		cfg.EventSource = k
	case !cfg.DataSchema.IsZero():
		cfg.DataSchema = k
	case len(cfg.Fields) > 0:
		cfg.Fields[0].Value = k
	}
	_, err := New(cfg)
	var faults config.Errors
	if !errors.As(err, &faults) {
		t.Fatal(err)
	}
	return faults[0]
}

// U11: a reference in an expression was a literal text that equals no event's value, so that everything was filtered.
func TestNew_refusesAReferenceInAnExpression(t *testing.T) {
	for name, row := range map[string]struct {
		cfg       Config
		key, want string
	}{
		"filter":       {Config{Filter: text(`data.region == "${REGION}"`)}, "filter", "${REGION}"},
		"cel":          {Config{CEL: text("{\"a\": 1,\n  \"b\": ${REGION}}")}, "transform.cel", "${REGION}"},
		"field":        {Config{Fields: config.Fields{field("a", `"${file:/etc/x}"`)}}, "transform.fields.a", "${file:/etc/x}"},
		"attribute":    {Config{EventSource: text(`"/orders/${REGION:-eu}"`)}, "cloudevents.source", "${REGION:-eu}"},
		"extension":    {Config{Extensions: config.Fields{field("tenant", `"${TENANT}"`)}}, "cloudevents.extensions.tenant", "${TENANT}"},
		"two of them":  {Config{Filter: text(`"${A}" == "${B}"`)}, "filter", "${A}"},
		"in a comment": {Config{Filter: text("true // ${A}")}, "filter", "${A}"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(row.cfg)
			faults, _ := errors.AsType[config.Errors](err)
			want := 1 + strings.Count(exprOf(row.cfg), "${B}")
			if len(faults) != want || faults[0].Key != row.key || faults[0].Message != row.want+" is not resolved in an expression" || faults[0].Hint != referenceHint {
				t.Errorf("got %v", err)
			}
		})
	}
	if e := faultIn(t, Config{Filter: text("x")}, decodedText(t, `data.region == "${REGION}"`)); e.Pos.Line != 1 || e.Pos.Column != len(`k: 'data.region == "$`) {
		t.Errorf("at %v", e.Pos)
	}
	if _, err := NewExpression("sink.config.key", text(`"${REGION}-" + id`)); err == nil || !strings.Contains(err.Error(), "${REGION} is not resolved in an expression") {
		t.Errorf("got %v", err)
	}
	for _, source := range []string{`"$" + "{REGION}"`, `"${" + id + "}"`, `"$REGION"`, `"$$"`} {
		if _, err := NewExpression("sink.config.key", text(source)); err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
}

// decodedText is a text decoded from a file.
func decodedText(t *testing.T, s string) config.Text {
	t.Helper()
	var decoded struct {
		K config.Text `yaml:"k"`
	}
	if err := config.Decode("f.yaml", []byte("k: '"+s+"'\n"), &decoded); err != nil {
		t.Fatal(err)
	}
	return decoded.K
}

func TestNew_reportsAllFaultsOfAFlow(t *testing.T) {
	_, err := New(Config{Filter: text(`dat.x`), CEL: text(`{"a": foo, "b": bar}`), ID: text("1 +"), Extensions: config.Fields{field("UP", "1")}})
	var faults config.Errors
	if !errors.As(err, &faults) || len(faults) != 5 {
		t.Errorf("got %d faults: %v", len(faults), err)
	}
}

// F17: a few brackets must not cost a parser gigabytes.
// https://github.com/GaloyMoney/cala/issues/838
func TestNew_refusesDeepNestingInNoTime(t *testing.T) {
	for _, source := range []string{
		strings.Repeat("[", 125), strings.Repeat("(", 8000), strings.Repeat("{", 8000), strings.Repeat("!", 8000) + "true", strings.Repeat("-", 8000) + "1",
		strings.Repeat("true?", 3000), strings.Repeat("[", 40), strings.Repeat("(", 40) + "1" + strings.Repeat(")", 40), strings.Repeat("{1:", 45),
		strings.Repeat("f(", 45), strings.Repeat("1+", 8000) + "1", strings.Repeat("a.", 8000) + "b", strings.Repeat("a[", 45), strings.Repeat("1?1:", 3000) + "1",
		strings.Repeat("x || ", 3000) + "x", strings.Repeat("data.all(x, ", 47), `"` + strings.Repeat("[", 10000), strings.Repeat("[].map(x, ", 40) + "1" + strings.Repeat(")", 40),
		strings.Repeat("- ", 40) + "1", strings.Repeat("a.b(", 45), strings.Repeat("{\"a\":", 47) + "1" + strings.Repeat("}", 47),
	} {
		before, start := heap(), time.Now()
		_, err := New(Config{CEL: text(source)})
		if took, used := time.Since(start), heap()-before; took > 3*time.Second || used > 1<<30 {
			t.Errorf("%.20s…: %v and %d MiB, %v", source, took, used>>20, err)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, source := range expressions {
		f.Add(source)
	}
	for _, source := range hostile() {
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source string) {
		start := time.Now()
		p, err := New(Config{CEL: text(source), Timeout: time.Second})
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("it took %v to compile", took)
		}
		if err != nil {
			var faults config.Errors
			if source != "" && (!errors.As(err, &faults) || err.Error() == "") {
				t.Errorf("%T", err)
			}
			return
		}
		if _, err := p.Process(t.Context(), message(record)); err != nil && (fault.CodeOf(err) == "" || strings.Contains(err.Error(), panicked)) {
			t.Errorf("no code, or a panic: %v", err)
		}
	})
}

func TestJSONExpression_writesWhatTheFinishedEventHolds(t *testing.T) {
	event := &cloudevent.Event{ID: "1", Source: "/s", Type: "t", Time: noon, Data: cloudevent.Bytes([]byte(`{"k":"a\"b","n":12345678901234567890.50,"o":{"x":[1,null]}}`))}
	for source, want := range map[string]string{
		`data.k`: `"a\"b"`, `data.n`: "12345678901234567890.50", `data`: string(event.Data.Bytes()), `data.o.x`: "[1,null]", `id`: `"1"`, `time`: `"2026-03-01T12:00:00.5Z"`,
		`{"id": id, "n": data.n, "two": 1 + 1}`: `{"id":"1","n":12345678901234567890.50,"two":2}`, `null`: "null", `"fixed"`: `"fixed"`,
	} {
		x, err := NewJSONExpression("sink.config.args[0]", text(source))
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got, err := x.Append(t.Context(), []byte("["), event); err != nil || string(got) != "["+want {
			t.Errorf("%s: %s, %v", source, got, err)
		}
	}
	x, err := NewJSONExpression("sink.config.args[0]", text("data.nothing"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Append(t.Context(), nil, event); err == nil || err.Error() != "sink.config.args[0]: no such field: data.nothing" || fault.CodeOf(err) != fault.TransformFailed {
		t.Errorf("got %v", err)
	}
	event.Data = cloudevent.Bytes([]byte(`"` + strings.Repeat("x", defaultMaxOutputBytes) + `"`))
	if x, err = NewJSONExpression("sink.config.args[0]", text("data")); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Append(t.Context(), nil, event); fault.CodeOf(err) != fault.OutputTooLarge {
		t.Errorf("got %v for an output of more than 1 MiB", err)
	}
	if _, err := NewJSONExpression("sink.config.args[0]", text("order.created")); err == nil || !strings.Contains(err.Error(), "needs quotes") {
		t.Errorf("got %v", err)
	}
}

func TestExpression_readsTheFinishedEvent(t *testing.T) {
	event := &cloudevent.Event{ID: "1", Source: "/s", Type: "t", Subject: "sub", Time: noon, Data: cloudevent.Bytes([]byte(`{"k":"key","n":12345678901234567890,"z":null,"l":[]}`)),
		Extensions: []cloudevent.Extension{{Name: "tenant", Value: "acme"}}}
	for source, want := range map[string]string{
		`data.k`: "key", `data.n`: "12345678901234567890", `id + "/" + subject`: "1/sub", `headers.tenant`: "acme", `bytes(data.k)`: "key", `time`: "2026-03-01T12:00:00.5Z",
		`data.z`: "<nil>", `data.?nothing`: "<nil>", `type`: "t", `"fixed"`: "fixed", `true`: "true",
	} {
		x, err := NewExpression("sink.config.key", text(source))
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		got, err := x.Eval(t.Context(), event)
		if got == nil {
			got = []byte("<nil>")
		}
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", source, got, err)
		}
	}
	for source, want := range map[string]string{
		`data.nothing`: "sink.config.key: no such field: data.nothing", `data.l`: "sink.config.key: it returned a list where text is expected",
	} {
		x, err := NewExpression("sink.config.key", text(source))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.Eval(t.Context(), event); err == nil || err.Error() != want || fault.CodeOf(err) != fault.TransformFailed {
			t.Errorf("%s: %v", source, err)
		}
	}
	if _, err := NewExpression("sink.config.key", text("order.created")); err == nil || !strings.Contains(err.Error(), "needs quotes") {
		t.Errorf("got %v", err)
	}
}
