package config

import (
	"reflect"
	"strings"
)

// field holds the tags of a struct's field.
type field struct {
	index    []int
	key      string
	typ      reflect.Type
	def, doc string
	enum     []string
	required bool
	file     bool
	secret   bool // a part with credentials, see conceal.go
	open     bool // in such a part, but shown
	settings bool // a Raw with the settings of a connector: an unknown key may belong there
	blanks   bool // blanks around the text are kept
}

// fields returns the fields of a struct that a file can set, including those of inlined
// structs.
func fields(t reflect.Type) []field {
	var all []field
	for i := range t.NumField() {
		f := t.Field(i)
		key, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if options == "inline" {
			for _, inner := range fields(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				all = append(all, inner)
			}
			continue
		}
		if key == "" || key == "-" || !f.IsExported() {
			continue
		}
		out := field{
			index: []int{i}, key: key, typ: f.Type,
			def: f.Tag.Get("default"), doc: f.Tag.Get("doc"),
			required: f.Tag.Get("required") == "true",
			file:     f.Tag.Get("file") == "true",
			secret:   f.Tag.Get("secret") == "true",
			open:     f.Tag.Get("secret") == "false",
			settings: f.Tag.Get("settings") == "true",
			blanks:   f.Tag.Get("blanks") == "keep",
		}
		if e := f.Tag.Get("enum"); e != "" {
			out.enum = strings.Split(e, "|")
		}
		all = append(all, out)
	}
	return all
}

// nested returns the struct type of a field's keys, or nil if the field is not a mapping of
// known keys.
func nested(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || hasOwnRules(t) {
		return nil
	}
	return t
}
