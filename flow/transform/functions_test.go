package transform

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// arguments are places in the documents and values of every type.
var arguments = []string{
	`data`, `data.missing`, `data.customer`, `data.items`, `data.tags`, `data.tags[0]`, `data.legacy_id`, `data.order_status`, `data.total`, `data.customer.id`, `data.none`, `data.vip`,
	`data.?total`, `data.?nothing`, `data.items[0].price`, `data.n`, `data.d`, `1`, `-1`, `0`, `2u`, `1.5`, `"a"`, `"A-1"`, `""`, `b"a"`, `null`, `true`, `[]`, `[1, 2]`, `["b", "a"]`, `[1, data.total]`,
	`[data.total, data.d]`, `{}`, `{"a": 1}`, `{"a": data.total}`, `time`, `duration("90s")`, `optional.of(data.total)`, `optional.none()`, `type`, `headers`, `int`, `lists.range(3)`,
	`data.tags.map(t, t)`, `data.items.map(i, i.price)`, `dyn(1)`, `dyn(b"a")`, `data.o`, `(data.vip ? data.total : data.big)`, `data[data.tags[0]]`, `data.tags[data.n]`,
}

// choose returns arguments for a function: all of them for a function of one, otherwise a few at random.
func choose(r *rand.Rand, arity int) [][]string {
	var all [][]string
	for i := range arguments {
		args := []string{arguments[i]}
		for len(args) < arity {
			args = append(args, arguments[r.IntN(len(arguments))])
		}
		if arity > 1 {
			args[0] = arguments[r.IntN(len(arguments))]
			if i >= 8 {
				break
			}
		}
		all = append(all, args[:arity])
	}
	return all
}

// call returns the text of a call.
func call(name string, member bool, args []string) string {
	rest := args
	if member {
		rest = args[1:]
	}
	switch list := strings.Join(rest, ", "); {
	case strings.HasPrefix(name, "_[?_"):
		return fmt.Sprintf("%s[?%s]", args[0], args[1])
	case strings.HasPrefix(name, "_[_"):
		return fmt.Sprintf("%s[%s]", args[0], args[1])
	case name == "_?_:_":
		return fmt.Sprintf("(%s ? %s : %s)", args[0], args[1], args[2])
	case name == "@in":
		return fmt.Sprintf("(%s in %s)", args[0], args[1])
	case strings.HasPrefix(name, "_") && len(args) == 2:
		return fmt.Sprintf("(%s %s %s)", args[0], strings.Trim(name, "_"), args[1])
	case strings.HasSuffix(name, "_") && len(args) == 1:
		return fmt.Sprintf("%s(%s)", strings.Trim(name, "_"), args[0])
	case name == "math.@max" || name == "math.@min":
		return fmt.Sprintf("%s(%s)", map[string]string{"math.@max": "math.greatest", "math.@min": "math.least"}[name], list)
	case strings.Contains(name, "@"):
		return ""
	case member:
		return fmt.Sprintf("%s.%s(%s)", args[0], name, list)
	default:
		return fmt.Sprintf("%s(%s)", name, list)
	}
}

// U8: every function of CEL gives the same result for values of the record, and for errors, as for decoded ones.
func TestEvaluation_ofEveryFunctionIsTheSame(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds: left out with -short, which check does not set")
	}
	env, err := environment()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	tried, compared, seen := map[string]bool{}, map[string]bool{}, map[string]bool{}
	functions := env.CEL().Functions()
	for _, name := range slices.Sorted(maps.Keys(functions)) {
		if name == "json.encode" {
			continue // it keeps digits; cel-go's writes doubles
		}
		for _, o := range functions[name].OverloadDecls() {
			for _, args := range choose(r, len(o.ArgTypes())) {
				source := call(name, o.IsMemberFunction(), args)
				if source == "" || seen[source] {
					continue
				}
				tried[name], seen[source] = true, true
				if o.ResultType().TypeName() == "optional_type" {
					source += ".hasValue()" // JSON cannot represent an optional
				}
				switch r.IntN(4) {
				case 0:
					source = fmt.Sprintf(`[%s == 1 || data.tags.exists(t, t == "a")]`, source)
				case 1:
					source = fmt.Sprintf(`[1].map(x, %s)`, source)
				}
				w, err := newWays(source)
				if err != nil {
					continue // it does not take arguments of these types
				}
				compared[name] = true
				for range 3 {
					same(t, w, source, documents[r.IntN(len(documents))])
				}
			}
		}
	}
	for name := range tried {
		if !compared[name] {
			t.Logf("%s was called with no arguments that it takes", name)
		}
	}
	if len(compared) < 90 {
		t.Errorf("only %d functions were compared", len(compared))
	}
}
