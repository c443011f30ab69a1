package cel

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"

	"github.com/lsm/fiso/cel/celjson"
	"github.com/lsm/fiso/common/config"
)

const record = `{"s":"abc","n":7,"d":1.50,"big":12345678901234567890123,"u":18446744073709551615,"l":[1,2,3],"t":["b","a","b"],"o":{"k":"v"},"p":"(a)","none":null}`

func TestEval_givesWhatCELGives(t *testing.T) {
	for source, want := range map[string]string{
		`data.n + 1`:                                          `8`,
		`data.missing == 1 || true`:                           `true`,
		`data.n == 7.0 && data.d > 1`:                         `true`,
		`data.s in ["a", "abc"]`:                              `true`,
		`data.n in ["a", "abc"]`:                              `false`,
		`timestamp("0001-01-01T00:00:00Z") == data.n || true`: `true`,
		`1 in [[1][0], data.n]`:                               `true`,
		`data.s in ["a", 1]`:                                  `false`,
		`data.s in data.t`:                                    `false`,
		`data.s.matches("^a.c$")`:                             `true`,
		`data.s.matches(data.p)`:                              `true`,
		`data.t.map(x, x.matches(x))`:                         `[true,true,true]`,
		`regex.replace(data.s, "b", "x")`:                     `"axc"`,
		`regex.extractAll(data.s, "[ab]")`:                    `["a","b"]`,
		`json.encode(data)`:                                   `"{\"s\":\"abc\",\"n\":7,\"d\":1.50,\"big\":12345678901234567890123,\"u\":18446744073709551615,\"l\":[1,2,3],\"t\":[\"b\",\"a\",\"b\"],\"o\":{\"k\":\"v\"},\"p\":\"(a)\",\"none\":null}"`,
		`string(data.big)`:                                    `"12345678901234567890123"`,
		`double(data.big) > 1e22`:                             `true`,
		`timestamp("2026-01-31T12:00:00Z").getHours()`:        `12`,
		`string(timestamp(data.n))`:                           `"1970-01-01T00:00:07Z"`,
		`duration("90s") == duration("1m30s")`:                `true`,
		`data.t.distinct()`:                                   `["b","a"]`,
		`data.t.join("-")`:                                    `"b-a-b"`,
		`data.t.join()`:                                       `"bab"`,
		`data.s.replace("b", data.s)`:                         `"aabcc"`,
		`data.s.replace("b", "", 1)`:                          `"ac"`,
		`"%s %d".format([data.o, data.n])`:                    `"{k: v} 7"`,
		`data.s.split("")`:                                    `["a","b","c"]`,
		`data.s.indexOf("c")`:                                 `2`,
		`sets.contains(data.l, [2, 3])`:                       `true`,
		`sets.equivalent(data.l + [1], data.l)`:               `true`,
		`data.l.map(x, x * 2)`:                                `[2,4,6]`,
		`data.l.exists(x, x > 2)`:                             `true`,
		`size(data.o) + size(data.s)`:                         `4`,
		`data.?none.orValue(1)`:                               `null`,
		`[1] + data.l.filter(x, x > 1)`:                       `[1,2,3]`,
		`bytes(data.s) == b"abc" && size(b"abc") == 3`:        `true`,
		`lists.range(3)`:                                      `[0,1,2]`,
		`base64.encode(bytes(data.s))`:                        `"YWJj"`,
		`cel.bind(x, data.n, x + x)`:                          `14`,
		`data.o.transformMap(k, v, v + "!")`:                  `{"k":"v!"}`,
		`data.l.all(x, x in data.l) && data.l.all(x, x > 0)`:  `true`,
	} {
		value, err := eval(t, source, record)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		got, err := celjson.Append(nil, value, 1<<20)
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v, want %s", source, got, err, want)
		}
	}
}

