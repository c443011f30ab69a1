package transform

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/cel-go/common/types"
)

// generator writes expressions that native.go can evaluate, and some that it
// cannot.
type generator struct{ *rand.Rand }

func pick[T any](g generator, all ...T) T { return all[g.IntN(len(all))] }

func (g generator) literal() string {
	return pick(g, `"eu"`, `"A-10293"`, `"shipped"`, `""`, `"a"`, `"é😀"`, `0`, `1`, `-1`, `2`, `8812`, `9007199254740993`, `9223372036854775807`, `1u`, `1.0`, `0.1`, `44.98`,
		`1.5`, `9007199254740992.0`, `-0.0`, `1e300`, `true`, `false`, `null`)
}

func (g generator) place() string {
	return pick(g, `data`, `data.region`, `data.legacy_id`, `data.order_status`, `data.customer`, `data.customer.id`, `data.total`, `data.big`, `data.huge`, `data.vip`, `data.none`,
		`data.tags`, `data.tags[0]`, `data.items[1].sku`, `data["items"][0]["price"]`, `data.items`, `data.missing`, `data.a.b`, `data.n`, `data.d`, `data.o`, `data.o.k`, `data.none.x`)
}

func (g generator) operand() string {
	switch g.IntN(8) {
	case 0, 1, 2:
		return g.literal()
	case 3:
		return pick(g, `id`, `source`, `type`, `subject`, `headers.tenant`, `headers["tenant"]`, `headers.nothing`, `headers["bad"]`, `time`, `data.items.map(i, i.price)`)
	case 4:
		return fmt.Sprintf(pick(g, `size(%s)`, `%s.size()`), g.place())
	}
	return g.place()
}

func (g generator) list() string {
	switch g.IntN(4) {
	case 0:
		return g.place()
	case 1:
		return pick(g, `["eu", "us"]`, `["A-10293"]`, `["a", "b", ""]`)
	case 2:
		return pick(g, `[0, 1, 2]`, `[8812]`, `[9007199254740992, 9223372036854775807]`, `[1u]`, `[]`)
	}
	return fmt.Sprintf("[%s, %s]", g.literal(), g.literal())
}

func (g generator) condition(depth int) string {
	if depth > 0 && g.IntN(2) == 0 {
		a, b := g.condition(depth-1), g.condition(depth-1)
		switch g.IntN(4) {
		case 0:
			return fmt.Sprintf("(%s && %s)", a, b)
		case 1:
			return fmt.Sprintf("(%s || %s)", a, b)
		case 2:
			return fmt.Sprintf("!(%s)", a)
		}
		return fmt.Sprintf("(%s ? %s : %s)", g.condition(0), a, b)
	}
	switch g.IntN(7) {
	case 0:
		return fmt.Sprintf(pick(g, `has(%s.x)`, `has(%s.id)`, `has(%s.k)`), pick(g, `data`, `data.customer`, `data.tags`, `data.missing`, `data.none`, `data.o`, `headers`))
	case 1:
		return pick(g, `has(headers.tenant)`, `has(data.vip)`, `has(data.region)`, `data.vip`, `true`, `false`, `data.legacy_id.matches("^A")`, `data.missing == 1`)
	case 2:
		return fmt.Sprintf(pick(g, `%s.startsWith(%s)`, `%s.endsWith(%s)`, `%s.contains(%s)`), g.place(), g.operand())
	case 3:
		return g.operand() + " in " + g.list()
	}
	return g.operand() + pick(g, " == ", " != ", " < ", " <= ", " > ", " >= ") + g.operand()
}

// checkNative evaluates an expression natively and by plain cel-go over decoded
// values, and returns the verdict; false when cel-go does not compile it.
func checkNative(t *testing.T, source, doc string) (truthValue, bool) {
	t.Helper()
	checked, program, err := reference(source)
	if err != nil {
		return undecided, false
	}
	out, evalErr := evaluate(program, doc)
	is := conditionOf(checked.NativeRep().Expr()).holds(newVars(t, doc))
	if is != undecided && (evalErr != nil || out != types.Bool(is == yes)) {
		t.Errorf("%s on %s: natively %v; cel-go gives %v, %v", source, doc, is == yes, out, evalErr)
	}
	return is, true
}

