package config

import (
	"reflect"
	"strings"
)

// field is what the tags of a struct's field say.
type field struct {
	index    []int
	key      string
	typ      reflect.Type
	def, doc string
	enum     []string
	required bool
	file     bool
	secret   bool // a part that holds credentials, see conceal.go
	open     bool // of such a part, but shown
	blanks   bool // blanks around the text are kept
}

// fields are the fields of a struct that a file can set, those of inlined
// structs included.
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
			blanks:   f.Tag.Get("blanks") == "keep",
		}
		if e := f.Tag.Get("enum"); e != "" {
			out.enum = strings.Split(e, "|")
		}
		all = append(all, out)
	}
	return all
}

// nested is the struct type that a field's keys belong to, nil when it is no
// mapping of known keys.
func nested(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || hasOwnRules(t) {
		return nil
	}
	return t
}
