package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Table returns a Markdown table of the keys of v, a struct or a pointer to one: key, type, default and
// meaning, from its tags and in their order. Keys of nested structs are written as paths.
func Table(v any) string {
	var b strings.Builder
	b.WriteString("| key | type | default | meaning |\n|---|---|---|---|\n")
	rows(&b, structType(v), "", nil)
	return b.String()
}

func rows(b *strings.Builder, t reflect.Type, path string, around []reflect.Type) {
	for _, outer := range around {
		if outer == t {
			return
		}
	}
	around = append(around[:len(around):len(around)], t)
	for _, f := range fields(t) {
		inner, suffix := entries(f.typ)
		key := under(path, f.key) + suffix
		if inner != nil {
			if f.doc != "" || f.required {
				row(b, under(path, f.key), typeName(f.typ), f)
			}
			rows(b, inner, key, around)
			continue
		}
		row(b, key, typeName(f.typ), f)
	}
}

// entries returns the struct of the keys below a field, and the path from the field to them.
func entries(t reflect.Type) (reflect.Type, string) {
	switch {
	case nested(t) != nil:
		return nested(t), ""
	case hasOwnRules(t):
		return nil, ""
	case t.Kind() == reflect.Slice && nested(t.Elem()) != nil:
		return nested(t.Elem()), "[]"
	case t.Kind() == reflect.Map && nested(t.Elem()) != nil:
		return nested(t.Elem()), ".*"
	}
	return nil, ""
}

func row(b *strings.Builder, key, typ string, f field) {
	def := ""
	switch {
	case f.required:
		def = "**required**"
	case f.def != "":
		def = "`" + f.def + "`"
	}
	if len(f.enum) > 0 {
		values := "`" + strings.Join(f.enum, "`, `") + "`"
		if f.typ.Kind() == reflect.Slice {
			values = "list of " + values
		}
		typ = values
	}
	fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", cell(key), cell(typ), cell(def), cell(f.doc))
}

func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "|", `\|`), "\n", " ")
}

func typeName(t reflect.Type) string {
	switch t {
	case secretType:
		return "secret"
	case textType:
		return "CEL"
	case fieldsType:
		return "mapping of CEL"
	case rawType:
		return "mapping"
	case bytesType:
		return "size"
	case stringsType:
		return "list of strings"
	case durationType:
		return "duration"
	case timeType:
		return "time"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Slice:
		return "list of " + plural(typeName(t.Elem()))
	case reflect.Map:
		return "mapping of " + plural(typeName(t.Elem()))
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Struct:
		if !hasOwnRules(t) {
			return "mapping"
		}
	case reflect.Interface:
		return "any"
	}
	if strings.Contains(t.Kind().String(), "int") {
		return "integer"
	}
	return "string"
}

func plural(name string) string {
	switch first, rest, more := strings.Cut(name, " "); {
	case name == "CEL" || name == "any" || name == "true or false":
		return name
	case more:
		return first + "s " + rest
	}
	return name + "s"
}
