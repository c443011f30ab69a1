package celjson

import (
	"fmt"
	"reflect"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"github.com/lsm/fiso/common/lazyjson"
)

// list is a JSON list as a CEL list. It belongs to one evaluation and is not
// safe for concurrent use: it keeps the element that was read last, so that
// reading the elements in order does not start at the beginning each time, and
// it indexes a long list once it is read in another order.
type list struct {
	v     lazyjson.Value
	plain bool
	at    int // the index of last, if last is set
	last  lazyjson.Value
	all   []lazyjson.Value
}

var _ traits.Lister = (*list)(nil)

// fewElements is the length up to which a list is not indexed.
const fewElements = 16

func (l *list) element(i int) lazyjson.Value {
	known := l.last.Kind() != lazyjson.Absent
	switch {
	case l.all != nil:
		return l.all[i]
	case known && i == l.at:
	case known && i == l.at+1:
		l.last = l.last.Next(l.v)
	case i == 0 || l.v.Len() <= fewElements:
		l.last = l.v.Index(i)
	default:
		l.all = make([]lazyjson.Value, 0, l.v.Len())
		for e := l.v.First(); e.Kind() != lazyjson.Absent; e = e.Next(l.v) {
			l.all = append(l.all, e)
		}
		return l.all[i]
	}
	l.at = i
	return l.last
}

// Get returns the element at an index.
func (l *list) Get(index ref.Val) ref.Val {
	i, err := types.IndexOrError(index)
	if err != nil {
		return types.ValOrErr(index, "%v", err)
	}
	if i < 0 || i >= l.v.Len() {
		return types.NewErr("index out of bounds: %d", i)
	}
	return of(l.element(i), l.plain)
}

// Size is the number of elements.
func (l *list) Size() ref.Val { return types.Int(l.v.Len()) }

// IsZeroValue reports whether the list is empty.
func (l *list) IsZeroValue() bool { return l.v.Len() == 0 }

// Add returns a list of the elements of both lists. It copies them.
func (l *list) Add(other ref.Val) ref.Val {
	tail, ok := other.(traits.Lister)
	if !ok {
		return types.MaybeNoSuchOverloadErr(other)
	}
	all := make([]ref.Val, 0, l.v.Len()+int(tail.Size().(types.Int)))
	for e := l.v.First(); e.Kind() != lazyjson.Absent; e = e.Next(l.v) {
		all = append(all, of(e, l.plain))
	}
	for it := tail.Iterator(); it.HasNext() == types.True; {
		all = append(all, it.Next())
	}
	return types.NewRefValList(types.DefaultTypeAdapter, all)
}

// Contains reports whether an element equals elem.
func (l *list) Contains(elem ref.Val) ref.Val {
	if types.IsUnknownOrError(elem) {
		return elem
	}
	for e := l.v.First(); e.Kind() != lazyjson.Absent; e = e.Next(l.v) {
		if types.Equal(elem, of(e, true)) == types.True {
			return types.True
		}
	}
	return types.False
}

// Equal reports whether other is a list of equal elements.
func (l *list) Equal(other ref.Val) ref.Val {
	o, ok := other.(traits.Lister)
	if !ok || o.Size() != l.Size() {
		return types.False
	}
	i := types.Int(0)
	for e := l.v.First(); e.Kind() != lazyjson.Absent; e = e.Next(l.v) {
		if types.Equal(of(e, true), o.Get(i)) != types.True {
			return types.False
		}
		i++
	}
	return types.True
}

// Iterator visits the elements in order.
func (l *list) Iterator() traits.Iterator {
	return &iterator{next: l.v.First(), in: l.v, value: func(v lazyjson.Value) ref.Val { return of(v, l.plain) }}
}

// Fold visits the elements with their indexes until f returns false.
func (l *list) Fold(f traits.Folder) {
	i := types.Int(0)
	for e := l.v.First(); e.Kind() != lazyjson.Absent && f.FoldEntry(i, of(e, l.plain)); e = e.Next(l.v) {
		i++
	}
}

// ConvertToNative decodes the list.
func (l *list) ConvertToNative(t reflect.Type) (any, error) {
	all := make([]ref.Val, 0, l.v.Len())
	for e := l.v.First(); e.Kind() != lazyjson.Absent; e = e.Next(l.v) {
		all = append(all, of(e, true))
	}
	return types.NewRefValList(types.DefaultTypeAdapter, all).ConvertToNative(t)
}

// ConvertToType converts to a list only.
func (l *list) ConvertToType(t ref.Type) ref.Val { return convert(l, types.ListType, t) }

// Type is list.
func (l *list) Type() ref.Type { return types.ListType }

// Value is the list itself.
func (l *list) Value() any { return l }

// String shows no content.
func (l *list) String() string { return fmt.Sprintf("list of %d", l.v.Len()) }

func convert(v ref.Val, own, to ref.Type) ref.Val {
	switch to {
	case own:
		return v
	case types.TypeType:
		return own.(ref.Val)
	}
	return types.NewErr("type conversion error from '%s' to '%s'", own, to)
}

// iterator iterates over the children of a container.
type iterator struct {
	next, in lazyjson.Value
	value    func(lazyjson.Value) ref.Val
	sentinel
}

// HasNext reports whether there is one more.
func (it *iterator) HasNext() ref.Val { return types.Bool(it.next.Kind() != lazyjson.Absent) }

// Next is the next one, or nil after the last.
func (it *iterator) Next() ref.Val {
	if it.next.Kind() == lazyjson.Absent {
		return nil
	}
	v := it.value(it.next)
	it.next = it.next.Next(it.in)
	return v
}

// keyIterator iterates over the keys of a map.
type keyIterator struct {
	keys []ref.Val
	sentinel
}

// HasNext reports whether there is one more.
func (it *keyIterator) HasNext() ref.Val { return types.Bool(len(it.keys) > 0) }

// Next is the next one, or nil after the last.
func (it *keyIterator) Next() ref.Val {
	if len(it.keys) == 0 {
		return nil
	}
	key := it.keys[0]
	it.keys = it.keys[1:]
	return key
}

// sentinel makes an iterator a CEL value, which cel-go requires and never uses.
type sentinel struct{}

func (sentinel) ConvertToNative(reflect.Type) (any, error) {
	return nil, fmt.Errorf("an iterator has no native form")
}
func (sentinel) ConvertToType(ref.Type) ref.Val { return types.NewErr("an iterator has no type") }
func (sentinel) Equal(ref.Val) ref.Val          { return types.False }
func (sentinel) Type() ref.Type                 { return types.IteratorType }
func (sentinel) Value() any                     { return nil }
