package config

import (
	"reflect"
	"slices"
	"strings"
)

// Files returns the files that v, a struct or a pointer to one, refers to, each once and in
// order: those of secrets, of fields tagged file:"true", and of ${file:…} and secretRef in its
// Raw parts. Watch them.
func Files(v any) []string {
	var files []string
	collect(reflect.ValueOf(v), &files)
	slices.Sort(files)
	return slices.Compact(files)
}

func collect(v reflect.Value, files *[]string) {
	if !v.IsValid() {
		return
	}
	switch v.Type() {
	case secretType:
		*files = append(*files, v.Interface().(Secret).Files()...)
		return
	case rawType:
		if r := v.Interface().(Raw); !r.IsZero() {
			*files = append(*files, r.part.files()...)
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		collect(v.Elem(), files)
	case reflect.Slice:
		for i := range v.Len() {
			collect(v.Index(i), files)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			collect(v.MapIndex(key), files)
		}
	case reflect.Struct:
		if hasOwnRules(v.Type()) {
			return
		}
		for _, f := range fields(v.Type()) {
			fv := v.FieldByIndex(f.index)
			if f.file && fv.Kind() == reflect.String {
				if path := fv.String(); path != "" {
					*files = append(*files, path)
				}
				continue
			}
			collect(fv, files)
		}
	}
}

// files returns the files that a Raw part refers to, whatever its type is.
func (r *raw) files() []string {
	d := &decoder{sharedState: r.file, interpolate: true}
	var all []string
	seen := map[*node]bool{}
	var walk func(n *node)
	walk = func(n *node) {
		if seen[n] {
			return
		}
		seen[n] = true
		if n.kind == stringKind && strings.Contains(n.text, "${") {
			parts, _ := parseParts(n.text)
			for _, p := range parts {
				if p.file != "" {
					all = append(all, p.file)
				}
			}
		}
		if ref := n.get("secretRef"); ref != nil && ref.get("name") != nil && ref.get("key") != nil {
			if file, ok := d.secretFile(n, ""); ok {
				all = append(all, file)
			}
		}
		for _, item := range n.items {
			walk(item)
		}
		for _, p := range n.pairs {
			walk(p.value)
		}
	}
	walk(r.node)
	return all
}