// A failure names the part of the expression, and quotes no value.
func TestEval_quotesNoValue(t *testing.T) {
	long := `data.missing == "` + strings.Repeat("é", 100) + `"`
	for source, want := range map[string]string{
		`data.customer.id`:                            "no such field: data.customer",
		`data["x"] + 1`:                               `no such field: data["x"]`,
		`data[data.s]`:                                "no such field: data[data.s]",
		`int(data.s)`:                                 "type conversion error in int(data.s)",
		`data.s + 1`:                                  "no such overload in data.s + 1",
		`data.n / 0`:                                  "division by zero in data.n / 0",
		`data.l[7]`:                                   "index out of bounds in data.l[7]",
		`timestamp(data.s)`:                           "it cannot be evaluated for these values in timestamp(data.s)",
		`timestamp(data.n * 1000000000000)`:           "timestamp overflow in timestamp(data.n * 1000000000000)",
		`data.s.matches(data.s + "(")`:                `not a valid regular expression in data.s.matches(data.s + "(")`,
		`data.n.matches("a")`:                         `no such overload in data.n.matches("a")`,
		`regex.extract(data.s, "(")`:                  `not a valid regular expression`,
		`regex.extract(data.s, data.s + "(")`:         `not a valid regular expression in regex.extract(data.s, data.s + "(")`,
		`data.s.substring(9)`:                         "index out of range",
		`base64.decode(data.s + "!")`:                 `it cannot be evaluated for these values`,
		`data.l.map(x, data.s.replace("", data.big))`: "no such overload",
		long: "no such field: data.missing",
	} {
		_, err := eval(t, source, record)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "abc") || strings.Contains(err.Error(), "é…") && len(err.Error()) > 300 {
			t.Errorf("%s: %v, want %q", source, err, want)
		}
		if _, ok := errors.AsType[*Failure](err); !ok {
			t.Errorf("%s: %T", source, err)
		}
	}
}

func TestFailure_shortensALongExpression(t *testing.T) {
	p := program(t, recordEnv(t), `[data.s, `+strings.Repeat(`"éééé", `, 40)+`""][0] + data.n`)
	_, err := p.Eval(t.Context(), over(t, record))
	if err == nil || len(err.Error()) > 200 || !strings.HasSuffix(err.Error(), "…") || !strings.HasPrefix(err.Error(), "no such overload in [data.s, ") {
		t.Errorf("got %v", err)
	}
}

