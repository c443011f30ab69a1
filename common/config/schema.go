package config

import (
	"reflect"
	"strings"
)

// Schema returns the JSON Schema (draft 2020-12) of v, a struct or a pointer to one, from its tags.
// It marshals to the same bytes every time. A Raw is an object with any keys: a caller that knows
// its type inserts the Schema of that.
func Schema(v any) map[string]any {
	s := schemaOf(structType(v), nil)
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	return s
}

// InterpolatedSchema is Schema of a part in which ${ENV} and ${file:/path} are replaced: a number, a
// duration or an enum value may then be such a text.
func InterpolatedSchema(v any) map[string]any {
	return orReference(Schema(v))
}

// orReference returns s with a reference allowed in place of each value.
func orReference(s object) object {
	if properties, ok := s["properties"].(object); ok {
		for name, p := range properties {
			properties[name] = orReference(p.(object))
		}
	}
	for _, inner := range [...]string{"items", "additionalProperties"} {
		if p, ok := s[inner].(object); ok {
			s[inner] = orReference(p)
		}
	}
	if forms, ok := s["anyOf"].([]any); ok {
		for i, form := range forms {
			forms[i] = orReference(form.(object))
		}
		return s
	}
	text := s["type"] == "string" && s["enum"] == nil && s["pattern"] == nil && s["format"] == nil
	if t := s["type"]; text || t == nil || t == "object" || t == "array" {
		return s
	}
	outer := object{"anyOf": []any{s, object{"type": "string", "pattern": `\$\{`}}}
	for _, about := range [...]string{"description", "default"} {
		if v, ok := s[about]; ok {
			outer[about] = v
			delete(s, about)
		}
	}
	return outer
}

func structType(v any) reflect.Type {
	t := reflect.TypeOf(v)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

const (
	durationPattern = `^(0|[+-]?([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+)$`
	sizePattern     = `^[0-9]+(\.[0-9]+)? *([KMG]iB|[kKMG]B|B)?$`
)

type object = map[string]any

// schemaOf returns the schema of a type. around are the enclosing structs: a struct in itself ends
// the recursion.
func schemaOf(t reflect.Type, around []reflect.Type) object {
	if s := schemaOfSpecial(t); s != nil {
		return s
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem(), around)
	case reflect.Struct:
		return schemaOfStruct(t, around)
	case reflect.Slice:
		list := object{"type": "array", "items": schemaOf(t.Elem(), around)}
		if nested(t.Elem()) != nil {
			return list
		}
		return object{"anyOf": []any{list, schemaOf(t.Elem(), around)}}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": schemaOf(t.Elem(), around)}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer", "minimum": 0}
	}
	return object{}
}

func schemaOfSpecial(t reflect.Type) object {
	code := object{"type": []string{"string", "number", "boolean"}, "pattern": `\S`}
	switch t {
	case secretType:
		return object{"anyOf": []any{object{"type": "string"}, secretRefSchema()}}
	case textType:
		return code
	case fieldsType:
		code["type"] = append(code["type"].([]string), "null")
		return object{"type": "object", "additionalProperties": code}
	case rawType:
		return object{"type": "object"}
	case bytesType:
		return object{"type": []string{"string", "integer"}, "pattern": sizePattern, "minimum": 0}
	case stringsType:
		text := object{"type": []string{"string", "number"}}
		return object{"anyOf": []any{object{"type": "array", "items": text}, text}}
	case durationType:
		return object{"type": []string{"string", "integer"}, "pattern": durationPattern, "minimum": 0, "maximum": 0}
	case timeType:
		return object{"type": "string", "format": "date-time"}
	}
	if hasOwnRules(t) {
		return object{"type": []string{"string", "number", "boolean"}}
	}
	return nil
}

func secretRefSchema() object {
	name := object{"type": "string"}
	ref := object{
		"type": "object", "additionalProperties": false, "required": []string{"name", "key"},
		"properties": object{"name": name, "key": name},
	}
	return object{
		"type": "object", "additionalProperties": false, "required": []string{"secretRef"},
		"properties": object{"secretRef": ref},
	}
}

func schemaOfStruct(t reflect.Type, around []reflect.Type) object {
	for _, outer := range around {
		if outer == t {
			return object{"type": "object"}
		}
	}
	around = append(around[:len(around):len(around)], t)
	properties := object{}
	var required []string
	for _, f := range fields(t) {
		p := schemaOf(f.typ, around)
		if f.doc != "" {
			p["description"] = f.doc
		}
		if f.def != "" {
			p["default"] = defaultValue(f)
		}
		if len(f.enum) > 0 {
			addEnum(p, f)
		}
		if f.required {
			required = append(required, f.key)
		}
		properties[f.key] = p
	}
	s := object{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// addEnum adds the allowed values to the text itself, or to the items of a list.
func addEnum(p object, f field) {
	if forms, ok := p["anyOf"].([]any); ok && f.typ != stringsType {
		for _, form := range forms {
			form, _ := form.(object)
			if items, ok := form["items"].(object); ok {
				form = items
			}
			form["enum"] = f.enum
		}
		return
	}
	if f.typ == stringsType {
		p["anyOf"] = []any{object{"type": "array", "items": object{"type": "string", "enum": f.enum}}, object{"type": "string"}}
		return
	}
	p["enum"] = f.enum
}

// defaultValue returns a default as a JSON value: a number is a number.
func defaultValue(f field) any {
	v := reflect.New(f.typ).Elem()
	if err := fromText(v, f.def); err != nil {
		panic("config: default of " + f.key + ": " + err.Error())
	}
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Type() == stringsType || !hasOwnRules(v.Type()) {
		return v.Interface()
	}
	return strings.TrimSpace(f.def)
}
