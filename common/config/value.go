package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"time"
)

var (
	secretType   = reflect.TypeFor[Secret]()
	textType     = reflect.TypeFor[Text]()
	rawType      = reflect.TypeFor[Raw]()
	fieldsType   = reflect.TypeFor[Fields]()
	bytesType    = reflect.TypeFor[Bytes]()
	stringsType  = reflect.TypeFor[Strings]()
	durationType = reflect.TypeFor[time.Duration]()
	timeType     = reflect.TypeFor[time.Time]()
	unmarshaler  = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// hasOwnRules reports whether a type has its own rules for decoding.
func hasOwnRules(t reflect.Type) bool {
	switch t {
	case secretType, textType, rawType, fieldsType, bytesType, stringsType, durationType, timeType:
		return true
	}
	return reflect.PointerTo(t).Implements(unmarshaler)
}

// value decodes n into v. A null leaves v unchanged.
func (d *decoder) value(n *node, v reflect.Value, path string) {
	if v.Type() == rawType {
		d.src.markUndecoded(n)
		v.Set(reflect.ValueOf(Raw{&raw{file: d.sharedState, node: n, at: n.at, path: path, scopes: d.scopes}}))
		return
	}
	if n.kind == null {
		return
	}
	if hasOwnRules(v.Type()) {
		d.special(n, v, path)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		setDefaults(v.Elem())
		d.value(n, v.Elem(), path)
	case reflect.Struct:
		d.structure(n, v, path)
	case reflect.Slice:
		d.slice(n, v, path)
	case reflect.Map:
		d.mapping(n, v, path)
	case reflect.Interface:
		v.Set(reflect.ValueOf(d.anyValue(n, path)))
	default:
		d.scalar(n, v, path)
	}
}

func (d *decoder) slice(n *node, v reflect.Value, path string) {
	elem := v.Type().Elem()
	if n.kind != sequence && (nested(elem) != nil || !n.scalar() && elem != secretType) {
		d.notAList(n, v, path)
		return
	}
	if n.kind != sequence { // a single item
		n = &node{kind: sequence, at: n.at, items: []*node{n}, size: n.size, height: n.height}
	}
	list := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		at := fmt.Sprintf("%s[%d]", path, i)
		if item.kind == null {
			d.wrongType(item, at, "a value", plainSentence("remove the empty item, or write its value"))
			continue
		}
		setDefaults(list.Index(i))
		d.value(item, list.Index(i), at)
	}
	v.Set(list)
}

// notAList reports a value in place of a list. A list of structs then has one item, so that Validate
// does not report it as missing: a mapping with a key of the struct is taken for that item.
func (d *decoder) notAList(n *node, v reflect.Value, path string) {
	elem := v.Type().Elem()
	hint := "write it in [ ]"
	if n.kind == mapping {
		hint = "write - before it"
	}
	d.wrongType(n, path, "a list", plainSentence(hint))
	inner := nested(elem)
	isItem := inner != nil && slices.ContainsFunc(n.pairs, func(p pair) bool { return fieldOf(inner, p.key.text) != nil })
	if !isItem && mayHoldCredential(elem) {
		d.hideAll(n)
	}
	if inner == nil {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	setDefaults(v.Index(0))
	if isItem {
		d.value(n, v.Index(0), path+"[0]")
	}
}

func (d *decoder) mapping(n *node, v reflect.Value, path string) {
	if n.kind != mapping {
		d.wrongType(n, path, "a mapping", sentence{})
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(n.pairs))
	for i, p := range n.pairs {
		if d.reportSplitText(n, i, path) {
			continue
		}
		item := reflect.New(v.Type().Elem()).Elem()
		setDefaults(item)
		d.value(p.value, item, under(path, p.key.text))
		out.SetMapIndex(reflect.ValueOf(p.key.text).Convert(v.Type().Key()), item)
	}
	v.Set(out)
}

// anyValue decodes a value of any type: string, int64, float64, bool, []any, map[string]any or nil.
func (d *decoder) anyValue(n *node, path string) any {
	switch n.kind {
	case mapping:
		out := make(map[string]any, len(n.pairs))
		for _, p := range n.pairs {
			out[p.key.text] = d.anyValue(p.value, under(path, p.key.text))
		}
		return out
	case sequence:
		out := make([]any, len(n.items))
		for i, item := range n.items {
			out[i] = d.anyValue(item, fmt.Sprintf("%s[%d]", path, i))
		}
		return out
	case stringKind:
		text, _ := d.expand(n, path)
		return text
	case intKind:
		return anyScalar[int64](d, n, path)
	case floatKind:
		return anyScalar[float64](d, n, path)
	case boolKind:
		return anyScalar[bool](d, n, path)
	}
	return nil
}

func anyScalar[T any](d *decoder, n *node, path string) T {
	var out T
	d.scalar(n, reflect.ValueOf(&out).Elem(), path)
	return out
}
