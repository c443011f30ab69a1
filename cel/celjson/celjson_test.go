package celjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"github.com/lsm/fiso/common/lazyjson"
)

func parse(t testing.TB, doc string) ref.Val {
	t.Helper()
	var d lazyjson.Doc
	if err := d.Parse([]byte(doc)); err != nil {
		t.Fatal(err)
	}
	return Of(d.Root())
}

func native(t testing.TB, doc string) ref.Val {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(doc), &v); err != nil {
		t.Fatal(err)
	}
	return types.DefaultTypeAdapter.NativeToValue(v)
}

func TestOf_givesEachKindItsType(t *testing.T) {
	for doc, want := range map[string]ref.Val{
		`null`: types.NullValue, `true`: types.True, `false`: types.False, `"é\n"`: types.String("é\n"), `7`: types.Int(7), `-9223372036854775808`: types.Int(math.MinInt64),
		`9223372036854775808`: types.Uint(1 << 63), `18446744073709551615`: types.Uint(math.MaxUint64),
	} {
		if got := parse(t, doc); got != want {
			t.Errorf("%s: got %T %v", doc, got, got)
		}
	}
	for doc, want := range map[string]float64{`1.50`: 1.5, `-0`: 0, `1e308`: 1e308} {
		n, ok := parse(t, doc).(*Number)
		if !ok || float64(n.Double) != want || string(n.Raw()) != doc || n.Type() != types.DoubleType {
			t.Errorf("%s: got %v", doc, n)
		}
	}
	for _, doc := range []string{`18446744073709551616`, `-9223372036854775809`, `1e999`, `-1E999`} {
		if got := parse(t, doc); got != Big(doc) {
			t.Errorf("%s: got %T %v", doc, got, got)
		}
	}
	if !types.IsError(Of(lazyjson.Value{})) {
		t.Error("nothing is something")
	}
}

func TestList_isWhatADecodedListIs(t *testing.T) {
	const doc = `[1,"a",null,[2],{"b":3},true,1.5,1,2,3,4,5,6,7,8,9,10,11]`
	l, want := parse(t, doc).(traits.Lister), native(t, doc).(traits.Lister)
	if l.Equal(want) != types.True || want.Equal(plain(t, l)) != types.True || l.Size() != want.Size() || l.Type() != types.ListType || l.Value() != any(l) {
		t.Error("the lists differ")
	}
	for _, order := range [][]int{{0, 1, 2, 1, 17, 3}, {5, 5, 6, 0}, {-1, 18}} {
		l := parse(t, doc).(traits.Lister)
		for _, i := range order {
			got, want := l.Get(types.Int(i)), want.Get(types.Int(i))
			if types.IsError(got) != types.IsError(want) || !types.IsError(got) && types.Equal(plain(t, got), want) != types.True {
				t.Errorf("element %d of %v: %v, want %v", i, order, got, want)
			}
		}
	}
	if !types.IsError(l.Get(types.String("x"))) || !types.IsError(l.Add(types.Int(1))) {
		t.Error("a list takes what is no index, or no list")
	}
	for elem, in := range map[ref.Val]ref.Val{types.Double(1.5): types.True, types.Int(99): types.False, types.String("a"): types.True} {
		if l.Contains(elem) != in {
			t.Errorf("contains %v: %v", elem, l.Contains(elem))
		}
	}
	if failed := types.NewErr("x"); l.Contains(failed) != failed {
		t.Error("an error is lost")
	}
	sum := l.Add(want).(traits.Lister)
	if sum.Size() != types.Int(36) || types.Equal(sum.Get(types.Int(19)), types.String("a")) != types.True {
		t.Errorf("the sum has %v", sum.Size())
	}
	for _, other := range []ref.Val{types.Int(1), native(t, `[1]`), native(t, strings.Replace(doc, "11", "12", 1))} {
		if l.Equal(other) != types.False {
			t.Errorf("equal to %v", other)
		}
	}
	if parse(t, `[]`).(traits.Zeroer).IsZeroValue() != true || l.(traits.Zeroer).IsZeroValue() {
		t.Error("what is zero")
	}
	checkConversions(t, l, types.ListType, "list of 18")
	got, err := l.ConvertToNative(reflect.TypeFor[[]any]())
	if err != nil || len(got.([]any)) != 18 {
		t.Errorf("%v, %v", got, err)
	}
}

