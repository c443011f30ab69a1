package celjson

import (
	"fmt"
	"reflect"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"github.com/lsm/fiso/common/lazyjson"
)

// object is a JSON object as a CEL map. It belongs to one evaluation and is not
// safe for concurrent use.
type object struct {
	v     lazyjson.Value
	plain bool
	keys  []ref.Val // each name once; nil until it is needed
}

var _ traits.Mapper = (*object)(nil)

// Find looks up a member. A key that is not a string is in no JSON object.
func (o *object) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		if types.IsUnknownOrError(key) {
			return key, false
		}
		return nil, false
	}
	v := o.v.Member(string(name))
	if v.Kind() == lazyjson.Absent {
		return nil, false
	}
	return of(v, o.plain), true
}

// Get returns a member, or an error if there is none.
func (o *object) Get(key ref.Val) ref.Val {
	v, found := o.Find(key)
	if !found {
		return types.ValOrErr(v, "no such key: %v", key)
	}
	return v
}

// Contains reports whether there is a member of that name.
func (o *object) Contains(key ref.Val) ref.Val {
	v, found := o.Find(key)
	if v != nil && types.IsUnknownOrError(v) {
		return v
	}
	return types.Bool(found)
}

// names returns the names of the members, each once, at the position of its
// last member.
func (o *object) names() []ref.Val {
	if o.keys != nil || o.v.Len() == 0 {
		return o.keys
	}
	o.keys = make([]ref.Val, 0, o.v.Len())
	seen := make(map[ref.Val]int, o.v.Len())
	repeated := 0
	for m := o.v.First(); m.Kind() != lazyjson.Absent; m = m.Next(o.v) {
		name := types.String(m.Name())
		if before, ok := seen[name]; ok {
			o.keys[before] = nil
			repeated++
		}
		seen[name] = len(o.keys)
		o.keys = append(o.keys, name)
	}
	if repeated > 0 {
		once := o.keys[:0]
		for _, key := range o.keys {
			if key != nil {
				once = append(once, key)
			}
		}
		o.keys = once
	}
	return o.keys
}

// Size is the number of names.
func (o *object) Size() ref.Val { return types.Int(len(o.names())) }

// IsZeroValue reports whether the object is empty.
func (o *object) IsZeroValue() bool { return o.v.Len() == 0 }

// Iterator visits the names.
func (o *object) Iterator() traits.Iterator { return &keyIterator{keys: o.names()} }

// Fold visits names and values until f returns false.
func (o *object) Fold(f traits.Folder) {
	all := len(o.names()) == o.v.Len()
	for m := o.v.First(); m.Kind() != lazyjson.Absent; m = m.Next(o.v) {
		name := m.Name()
		if !all && o.v.Member(name) != m {
			continue // not the last of its name
		}
		if !f.FoldEntry(types.String(name), of(m, o.plain)) {
			return
		}
	}
}

// Equal reports whether other is a map of equal members.
func (o *object) Equal(other ref.Val) ref.Val {
	om, ok := other.(traits.Mapper)
	if !ok || om.Size() != o.Size() {
		return types.False
	}
	equal := true
	o.Fold(folder(func(key, value any) bool {
		theirs, found := om.Find(key.(ref.Val))
		equal = found && types.Equal(value.(ref.Val), theirs) == types.True
		return equal
	}))
	return types.Bool(equal)
}

type folder func(key, value any) bool

// FoldEntry calls the function.
func (f folder) FoldEntry(key, value any) bool { return f(key, value) }

// ConvertToNative decodes the object.
func (o *object) ConvertToNative(t reflect.Type) (any, error) {
	all := make(map[ref.Val]ref.Val, o.v.Len())
	for m := o.v.First(); m.Kind() != lazyjson.Absent; m = m.Next(o.v) {
		all[types.String(m.Name())] = of(m, true)
	}
	return types.NewRefValMap(types.DefaultTypeAdapter, all).ConvertToNative(t)
}

// ConvertToType converts to a map only.
func (o *object) ConvertToType(t ref.Type) ref.Val { return convert(o, types.MapType, t) }

// Type is map.
func (o *object) Type() ref.Type { return types.MapType }

// Value is the object itself.
func (o *object) Value() any { return o }

// String shows no content.
func (o *object) String() string { return fmt.Sprintf("map of %d", o.v.Len()) }

// Map is a CEL map that keeps the order of its entries.
type Map struct {
	mapper
	keys []ref.Val
}

// mapper is what CEL needs of its maps, beside traits.Mapper. A map without one
// of these behaves differently: without IsZeroValue,
// optional.ofNonZeroValue({}) has a value.
type mapper interface {
	traits.Mapper
	traits.Foldable
	traits.Zeroer
}

var (
	_ mapper = (*Map)(nil)
	_ mapper = (*object)(nil)
)

// NewMap makes a map of keys and values, pair by pair. Of two equal keys the
// last one counts. It returns an error if CEL does not allow the type of a key:
// some types cannot be hashed.
func NewMap(keys, values []ref.Val) ref.Val {
	all := make(map[ref.Val]ref.Val, len(keys))
	once := make([]ref.Val, 0, len(keys))
	for i, key := range keys {
		if !isKey(key) {
			return types.NewErr("unsupported key type: %s", key.Type().TypeName())
		}
		if _, ok := all[key]; !ok {
			once = append(once, key)
		}
		all[key] = values[i]
	}
	return &Map{types.NewRefValMap(types.DefaultTypeAdapter, all).(mapper), once}
}

func isKey(v ref.Val) bool {
	switch v.(type) {
	case types.String, types.Int, types.Uint, types.Bool:
		return true
	}
	return false
}

// Find looks up an entry. A value that cannot be a key is in no map.
func (m *Map) Find(key ref.Val) (ref.Val, bool) {
	if _, double := key.(types.Double); !double && !isKey(key) {
		if types.IsUnknownOrError(key) {
			return key, false
		}
		return nil, false
	}
	return m.mapper.Find(key)
}

// Get returns the value of an entry, or an error if there is none.
func (m *Map) Get(key ref.Val) ref.Val {
	v, found := m.Find(key)
	if !found {
		return types.ValOrErr(v, "no such key: %v", key)
	}
	return v
}

// Contains reports whether there is an entry of that key.
func (m *Map) Contains(key ref.Val) ref.Val {
	v, found := m.Find(key)
	if v != nil && types.IsUnknownOrError(v) {
		return v
	}
	return types.Bool(found)
}

// Iterator visits the keys in their order.
func (m *Map) Iterator() traits.Iterator { return &keyIterator{keys: m.keys} }

// Fold visits keys and values in order until f returns false.
func (m *Map) Fold(f traits.Folder) {
	for _, key := range m.keys {
		if value, _ := m.mapper.Find(key); !f.FoldEntry(key, value) {
			return
		}
	}
}