// F17: an evaluation that would take long or fill the memory ends, and its error names the limit.
// https://github.com/cert-manager/approver-policy/issues/923
func TestEval_endsWithinItsLimits(t *testing.T) {
	big, long := `"`+strings.Repeat("a", 1<<18)+`"`, "["+strings.TrimSuffix(strings.Repeat("1,", 1<<12), ",")+"]"
	data := `{"big":` + big + `,"long":` + long + `,"l":[1,2,3,4,5,6,7,8,9,10],"pattern":"` + strings.Repeat("(a|aa){30}", 20) + `","endless":"` + strings.Repeat("a", 1025) + `"}`
	const tooLarge, tooMuch, tooMany = "a value is too large", "a function would do too much work on values this large", "it needs more than the 1000000 steps that an expression has"
	for source, want := range map[string]string{
		`data.l.all(a, data.l.all(b, data.l.all(c, data.l.all(d, data.l.all(e, data.l.all(f, true))))))`:                                                         tooMany,
		`[data.l, data.l].all(x, json.encode(data.big + string(x.size())).size() + data.big.reverse().size() > 0) && data.long.all(x, data.big.reverse() != "")`: tooMany,
		`data.long.all(x, size(data.long + [x]) > 0)`:             tooMany,
		`data.long.all(x, x in data.long)`:                        tooMany,
		`data.big.replace("", data.big)`:                          tooLarge,
		`data.long.map(x, data.big).join(data.big)`:               tooLarge,
		`"%s".format([data.long.map(x, data.big)])`:               tooLarge,
		`"%s".format([{"a": data.long.map(x, data.big)}])`:        tooLarge,
		`json.encode(data.long.map(x, data.big))`:                 tooLarge,
		`data.big.split("")`:                                      tooLarge,
		`regex.replace(data.big, "a", data.big)`:                  tooLarge,
		`data.big.indexOf(data.big)`:                              tooMany,
		`data.big.matches(data.pattern)`:                          tooMuch,
		`regex.extract(data.big, "(a?){30}b")`:                    tooMuch,
		`lists.range(100000).distinct()`:                          tooMany,
		`sets.contains(lists.range(100000), lists.range(100000))`: tooMany,
		`data.big.matches(data.endless)`:                          "it cannot be evaluated",
		`lists.range(100001)`:                                     "it cannot be evaluated",
	} {
		t.Run(source, func(t *testing.T) {
			began := time.Now()
			_, err := eval(t, source, data)
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestEval_endsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := program(t, recordEnv(t), `data.l.all(x, data.l.all(y, data.l.all(z, data.l.all(a, data.l.all(b, x > 0)))))`)
	if _, err := p.Eval(ctx, over(t, record)); !errors.Is(err, ErrInterrupted) || p.Cheap() {
		t.Errorf("got %v", err)
	}
	cheap := program(t, recordEnv(t), `data.n + 1`)
	if v, err := cheap.Eval(ctx, over(t, record)); err != nil || v.Equal(types.Int(8)) != types.True || !cheap.Cheap() {
		t.Errorf("what is cheap does not look at its context: %v, %v", v, err)
	}
	many := program(t, recordEnv(t), strings.Repeat("data.n + ", 17)+"1")
	if many.Cheap() {
		t.Error("seventeen calls are cheap")
	}
}

// U2: a panic in an evaluation is an error without the value of the panic.
func TestEval_tellsAPanic(t *testing.T) {
	_, err := program(t, recordEnv(t), `data["a"] + 1`).Eval(t.Context(), with(t, panicking{types.String("canary")}))
	if err == nil || err.Error() != "the evaluation panicked, which is a bug: please report the expression" {
		t.Errorf("got %v", err)
	}
}

// panicking is a value of data that panics when a member is read.
type panicking struct{ types.String }

func (p panicking) Get(ref.Val) ref.Val { panic(p.String) }

func TestProgram_ofAPartWithDecorators(t *testing.T) {
	e := recordEnv(t)
	checked, faults := e.Check(config.Text{Value: `{"a": data.n + 1}`}, false)
	if faults != nil {
		t.Fatal(faults)
	}
	part := checked.Expr().AsMap().Entries()[0].AsMapEntry().Value()
	var seen int
	p, err := e.Program(checked, part, func(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
		seen++
		return i, nil
	})
	if err != nil || seen == 0 {
		t.Fatalf("%v, %d nodes", err, seen)
	}
	if v, err := p.Eval(t.Context(), over(t, record)); err != nil || v.Equal(types.Int(8)) != types.True {
		t.Errorf("%v, %v", v, err)
	}
	broken := errors.New("broken")
	if _, err := e.Program(checked, part, func(interpreter.InterpretableV2) (interpreter.InterpretableV2, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	long, faults := e.Check(config.Text{Value: `data.s.matches("` + strings.Repeat("a", 1025) + `")`}, false)
	if faults != nil {
		t.Fatal(faults)
	}
	if _, err := e.Program(long, long.Expr()); err == nil || err.Error() != "a regular expression is longer than 1024 characters" {
		t.Errorf("got %v", err)
	}
}

func TestOperandHint_saysHowToMixTypes(t *testing.T) {
	kinds := map[string]types.Kind{"n": types.IntKind, "d": types.DoubleKind, "u": types.UintKind, "s": types.StringKind, "big": BigKind, "x": types.DynKind}
	kindOf := func(e ast.Expr) types.Kind {
		if e.Kind() == ast.SelectKind {
			return kinds[e.AsSelect().FieldName()]
		}
		return types.UnspecifiedKind
	}
	for source, want := range map[string]string{
		`data.n * data.d`: mixedNumbers, `data.n * data.x`: mixedNumbers, `data.d - data.x`: mixedNumbers, `data.s + data.n`: mixedTexts, `data.u - data.n`: mixedSigns,
		`data.big + data.n`: bigNumber, `data.n < data.big`: bigNumber, `data.n == data.s`: "", `data.n + data.n`: "", `data.n`: "",
	} {
		checked, faults := recordEnv(t).Check(config.Text{Value: source}, false)
		if faults != nil {
			t.Fatal(faults)
		}
		if got := OperandHint(checked.Expr(), kindOf); got != want {
			t.Errorf("%s: %q, want %q", source, got, want)
		}
	}
	if OperandHint(nil, nil) != "" {
		t.Error("nothing has a hint")
	}
}