func TestNative_decidesOnlyAsCELGoDoes(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(1, 2))}
	compiled, sure, sources := 0, 0, 3000
	if testing.Short() {
		sources = 300
	}
	for range sources {
		source := g.condition(2)
		for range 3 {
			is, ok := checkNative(t, source, documents[g.IntN(len(documents))])
			if !ok {
				break
			}
			compiled++
			if is != undecided {
				sure++
			}
		}
	}
	if compiled < sources || sure < sources/3 {
		t.Errorf("of %d evaluations %d were native", compiled, sure)
	}
}

func FuzzNative(f *testing.F) {
	for i, doc := range documents {
		f.Add(uint64(i), doc)
	}
	f.Fuzz(func(t *testing.T, seed uint64, doc string) {
		if json.Valid([]byte(doc)) {
			checkNative(t, generator{rand.New(rand.NewPCG(seed, 0))}.condition(3), doc)
		}
	})
}

// natively is conditions that must be decided without cel-go, on record.
var natively = map[string]truthValue{
	`data.region == "eu"`: yes, `data.region != "eu"`: no, `"eu" == data.region`: yes, `data.total > 44`: yes, `data.total == 44.98`: yes, `data.customer.id <= 8812`: yes,
	`data.vip`: yes, `!data.vip`: no, `data.none == null`: yes, `data.customer == null`: no, `data.customer == "x"`: no, `data.region > "eu"`: no, `data.region < "ev"`: yes,
	`data.region in ["us", "eu"]`: yes, `data.customer.id in [1, 2]`: no, `"a" in data.tags`: yes, `"x" in data.tags`: no, `"id" in data.customer`: yes, `data.vip in ["x"]`: no,
	`has(data.region)`: yes, `has(data.nothing)`: no, `has(data.customer.id) && data.customer.id > 8000`: yes, `has(headers.tenant)`: yes, `has(headers.x)`: no,
	`headers.tenant == "acme"`: yes, `headers["tenant"].startsWith("ac")`: yes, `type == "a.type" && id != ""`: yes, `size(data.tags) == 3`: yes, `data.region.size() >= 2`: yes,
	`data.note.contains("door")`: yes, `data.legacy_id.endsWith("93")`: yes, `data.vip ? data.region == "eu" : false`: yes, `data.missing == 1 && data.region == "us"`: no,
	`data.region == "eu" || data.missing == 1`: yes, `data.missing == 1 || data.region == "eu"`: yes, `data.legacy_id.lowerAscii() == "b" && data.region == "us"`: no, `data.total > data.customer.id`: no,
}

func TestNative_needsNoCELGoForTheCommonConditions(t *testing.T) {
	c, err := newCompiler()
	if err != nil {
		t.Fatal(err)
	}
	for source, want := range natively {
		if is, ok := checkNative(t, source, record); !ok || is != want {
			t.Errorf("%s: %v, want %v", source, is, want)
		}
		x := c.expression("filter", text(source), wantBool)
		v := newVars(t, record)
		if n := testing.AllocsPerRun(10, func() {
			if is, err := x.bool(v); err != nil || is != (want == yes) {
				t.Errorf("%s: %v, %v", source, is, err)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations", source, n)
		}
	}
}

func TestNative_leavesUncertainConditionsToCELGo(t *testing.T) {
	for _, source := range []string{
		`data.missing == 1`, `data.region && true`, `!data.region`, `data.region < 1`, `data.huge > 1`, `data.customer == data.customer`, `headers.nothing == "x"`, `has(data.missing.x)`,
		`data.region ? true : false`, `data.total in [44]`, `data.customer in ["x"]`, `"a" in data.region`, `data.total.startsWith("4")`, `size(data.total) == 1`, `data.vip in []`, `data.vip in [1, "x"]`,
		`data.region in [time]`, `data.tags.map(t, t) == ["a"]`, `time > time`, `data.region == "us" || data.missing == 1`, `time in data.tags`, `size(time.getFullYear()) == 1`, `has({"a": 1}.a)`, `1u == 1u`,
		`data.items[0] in data.items`,
	} {
		if is, ok := checkNative(t, source, record); ok && is != undecided {
			t.Errorf("%s: %v", source, is)
		}
	}
}
