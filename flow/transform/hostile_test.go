package transform

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/delivery/fault"
)

// hostile is expressions that try to fill the memory or to run forever.
func hostile() map[string]string {
	doubling := func(op string) string {
		var b strings.Builder
		n := 40
		for i := range n {
			from := "data.s"
			if i > 0 {
				from = fmt.Sprintf("v%d", i-1)
			}
			fmt.Fprintf(&b, "cel.bind(v%d, %s, ", i, strings.ReplaceAll(op, "x", from))
		}
		fmt.Fprintf(&b, "RESULT(v%d)%s", n-1, strings.Repeat(")", n))
		return b.String()
	}
	use := func(bound, result string) string {
		before, rest, _ := strings.Cut(bound, "RESULT(")
		name, after, _ := strings.Cut(rest, ")")
		return before + strings.ReplaceAll(result, "x", name) + after
	}
	texts, lists, nested, maps := doubling("x + x"), doubling("[x] + [x]"), doubling("[x, x]"), doubling(`{"a": x, "b": x}`)
	concat := strings.ReplaceAll(doubling("x + x"), "data.s", "data.l")
	loop := func(depth int) string {
		s := "true"
		for i := range depth {
			s = fmt.Sprintf("data.l.all(i%d, %s)", i, s)
		}
		return s
	}
	return map[string]string{
		"eight nested loops":            loop(8),
		"text doubled 40 times":         use(texts, "x"),
		"size of text doubled":          use(texts, "size(x)"),
		"list doubled 40 times":         use(concat, "x"),
		"size of list doubled":          use(concat, "size(x)"),
		"list doubled and walked":       use(concat, "x.map(e, e)"),
		"list of lists":                 use(lists, "x"),
		"shared list written":           use(nested, "x"),
		"shared list compared":          use(nested, "x == x"),
		"shared list searched":          use(nested, "x in [x]"),
		"shared list formatted":         use(nested, `"%s".format([x])`),
		"shared list encoded":           use(nested, "json.encode(x)"),
		"shared list flattened":         use(nested, "x.flatten(50)"),
		"shared list in sets":           use(nested, "sets.contains(x, x)"),
		"shared list made distinct":     use(nested, "[x, x].distinct()"),
		"shared map written":            use(maps, "x"),
		"shared map compared":           use(maps, "x == x"),
		"shared map formatted":          use(maps, `"%s".format([x])`),
		"shared map turned":             use(maps, `x.transformMap(k, v, v)`),
		"replace by itself":             `data.big.replace("", data.big)`,
		"replace again and again":       `cel.bind(a, data.s.replace("a", data.s), cel.bind(b, a.replace("a", a), b.replace("a", b).replace("a", b)))`,
		"join of a long list":           `data.long.map(x, data.big).join(data.big)`,
		"format with many":              `data.l.map(x, "%s%s%s%s".format([data.big, data.big, data.big, data.big])).join()`,
		"split into nothing":            `data.l.map(x, data.big.split(""))`,
		"pattern with many states":      `data.l.all(x, data.big.matches("(a?){500}(a{1,500}|b)*$"))`,
		"pattern from data":             `data.l.all(x, data.big.matches(data.pattern))`,
		"regex.replace by itself":       `regex.replace(data.big, "a", data.big)`,
		"regex.extractAll on big":       `data.l.map(x, regex.extractAll(data.big, "(a?){30}b"))`,
		"search for long in long":       `data.l.map(x, data.big.indexOf(data.half))`,
		"last search for long in long":  `data.l.map(x, data.big.lastIndexOf(data.half))`,
		"distinct of a long list":       `data.long.distinct()`,
		"sets of long lists":            `sets.equivalent(data.long, data.long.map(x, x + 1))`,
		"long list into itself":         `data.long.all(x, data.long.all(y, y > 0 && x > 0))`,
		"list in list":                  `data.long.all(x, x in data.long)`,
		"adding to a list of the event": `data.long.all(x, size(data.long + [x]) > 0)`,
		"range of a billion":            `lists.range(1000000000)`,
		"ranges in ranges":              `lists.range(100000).map(x, lists.range(100000))`,
		"sorting in a loop":             `data.long.map(x, data.long.sort())`,
		"base64 in a loop":              `data.long.map(x, base64.encode(bytes(data.big)))`,
		"quotes in quotes":              `cel.bind(a, strings.quote(data.big), cel.bind(b, strings.quote(a), cel.bind(c, strings.quote(b), strings.quote(c) + strings.quote(c))))`,
		"reverse in a loop":             `data.long.all(x, data.big.reverse() != "")`,
		"size in a loop":                `data.long.all(x, size(data.big) > 0)`,
		"substring in a loop":           `data.long.map(x, data.big.substring(1))`,
		"compare in a loop":             `data.long.all(x, data.big == data.big + "a" || true)`,
		"event compared in a loop":      `data.long.all(x, data == data)`,
		"timestamps in a loop":          `data.long.all(x, time.getHours("America/New_York") >= 0)`,
		"conversion in a loop":          `data.long.all(x, string(bytes(data.big)) != "")`,
	}
}

func hostileRecord() string {
	big := strings.Repeat("a", 1<<18)
	long := strings.TrimSuffix(strings.Repeat("1,", 1<<17), ",")
	l := strings.TrimSuffix(strings.Repeat("1,", 100), ",")
	return fmt.Sprintf(`{"s":%q,"big":%q,"half":%q,"pattern":%q,"l":[%s],"long":[%s]}`,
		strings.Repeat("a", 1000), big, big[:1<<17]+"b", "(a|aa|aaa){50}$", l, long)
}

// F17: nested loops, https://github.com/cert-manager/approver-policy/issues/923;
// only loops check an interrupt, https://github.com/cel-expr/cel-go/issues/509;
// no interrupt without an option, https://github.com/temporalio/deputy/issues/153.
func TestProcess_endsEveryHostileExpressionInTimeAndMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds: left out with -short, which check does not set")
	}
	record := hostileRecord()
	for name, source := range hostile() {
		t.Run(name, func(t *testing.T) {
			p, err := New(Config{CEL: text(source), Timeout: time.Second})
			if err != nil {
				t.Logf("refused at load: %v", err)
				return
			}
			runtime.GC()
			debug.FreeOSMemory()
			before := heap()
			start := time.Now()
			e, err := p.Process(t.Context(), message(record))
			took, grown := time.Since(start), heap()-before
			switch code := fault.CodeOf(err); {
			case err == nil:
				t.Logf("%v, %d MiB allocated: %d bytes of output", took, grown>>20, e.Data.Len())
			case code == fault.TransformFailed || code == fault.TransformTimeout || code == fault.OutputTooLarge:
				t.Logf("%v, %d MiB allocated: %s: %v", took, grown>>20, code, err)
			default:
				t.Errorf("code %q: %v", code, err)
			}
			if err != nil && len(err.Error()) > 400 {
				t.Errorf("a message of %d bytes", len(err.Error()))
			}
			if took > patience() {
				t.Errorf("it took %v", took)
			}
			if live := peak(); live > 256<<20 {
				t.Errorf("the heap has %d MiB", live>>20)
			}
		})
	}
}

// patience is generous: on an idle machine each takes a second at most, which
// is the timeout; the race detector makes that ten.
func patience() time.Duration {
	if raced {
		return 2 * time.Minute
	}
	return 10 * time.Second
}

// heap is the total of all allocations.
func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// peak is the memory that the heap got from the system.
func peak() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapSys - m.HeapReleased
}