func checkConversions(t *testing.T, v ref.Val, own *types.Type, text string) {
	t.Helper()
	if v.ConvertToType(own) != v || v.ConvertToType(types.TypeType) != ref.Val(own) || !types.IsError(v.ConvertToType(types.IntType)) {
		t.Error("it converts to what it is not")
	}
	if s := v.(interface{ String() string }).String(); s != text {
		t.Errorf("it prints as %s", s)
	}
}

func plain(t *testing.T, v ref.Val) ref.Val {
	t.Helper()
	p, err := Plain(v, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestObject_isWhatADecodedMapIs(t *testing.T) {
	const doc = `{"a":1,"b":{"c":[1.5]},"a\u0062":"x","a":2}`
	o, want := parse(t, doc).(traits.Mapper), native(t, doc).(traits.Mapper)
	if o.Equal(want) != types.True || want.Equal(plain(t, o)) != types.True || o.Size() != types.Int(3) || o.Type() != types.MapType || o.Value() != any(o) {
		t.Error("the maps differ")
	}
	if got := o.Get(types.String("a")); got != types.Int(2) {
		t.Errorf("a is %v", got)
	}
	if !types.IsError(o.Get(types.String("x"))) || o.Contains(types.String("ab")) != types.True || o.Contains(types.Int(1)) != types.False {
		t.Error("what it contains")
	}
	failed := types.NewErr("x")
	if v, found := o.Find(failed); v != failed || found || o.Contains(failed) != failed {
		t.Error("an error is lost")
	}
	var names []string
	for it := o.Iterator(); it.HasNext() == types.True; {
		names = append(names, string(it.Next().(types.String)))
	}
	if got := strings.Join(names, ","); got != "b,ab,a" {
		t.Errorf("names are %s", got)
	}
	folded := 0
	o.(traits.Foldable).Fold(folder(func(key, value any) bool { folded++; return folded < 2 }))
	if folded != 2 {
		t.Errorf("folded %d", folded)
	}
	for _, other := range []ref.Val{types.Int(1), native(t, `{"a":1}`), native(t, `{"a":3,"b":{"c":[1.5]},"ab":"x"}`), native(t, `{"z":2,"b":{"c":[1.5]},"ab":"x"}`)} {
		if o.Equal(other) != types.False {
			t.Errorf("equal to %v", other)
		}
	}
	if !parse(t, `{}`).(traits.Zeroer).IsZeroValue() || o.(traits.Zeroer).IsZeroValue() || parse(t, `{}`).(traits.Mapper).Size() != types.Int(0) {
		t.Error("what is zero")
	}
	checkConversions(t, o, types.MapType, "map of 4")
	got, err := o.ConvertToNative(reflect.TypeFor[map[string]any]())
	if err != nil || len(got.(map[string]any)) != 3 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestIterator_endsAndIsNoValue(t *testing.T) {
	for _, it := range []traits.Iterator{parse(t, `[1]`).(traits.Lister).Iterator(), parse(t, `{"a":1}`).(traits.Mapper).Iterator()} {
		if it.Next() == nil || it.HasNext() != types.False || it.Next() != nil {
			t.Error("it does not end")
		}
		if _, err := it.ConvertToNative(nil); err == nil || !types.IsError(it.ConvertToType(types.IntType)) || it.Equal(it) != types.False || it.Type() != types.IteratorType || it.Value() != nil {
			t.Error("it is a value")
		}
	}
	n := 0
	parse(t, `[1,2,3]`).(traits.Foldable).Fold(folder(func(key, value any) bool { n++; return n < 2 }))
	if n != 2 {
		t.Errorf("folded %d", n)
	}
}

func TestPlain_leavesNoNumberAnywhere(t *testing.T) {
	number := parse(t, `1.50`)
	made := NewMap([]ref.Val{types.String("a"), types.String("b")}, []ref.Val{
		types.NewRefValList(types.DefaultTypeAdapter, []ref.Val{number, parse(t, `{"x":1.0}`), parse(t, `[1.0]`), types.String("s")}), types.OptionalOf(number),
	})
	for name, v := range map[string]ref.Val{"number": number, "list": parse(t, `[1.5]`), "object": parse(t, `{"a":[1.5]}`), "made": made, "optional": types.OptionalOf(number), "none": types.OptionalNone} {
		p := plain(t, v)
		if holdsNumber(p) {
			t.Errorf("%s holds a Number: %v", name, p)
		}
		if again := plain(t, p); again != p {
			t.Errorf("%s is made plain twice", name)
		}
	}
	if _, err := Plain(made, 3); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	if _, err := Plain(types.OptionalOf(made), 3); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	if n := Units(made, 100); n != 9 {
		t.Errorf("%d units", n)
	}
	if n := Units(made, 3); n != 4 {
		t.Errorf("%d units", n)
	}
	if n := Units(types.OptionalNone, 3); n != 1 {
		t.Errorf("%d units", n)
	}
}

func holdsNumber(v ref.Val) bool {
	switch v := v.(type) {
	case *Number:
		return true
	case *types.Optional:
		return v.HasValue() && holdsNumber(v.GetValue())
	case traits.Lister:
		for it := v.Iterator(); it.HasNext() == types.True; {
			if holdsNumber(it.Next()) {
				return true
			}
		}
	case traits.Mapper:
		for it := v.Iterator(); it.HasNext() == types.True; {
			if holdsNumber(v.Get(it.Next())) {
				return true
			}
		}
	}
	return false
}

func TestAppend_writesEveryValueThatJSONHas(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 600, time.FixedZone("x", 3600))
	list := func(v ...ref.Val) ref.Val { return types.NewRefValList(types.DefaultTypeAdapter, v) }
	for want, v := range map[string]ref.Val{
		`"a\"\\\n\r\t\u0001é` + "\ufffd" + `"`: types.String("a\"\\\n\r\t\x01é\xff"),
		`-7`:                                   types.Int(-7), `7`: types.Uint(7), `true`: types.True, `null`: types.NullValue, `1.50`: parse(t, `1.50`),
		`0.1`: types.Double(0.1), `1e+21`: types.Double(1e21), `1e-07`: types.Double(1e-7), `0`: types.Double(0), `100`: types.Double(100),
		`{"a" : 1}`: parse(t, ` {"a" : 1} `), `[ 1]`: parse(t, `[ 1]`), `"2026-01-02T02:04:05.0000006Z"`: types.Timestamp{Time: at}, `"-1.5s"`: types.Duration{Duration: -1500 * time.Millisecond},
		`"AP8="`: types.Bytes{0, 255}, `[1,[]]`: list(types.Int(1), list()),
		`{"z":1,"a":2}`:   NewMap([]ref.Val{types.String("z"), types.String("a"), types.String("z")}, []ref.Val{types.Int(9), types.Int(2), types.Int(1)}),
		`{"a":1,"b":[2]}`: types.DefaultTypeAdapter.NativeToValue(map[string]any{"b": []int{2}, "a": 1}),
		`{"1":"x"}`:       NewMap([]ref.Val{types.Int(1)}, []ref.Val{types.String("x")}), `{"2":1}`: NewMap([]ref.Val{types.Uint(2)}, []ref.Val{types.Int(1)}),
		`{"true":1}`: NewMap([]ref.Val{types.True}, []ref.Val{types.Int(1)}),
	} {
		out, err := Append([]byte("x"), v, 1000)
		if err != nil || string(out) != "x"+want {
			t.Errorf("got %s, %v; want %s", out, err, want)
		}
		for limit := range len(want) {
			if out, err := Append(nil, v, limit); !errors.Is(err, ErrOutput) || len(out) > limit+40 {
				t.Errorf("%s within %d bytes: %v, %d", want, limit, err, len(out))
			}
		}
		if _, err := Append(nil, v, len(want)); err != nil {
			t.Errorf("%s within its own size: %v", want, err)
		}
	}
	for want, v := range map[string]ref.Val{
		"JSON cannot represent NaN": types.Double(math.NaN()), "JSON cannot represent -Inf": types.Double(math.Inf(-1)),
		"JSON cannot represent a value of type type":          types.IntType,
		"JSON cannot represent a value of type optional_type": list(types.OptionalNone),
		"JSON cannot represent a map key of type double":      types.NewRefValMap(types.DefaultTypeAdapter, map[ref.Val]ref.Val{types.Double(1): types.Int(1)}),
		"JSON cannot represent a value of type error":         NewMap([]ref.Val{types.Int(1)}, []ref.Val{types.NewErr("x")}),
	} {
		if _, err := Append(nil, v, 1000); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("plain")
	f.Add("\x00\x1f\"\\\xff\u2028é")
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		if err := json.Unmarshal(AppendString(nil, s), &back); err != nil || back != string([]rune(s)) {
			t.Errorf("%q came back as %q, %v", s, back, err)
		}
	})
}

// FuzzAppend: a document that is converted to CEL values is written unchanged in
// three ways: as it is, with plain numbers, and from the values that CEL makes of the
// result of encoding/json.
func FuzzAppend(f *testing.F) {
	for _, doc := range []string{`null`, `[1,1.10,-0,1e400,"\u00e9\ud800",{"a":{},"a":[]}]`, `{"b":18446744073709551615,"a":-9223372036854775808}`, `"<>&\u2028"`, `{"":0.1}`} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var d lazyjson.Doc
		if d.Parse(data) != nil {
			return
		}
		v := Of(d.Root())
		out, err := Append(nil, v, 6*len(data)+8) // an invalid byte becomes three bytes, a control character six
		if err != nil || !reflect.DeepEqual(exactly(t, out), exactly(t, data)) {
			t.Fatalf("%q became %q, %v", data, out, err)
		}
		var decoded any
		if json.Unmarshal(data, &decoded) != nil {
			return // a number beyond a double's range
		}
		made, err := Append(nil, types.DefaultTypeAdapter.NativeToValue(decoded), 8*len(data)+64)
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		var again any
		if err := json.Unmarshal(made, &again); err != nil || !reflect.DeepEqual(again, decoded) {
			t.Fatalf("%q became %q, %v", data, made, err)
		}
		if n := Units(v, len(data)); n > len(data) {
			t.Errorf("%q has %d parts", data, n)
		}
		simple, err := Plain(v, len(data)+1)
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if out, err = Append(nil, simple, 32*len(data)+64); err != nil || json.Unmarshal(out, &again) != nil || !reflect.DeepEqual(again, decoded) {
			t.Fatalf("%q, made plain, became %q, %v", data, out, err)
		}
	})
}

// exactly decodes a document, and keeps the digits of its numbers.
func exactly(t *testing.T, data []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	return v
}

func TestAppendTime_writesWhatTheTimePackageDoes(t *testing.T) {
	for _, at := range []time.Time{
		{}, time.Unix(0, 0), time.Date(2026, 12, 31, 23, 59, 59, 999_999_999, time.FixedZone("x", -3600)), time.Date(2024, 2, 29, 1, 2, 3, 1, time.UTC),
		time.Date(9999, 12, 31, 0, 0, 0, 100_000_000, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(7, 1, 1, 0, 0, 0, 120, time.UTC),
	} {
		if got, want := string(AppendTime(nil, at)), `"`+at.UTC().Format(time.RFC3339Nano)+`"`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func BenchmarkAppendTime(b *testing.B) {
	var out []byte
	at := time.Date(2026, 3, 1, 12, 0, 0, 500_000_000, time.UTC)
	for b.Loop() {
		out = AppendTime(out[:0], at)
	}
}
