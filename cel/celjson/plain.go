package celjson

import (
	"errors"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"github.com/lsm/fiso/common/lazyjson"
)

// ErrTooLarge says that a value exceeds its bound.
var ErrTooLarge = errors.New("a value is too large")

// Plain returns a value that contains no Number, for CEL's functions. It fails
// with ErrTooLarge if the value has more than limit elements and members. A
// part that is reached several times is counted each time: values that share
// parts can be exponentially larger than the memory they take.
func Plain(v ref.Val, limit int) (ref.Val, error) {
	switch v := v.(type) {
	case *Number:
		return v.Double, nil
	case *object:
		if !v.plain {
			return &object{v: v.v, plain: true}, nil
		}
	case *list:
		if !v.plain {
			return &list{v: v.v, plain: true}, nil
		}
	case *types.Optional:
		if !v.HasValue() {
			return v, nil
		}
		inner, err := Plain(v.GetValue(), limit)
		if err != nil || inner == v.GetValue() {
			return v, err
		}
		return types.OptionalOf(inner), nil
	case traits.Lister, traits.Mapper:
		n, numbers, err := count(v, limit)
		if n < 0 || err != nil || !numbers {
			return v, err
		}
		return rebuild(v), nil
	}
	return v, nil
}

// Units returns how many elements and members a value has, at all levels, but
// at most limit+1. A part of a document counts as one for each eight bytes.
func Units(v ref.Val, limit int) int {
	n, _, err := count(v, limit)
	if err != nil {
		return limit + 1
	}
	return n
}

// count counts the parts of a value, and reports whether it contains or may
// contain a Number.
func count(v ref.Val, limit int) (n int, numbers bool, err error) {
	w := walker{limit: limit}
	w.walk(v)
	if w.n > limit {
		return 0, false, ErrTooLarge
	}
	return w.n, w.numbers, nil
}

type walker struct {
	n, limit int
	numbers  bool
}

func (w *walker) walk(v ref.Val) {
	if w.n++; w.n > w.limit {
		return
	}
	switch v := v.(type) {
	case *Number:
		w.numbers = true
	case *object:
		w.document(v.v, v.plain)
	case *list:
		w.document(v.v, v.plain)
	case *types.Optional:
		if v.HasValue() {
			w.walk(v.GetValue())
		}
	case traits.Lister:
		for it := v.Iterator(); w.n <= w.limit && it.HasNext() == types.True; {
			w.walk(it.Next())
		}
	case traits.Mapper:
		for it := v.Iterator(); w.n <= w.limit && it.HasNext() == types.True; {
			w.walk(v.Get(it.Next()))
		}
	}
}

func (w *walker) document(v lazyjson.Value, plain bool) {
	w.n += len(v.Raw()) / 8
	w.numbers = w.numbers || !plain
}

// rebuild copies a value that was counted, with plain numbers.
func rebuild(v ref.Val) ref.Val {
	switch v := v.(type) {
	case *Number:
		return v.Double
	case *object:
		return &object{v: v.v, plain: true}
	case *list:
		return &list{v: v.v, plain: true}
	case *types.Optional:
		if v.HasValue() {
			return types.OptionalOf(rebuild(v.GetValue()))
		}
	case traits.Lister:
		var all []ref.Val
		for it := v.Iterator(); it.HasNext() == types.True; {
			all = append(all, rebuild(it.Next()))
		}
		return types.NewRefValList(types.DefaultTypeAdapter, all)
	case traits.Mapper:
		var keys, values []ref.Val
		for it := v.Iterator(); it.HasNext() == types.True; {
			key := it.Next()
			keys = append(keys, key)
			values = append(values, rebuild(v.Get(key)))
		}
		return NewMap(keys, values)
	}
	return v
}
