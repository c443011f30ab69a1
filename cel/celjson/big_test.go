package celjson

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// U8: two identifiers of more than 64 bits are not equal, and keep their digits.
func TestBig_isWhatIsWritten(t *testing.T) {
	const a, b = Big("12345678901234567890123"), Big("12345678901234567890124")
	if a.Equal(b) != types.False || a.Equal(Big("12345678901234567890123")) != types.True || types.Equal(a, types.Double(12345678901234567890123)) != types.False {
		t.Error("the digits do not decide what is equal")
	}
	if got := a.ConvertToType(types.StringType); got != types.String(a) {
		t.Errorf("as text: %v", got)
	}
	if got := a.ConvertToType(types.DoubleType); got != types.Double(1.2345678901234568e22) {
		t.Errorf("as a double: %v", got)
	}
	if got := a.ConvertToType(types.TypeType); got != ref.Val(BigType) || a.Type() != ref.Type(BigType) || a.ConvertToType(BigType) != a || a.Value() != string(a) {
		t.Errorf("of type %v", got)
	}
	for _, n := range []Big{"1e999", Big("1" + strings.Repeat("0", 400))} {
		if got := n.ConvertToType(types.DoubleType); !types.IsError(got) {
			t.Errorf("%.10s as a double: %v", n, got)
		}
	}
	if got := a.ConvertToType(types.IntType); !types.IsError(got) {
		t.Errorf("as an int: %v", got)
	}
	if got, err := a.ConvertToNative(reflect.TypeFor[string]()); got != string(a) || err != nil {
		t.Errorf("native: %v, %v", got, err)
	}
	if _, err := a.ConvertToNative(reflect.TypeFor[int]()); err == nil {
		t.Error("an int holds it")
	}
	if out, err := Append(nil, types.NewRefValList(types.DefaultTypeAdapter, []ref.Val{a, Big("1e999")}), 100); string(out) != "["+string(a)+",1e999]" || err != nil {
		t.Errorf("written: %s, %v", out, err)
	}
}

func TestBig_isOrderedByValue(t *testing.T) {
	tooLong := Big("1" + strings.Repeat("0", 400))
	for name, row := range map[string]struct {
		a    Big
		b    ref.Val
		want ref.Val
	}{
		"last digit":          {"12345678901234567890123", Big("12345678901234567890124"), types.Int(-1)},
		"the same":            {"12345678901234567890123", Big("12345678901234567890123"), types.Int(0)},
		"longer":              {"123456789012345678901234", Big("92345678901234567890123"), types.Int(1)},
		"negative, longer":    {"-123456789012345678901234", Big("-92345678901234567890123"), types.Int(-1)},
		"signs":               {"-12345678901234567890123", Big("12345678901234567890123"), types.Int(-1)},
		"beyond every int":    {"9223372036854775808000", types.Int(math.MaxInt64), types.Int(1)},
		"below every int":     {"-9223372036854775809", types.Int(math.MinInt64), types.Int(-1)},
		"beyond every uint":   {"18446744073709551616", types.Uint(math.MaxUint64), types.Int(1)},
		"a smaller double":    {"12345678901234567890123", types.Double(1), types.Int(1)},
		"a larger double":     {"12345678901234567890123", types.Double(1e30), types.Int(-1)},
		"the double itself":   {"18446744073709551616", types.Double(1 << 64), types.Int(0)},
		"beside the double":   {"18446744073709551617", types.Double(1 << 64), types.Int(1)},
		"beyond every double": {"1e999", types.Double(math.MaxFloat64), types.Int(1)},
		"less than infinity":  {"1e999", types.Double(math.Inf(1)), types.Int(-1)},
		"more than -infinity": {"-1e999", types.Double(math.Inf(-1)), types.Int(1)},
		"long and short":      {tooLong, Big("12345678901234567890123"), types.Int(1)},
		"decimal and integer": {"-1e999", Big("12345678901234567890123"), types.Int(-1)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := row.a.Compare(row.b); got != row.want {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
	for _, other := range []ref.Val{Big("1e998"), types.Double(math.NaN()), types.String("1"), types.NewErr("x")} {
		if got := Big("1e999").Compare(other); !types.IsError(got) {
			t.Errorf("compared with %v: %v", other, got)
		}
	}
}

// U8: a map literal without entries is a zero value, as CEL's own maps are.
func TestMap_isWhatCELsOwnMapsAre(t *testing.T) {
	empty, one := NewMap(nil, nil).(*Map), NewMap([]ref.Val{types.String("b"), types.String("a")}, []ref.Val{types.Int(1), types.Int(2)}).(*Map)
	if !empty.IsZeroValue() || one.IsZeroValue() {
		t.Error("what is empty and what is not")
	}
	var seen []any
	one.Fold(folder(func(key, value any) bool { seen = append(seen, key, value); return len(seen) < 4 }))
	if !reflect.DeepEqual(seen, []any{types.String("b"), types.Int(1), types.String("a"), types.Int(2)}) {
		t.Errorf("folded %v", seen)
	}
	failed := types.NewErr("x")
	for _, key := range []ref.Val{types.Bytes("a"), types.NullValue, types.NewRefValList(types.DefaultTypeAdapter, nil), failed} {
		v, found := one.Find(key)
		if found || (key == failed) != (v == failed) || !types.IsError(one.Get(key)) {
			t.Errorf("%v: %v, %v", key, v, found)
		}
		if in := one.Contains(key); key == failed && in != failed || key != failed && in != types.False {
			t.Errorf("contains %v: %v", key, in)
		}
		if made := NewMap([]ref.Val{key}, []ref.Val{types.True}); !types.IsError(made) {
			t.Errorf("a map with the key %v", key)
		}
	}
	if v := NewMap([]ref.Val{types.Int(1)}, []ref.Val{types.True}).(*Map).Get(types.Double(1)); v != types.True {
		t.Errorf("1.0 is %v", v)
	}
}
