package config

import (
	"fmt"
	"reflect"
)

// Defaults sets every zero field of *v that has a default tag, also in nested structs; nil
// pointers stay nil. It panics if a default tag does not parse, which is a programming error
// that a test of the package finds.
func Defaults(v any) {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		panic("config: Defaults needs a pointer")
	}
	setDefaults(p.Elem())
}

func setDefaults(v reflect.Value) {
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil():
		setDefaults(v.Elem())
	case v.Kind() == reflect.Struct && !hasOwnRules(v.Type()):
		for _, f := range fields(v.Type()) {
			fv := v.FieldByIndex(f.index)
			if f.def != "" && fv.IsZero() {
				if err := fromText(fv, f.def); err != nil {
					panic(fmt.Sprintf("config: default of %s.%s: %v", v.Type(), f.key, err))
				}
			}
			setDefaults(fv)
		}
	}
}

// fromText sets a value from the text of a default tag.
func fromText(v reflect.Value, text string) error {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		return fromText(v.Elem(), text)
	}
	d := &decoder{sharedState: &sharedState{options: defaultOptions(), src: newSource("", "")}}
	n := &node{kind: stringKind, text: text}
	if v.Type() == textType {
		v.Set(reflect.ValueOf(Text{Value: text}))
		return nil
	}
	if k := v.Kind(); k != reflect.String && !hasOwnRules(v.Type()) {
		root, faults, _ := parse(text)
		if len(faults) > 0 || root == nil {
			return fmt.Errorf("%q does not parse", text)
		}
		n = root
	}
	d.value(n, v, "")
	if len(d.errs) > 0 {
		return d.errs
	}
	return nil
}
